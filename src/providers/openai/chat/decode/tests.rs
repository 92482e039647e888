//! Answers and streams of Chat Completions, as servers send them, become Messages answers.
mod deltas;
mod generated;
mod wholes;

use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::*;
use crate::error::Error;
use crate::providers::timed::Decoder;
use crate::providers::translate::decode::{self, Translated};
use crate::providers::translate::envelope::Seal;
use crate::providers::translate::machine::Frame;
use crate::providers::translate::names::Names;
use crate::wire::message::Fold;
use crate::wire::{Event, EventKind};

pub(super) fn frame() -> Frame {
    Frame {
        asked_model: "alias".to_owned(),
        model: "m".to_owned(),
        estimate: 7,
        names: Names::default(),
        stops: Vec::new(),
        seal: Seal::new("up", "chat", "key"),
        shows_thinking: true,
    }
}

fn parser(flavor: &str) -> Chat {
    Chat::new(&Profile::build(flavor, &Map::new()).unwrap(), None)
}

/// Returns the events of a stream. `text` is the body, sent in pieces of `size` bytes.
fn events_of(text: &str, size: usize, frame: Frame) -> Result<Vec<Event>, Error> {
    let mut decoder = Translated::new(parser("generic"), frame);
    let mut events = Vec::new();
    for piece in text.as_bytes().chunks(size) {
        decoder.push(Bytes::copy_from_slice(piece));
        while let Some(event) = decoder.next_event()? {
            events.push(event);
        }
    }
    while !events.last().is_some_and(|event| event.kind == EventKind::MessageStop) {
        match decoder.finish()? {
            Some(event) => events.push(event),
            None => break,
        }
    }
    Ok(events)
}

/// Returns the message that the events of a stream describe, without its id. Checks the grammar.
fn fold(events: &[Event]) -> Value {
    let mut fold = Fold::default();
    let (mut open, mut next) = (false, 0);
    for event in events {
        let data: Value = serde_json::from_slice(&event.data()).unwrap();
        match event.kind {
            EventKind::ContentBlockStart => {
                assert!(!open && data["index"] == next, "a block begins out of order");
                open = true;
            }
            EventKind::ContentBlockDelta => assert!(open && data["index"] == next),
            EventKind::ContentBlockStop => {
                assert!(open && data["index"] == next);
                (open, next) = (false, next + 1);
            }
            _ => {}
        }
        fold.push(event).unwrap();
    }
    message(&fold.finish().unwrap())
}

fn message(json: &[u8]) -> Value {
    let mut message: Value = serde_json::from_slice(json).unwrap();
    assert!(message["id"].as_str().unwrap().starts_with("msg_"));
    message.as_object_mut().unwrap().remove("id");
    message
}

/// Returns the message of a stream of chunks; `delta` chunks are given by their `choices[0]`.
fn streamed(choices: &[Value]) -> Value {
    let mut text = String::new();
    for choice in choices {
        text.push_str(&format!("data: {}\n\n", json!({"choices": [choice]})));
    }
    text.push_str("data: [DONE]\n\n");
    fold(&events_of(&text, usize::MAX, frame()).unwrap())
}

fn whole(body: &Value) -> Result<Value, Error> {
    let body = body.to_string();
    decode::message(&mut parser("generic"), body.as_bytes(), frame()).map(|json| message(&json))
}

fn delta(delta: Value) -> Value {
    json!({"index": 0, "delta": delta, "finish_reason": null})
}

fn end(reason: &str) -> Value {
    json!({"index": 0, "delta": {}, "finish_reason": reason})
}

fn call(index: Value, id: Value, name: Value, arguments: Value) -> Value {
    delta(json!({"tool_calls": [
        {"index": index, "id": id, "type": "function", "function": {"name": name, "arguments": arguments}},
    ]}))
}

fn tool_use(id: &str, name: &str, input: Value) -> Value {
    json!({"type": "tool_use", "id": id, "name": name, "input": input})
}
