//! The events of a stream as the client reads them, and their grammar.
use bytes::Bytes;
use serde_json::Value;

use crate::cli::conform::client::{Answer, End};
use crate::cli::conform::facts::{Finding, Verdict, expect};
use crate::cli::conform::json::sorted;
use crate::wire::sse::Cutter;

/// An event.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Event {
    /// The value of the `event:` line; empty without that line.
    pub name: String,
    /// The data, with sorted members; null if it is no JSON.
    pub data: Value,
    /// The bytes of the frame.
    pub frame: Bytes,
}

/// The events of a body, and the bytes after the last whole frame.
pub(super) struct Events {
    /// The events in order; frames without fields, such as comments, are left out.
    pub list: Vec<Event>,
    /// The bytes after the last whole frame.
    pub rest: Bytes,
}

impl Events {
    /// Cuts a body into events.
    pub(super) fn of(body: &[u8]) -> Result<Self, Finding> {
        let mut cutter = Cutter::default();
        cutter.push(Bytes::copy_from_slice(body));
        let mut list = Vec::new();
        let broken = |_| Finding::new("frames of a stream", "a frame without an end");
        while let Some(frame) = cutter.next_frame().map_err(broken)? {
            list.extend(Event::of(frame));
        }
        Ok(Self { list, rest: cutter.finish() })
    }

    /// Cuts the body of a complete stream.
    ///
    /// Fails if it is no stream, or if it ends within a frame or without `message_stop`.
    pub(super) fn whole(answer: &Answer) -> Result<Self, Finding> {
        let expected = "a complete stream of the status 200";
        let found = format!("status {}: {}", answer.status, answer.text());
        expect(answer.status == 200, expected, found)?;
        expect(answer.end == End::Clean, expected, "a broken connection")?;
        let events = Self::of(&answer.body)?;
        let last = events.last();
        expect(events.rest.is_empty(), expected, "a frame without an end")?;
        expect(last == "message_stop", expected, format!("the last event is `{last}`"))?;
        Ok(events)
    }

    /// Returns the name of the last event.
    pub(super) fn last(&self) -> &str {
        self.list.last().map_or("", |event| event.name.as_str())
    }

    /// Returns the events without pings, which a gateway may add.
    pub(super) fn without_pings(&self) -> Vec<&Event> {
        self.list.iter().filter(|event| event.name != "ping").collect()
    }
}

impl Event {
    fn of(frame: Bytes) -> Option<Self> {
        let text = String::from_utf8_lossy(&frame).into_owned();
        let field = |name: &str| {
            let name = format!("{name}:");
            let lines = text.lines().filter_map(move |line| {
                let value = line.strip_prefix(&name)?;
                Some(value.strip_prefix(' ').unwrap_or(value).to_owned())
            });
            lines.collect::<Vec<String>>()
        };
        let (names, data) = (field("event"), field("data"));
        if names.is_empty() && data.is_empty() {
            return None;
        }
        let data = serde_json::from_str(&data.join("\n")).map(sorted).unwrap_or_default();
        Some(Self { name: names.last().cloned().unwrap_or_default(), data, frame })
    }

    /// Returns the data without the model, which a gateway may replace.
    pub(super) fn meaning(&self) -> Value {
        let mut data = self.data.clone();
        if let Some(message) = data.get_mut("message").and_then(Value::as_object_mut) {
            message.remove("model");
        }
        data
    }
}

/// The position in a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Before,
    Between,
    Block,
    Delta,
    Done,
}

/// Checks the order and the shape of events; the list may end anywhere.
pub(super) fn grammar(events: &[Event]) -> Verdict {
    let mut place = Place::Before;
    let mut index = 0;
    for event in events {
        let found = String::from_utf8_lossy(&event.frame);
        let name = event.name.as_str();
        expect(
            name == event.data["type"],
            "an `event:` line with the name in `data.type`",
            &found,
        )?;
        expect(place != Place::Done, "no event after the last one", &found)?;
        expect(has_shape(event), &format!("the fields of a `{name}`"), &found)?;
        let Step { from, to } = Step::of(name, place);
        expect(place == from, &format!("`{name}` in the state {from:?}"), format!("{place:?}"))?;
        if name.starts_with("content_block") {
            expect(event.data["index"] == index, &format!("`index` {index}"), &found)?;
        }
        index += u64::from(name == "content_block_stop");
        place = to;
    }
    Ok(())
}

/// The way of an event through a message.
struct Step {
    from: Place,
    to: Place,
}

impl Step {
    fn of(name: &str, place: Place) -> Self {
        let (from, to) = match name {
            "message_start" => (Place::Before, Place::Between),
            "content_block_start" => (Place::Between, Place::Block),
            "content_block_delta" => (Place::Block, Place::Block),
            "content_block_stop" => (Place::Block, Place::Between),
            "message_delta" => (Place::Between, Place::Delta),
            "message_stop" => (Place::Delta, Place::Done),
            "error" => (place, Place::Done),
            _ => (place, place),
        };
        Self { from, to }
    }
}

fn has_shape(event: &Event) -> bool {
    let data = &event.data;
    match event.name.as_str() {
        "message_start" => is_start(&data["message"]),
        "content_block_start" => data["content_block"]["type"].is_string(),
        "content_block_delta" => data["delta"]["type"].is_string(),
        "message_delta" => {
            data["delta"]["stop_reason"].is_string() && data["usage"]["output_tokens"].is_u64()
        }
        "error" => data["error"]["type"].is_string() && data["error"]["message"].is_string(),
        _ => true,
    }
}

fn is_start(message: &Value) -> bool {
    message["type"] == "message"
        && message["role"] == "assistant"
        && message["id"].is_string()
        && message["model"].is_string()
        && message["content"].as_array().is_some_and(Vec::is_empty)
        && message["stop_reason"].is_null()
        && message["usage"]["input_tokens"].is_u64()
        && message["usage"]["output_tokens"].is_u64()
}
