//! The grammar guard: keeps the streams and messages of other servers in the grammar of the Messages API.
//!
//! Two deviations of known servers are mended: a block starts without a member that its deltas fill, or
//! a block ends that never began. Everything else out of order is an error. Events in order pass byte for
//! byte.
use std::borrow::Cow;
use std::collections::BTreeMap;

use bytes::Bytes;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::error::{Error, ErrorKind, Result};
use crate::providers::timed::Decoder;
use crate::wire::{Document, Event, EventKind, Kind, Step};

/// Checks the events of another decoder.
pub(super) struct Guarded<D> {
    inner: D,
    place: Place,
    /// The index of the open block, or of the next one.
    index: u64,
}

/// The position in a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Fresh,
    Between,
    Inside(Open),
    Ending,
    Done,
}

/// The open block, as far as it decides which deltas are allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Open {
    Text,
    Thinking,
    Call,
    Other,
}

/// A delta by its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Delta {
    Text,
    Citation,
    Thinking,
    Signature,
    Input,
    Unknown,
}

/// The known deltas: their type, their member, and the text that begins such a delta.
const DELTAS: [(&str, &str, Delta); 5] = [
    ("text_delta", "text", Delta::Text),
    ("input_json_delta", "partial_json", Delta::Input),
    ("thinking_delta", "thinking", Delta::Thinking),
    ("signature_delta", "signature", Delta::Signature),
    ("citations_delta", "citation", Delta::Citation),
];

impl<D: Decoder> Guarded<D> {
    pub(super) fn new(inner: D) -> Self {
        Self { inner, place: Place::Fresh, index: 0 }
    }

    /// Returns the event to send; `None` for one that is left out.
    fn admit(&mut self, event: Event) -> Result<Option<Event>> {
        let to = match event.kind {
            // only comments may follow the message
            EventKind::Ping | EventKind::Other | EventKind::Error if self.place == Place::Done => {
                return Ok(Some(event).filter(|event| event.data().is_empty()));
            }
            EventKind::Ping | EventKind::Other => return Ok(Some(event)),
            EventKind::Error => return Ok(Some(enveloped(event))),
            EventKind::ContentBlockDelta => {
                self.delta(&event)?;
                return Ok(Some(event));
            }
            EventKind::ContentBlockStop if self.place == Place::Between => return Ok(None),
            EventKind::ContentBlockStart => return self.start(event).map(Some),
            EventKind::MessageStart if self.place == Place::Fresh => {
                message_start(&event)?;
                Place::Between
            }
            EventKind::ContentBlockStop if matches!(self.place, Place::Inside(_)) => {
                let data = event.data();
                let stop: Stop<'_> = read(&data, event.kind)?;
                expect_type(&stop.kind, event.kind)?;
                self.check_index(stop.index, event.kind)?;
                self.index += 1;
                Place::Between
            }
            EventKind::MessageDelta if self.place == Place::Between => {
                message_delta(&event)?;
                Place::Ending
            }
            EventKind::MessageStop if self.place == Place::Ending => Place::Done,
            kind => return Err(self.misplaced(kind)),
        };
        self.place = to;
        Ok(Some(event))
    }

    fn start(&mut self, event: Event) -> Result<Event> {
        if self.place != Place::Between {
            return Err(self.misplaced(event.kind));
        }
        let data = event.data();
        let start: Start<'_> = read(&data, event.kind)?;
        expect_type(&start.kind, event.kind)?;
        self.check_index(start.index, event.kind)?;
        let block = &start.content_block;
        let (open, member, value) = match block.kind.as_deref() {
            None => return Err(bad("a content block has no `type`")),
            Some("text") => (Open::Text, "text", block.text),
            Some("thinking") => (Open::Thinking, "thinking", block.thinking),
            Some(kind @ ("tool_use" | "server_tool_use" | "mcp_tool_use")) => {
                if ![block.id, block.name].iter().all(|value| is(*value, Kind::String)) {
                    return Err(bad(&format!("a `{kind}` block has no `id` or no `name`")));
                }
                (Open::Call, "input", block.input)
            }
            Some(_) => (Open::Other, "", None),
        };
        let (kind, usual) = match open {
            Open::Call => (Kind::Object, "{}"),
            Open::Text | Open::Thinking | Open::Other => (Kind::String, r#""""#),
        };
        let is_mended = match value {
            _ if open == Open::Other => false,
            None => true,
            Some(_) if is(value, kind) => false,
            Some(_) => return Err(bad(&format!("`{member}` of a content block has a wrong type"))),
        };
        self.place = Place::Inside(open);
        if !is_mended {
            return Ok(event);
        }
        let mut data = Document::parse(event.data_bytes()).map_err(unreadable)?;
        data.set(&[Step::Key("content_block"), Step::Key(member)], usual)?;
        Ok(Event::new(event.kind, &data.to_bytes()))
    }

    fn delta(&mut self, event: &Event) -> Result<()> {
        let Place::Inside(open) = self.place else { return Err(self.misplaced(event.kind)) };
        let data = event.data();
        let (index, delta) = match plain_delta(&data) {
            Some(found) => found,
            None => any_delta(&data)?,
        };
        self.check_index(index, event.kind)?;
        let fits = match delta {
            Delta::Text | Delta::Citation => open == Open::Text,
            Delta::Thinking | Delta::Signature => open == Open::Thinking,
            Delta::Input => open == Open::Call,
            Delta::Unknown => true,
        };
        match fits {
            true => Ok(()),
            false => Err(bad("a delta does not fit its content block")),
        }
    }

    fn check_index(&self, index: u64, kind: EventKind) -> Result<()> {
        match index == self.index {
            true => Ok(()),
            false => {
                let (kind, expected) = (kind.as_str(), self.index);
                Err(bad(&format!("`{kind}` has the index {index}: expected {expected}")))
            }
        }
    }

    fn misplaced(&self, kind: EventKind) -> Error {
        let place = match self.place {
            Place::Fresh => "before `message_start`",
            Place::Between => "between two content blocks",
            Place::Inside(_) => "within a content block",
            Place::Ending => "after `message_delta`",
            Place::Done => "after `message_stop`",
        };
        bad(&format!("`{}` cannot come {place}", kind.as_str()))
    }
}

impl<D: Decoder> Decoder for Guarded<D> {
    const CONTENT_TYPE: &'static str = D::CONTENT_TYPE;

    fn push(&mut self, data: Bytes) {
        self.inner.push(data);
    }

    fn next_event(&mut self) -> Result<Option<Event>> {
        while let Some(event) = self.inner.next_event()? {
            if let Some(event) = self.admit(event)? {
                return Ok(Some(event));
            }
        }
        Ok(None)
    }

    fn finish(&mut self) -> Result<Option<Event>> {
        while let Some(event) = self.inner.finish()? {
            if let Some(event) = self.admit(event)? {
                return Ok(Some(event));
            }
        }
        Ok(None)
    }
}

#[derive(Deserialize)]
struct Stop<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    index: u64,
}

#[derive(Deserialize)]
struct Start<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    index: u64,
    #[serde(borrow)]
    content_block: Block<'a>,
}

/// The members of a block that decide about its deltas. Their texts are not read: a text may end within a
/// character that the next event continues.
#[derive(Deserialize)]
struct Block<'a> {
    #[serde(rename = "type")]
    kind: Option<String>,
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    name: Option<&'a RawValue>,
    #[serde(borrow)]
    text: Option<&'a RawValue>,
    #[serde(borrow)]
    thinking: Option<&'a RawValue>,
    #[serde(borrow)]
    input: Option<&'a RawValue>,
}

/// An object whose members are not read.
type Object = BTreeMap<String, IgnoredAny>;

/// Returns whether a value is there and of a kind.
fn is(value: Option<&RawValue>, kind: Kind) -> bool {
    value.is_some_and(|value| Kind::of(value.get().as_bytes()) == kind)
}

/// Reads the data of an event.
fn read<'a, T: Deserialize<'a>>(data: &'a [u8], kind: EventKind) -> Result<T> {
    let wrong = || bad(&format!("`{}` cannot be read", kind.as_str()));
    serde_json::from_slice(data).map_err(|e| wrong().with_source(e))
}

/// Compares the `type` of an event's data with its name.
fn expect_type(found: &str, kind: EventKind) -> Result<()> {
    match found == kind.as_str() {
        true => Ok(()),
        false => Err(bad(&format!("the data of `{}` has another type", kind.as_str()))),
    }
}

fn message_start(event: &Event) -> Result<()> {
    #[derive(Deserialize)]
    struct Begun {
        #[serde(rename = "type")]
        kind: String,
        #[serde(rename = "message")]
        _message: Message,
    }
    #[derive(Deserialize)]
    struct Message {
        #[serde(rename = "id")]
        _id: String,
        #[serde(rename = "role")]
        _role: String,
        #[serde(rename = "model")]
        _model: String,
        #[serde(rename = "content")]
        _content: Vec<IgnoredAny>,
        #[serde(rename = "usage")]
        _usage: Object,
    }
    // the members must be there and have these types
    let begun: Begun = read(&event.data(), event.kind)?;
    expect_type(&begun.kind, event.kind)
}

fn message_delta(event: &Event) -> Result<()> {
    #[derive(Deserialize)]
    struct End {
        #[serde(rename = "type")]
        kind: String,
        #[serde(rename = "delta")]
        _delta: Object,
        #[serde(rename = "usage")]
        _usage: Object,
    }
    // the members must be there and have these types
    let end: End = read(&event.data(), event.kind)?;
    expect_type(&end.kind, event.kind)
}

/// Reads a delta in the form that the API itself writes, if its text has no escapes. This is the usual
/// delta, and a comparison of bytes is much cheaper than a parser.
fn plain_delta(data: &[u8]) -> Option<(u64, Delta)> {
    let rest = data.strip_prefix(br#"{"type":"content_block_delta","index":"#)?;
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (index, rest) = rest.split_at_checked(digits)?;
    let index = std::str::from_utf8(index).ok()?.parse().ok()?;
    let rest = rest.strip_prefix(br#","delta":{"type":""#)?;
    let (_, text, delta) = DELTAS[..4].iter().find_map(|(kind, member, delta)| {
        let rest = rest.strip_prefix(kind.as_bytes())?.strip_prefix(br#"",""#)?;
        let rest = rest.strip_prefix(member.as_bytes())?.strip_prefix(br#"":""#)?;
        Some((kind, rest, *delta))
    })?;
    let text = text.strip_suffix(br#""}}"#)?;
    let is_plain = memchr::memchr2(b'"', b'\\', text).is_none()
        && text.iter().all(|byte| *byte >= 0x20)
        && simdutf8::basic::from_utf8(text).is_ok();
    is_plain.then_some((index, delta))
}

/// Reads a delta in any form.
fn any_delta(data: &[u8]) -> Result<(u64, Delta)> {
    #[derive(Deserialize)]
    struct Whole<'a> {
        #[serde(rename = "type", borrow)]
        kind: Cow<'a, str>,
        index: u64,
        #[serde(borrow)]
        delta: Parts<'a>,
    }
    #[derive(Deserialize)]
    struct Parts<'a> {
        #[serde(rename = "type", borrow)]
        kind: Cow<'a, str>,
        #[serde(borrow)]
        text: Option<&'a RawValue>,
        #[serde(borrow)]
        partial_json: Option<&'a RawValue>,
        #[serde(borrow)]
        thinking: Option<&'a RawValue>,
        #[serde(borrow)]
        signature: Option<&'a RawValue>,
        #[serde(borrow)]
        citation: Option<&'a RawValue>,
    }
    let whole: Whole<'_> = read(data, EventKind::ContentBlockDelta)?;
    expect_type(&whole.kind, EventKind::ContentBlockDelta)?;
    let parts = whole.delta;
    let known = DELTAS.iter().find(|(known, ..)| *known == parts.kind);
    let Some((kind, member, delta)) = known else { return Ok((whole.index, Delta::Unknown)) };
    let (content, expected) = match delta {
        Delta::Text => (parts.text, Kind::String),
        Delta::Input => (parts.partial_json, Kind::String),
        Delta::Thinking => (parts.thinking, Kind::String),
        Delta::Signature => (parts.signature, Kind::String),
        Delta::Citation => (parts.citation, Kind::Object),
        Delta::Unknown => return Ok((whole.index, *delta)),
    };
    match is(content, expected) {
        true => Ok((whole.index, *delta)),
        false => Err(bad(&format!("a `{kind}` has no `{member}`"))),
    }
}

/// Puts the error of another server into the API's envelope.
fn enveloped(event: Event) -> Event {
    let data: Value = serde_json::from_slice(&event.data()).unwrap_or_default();
    let error = &data["error"];
    if error["type"].is_string() && error["message"].is_string() && data["type"] == "error" {
        return event;
    }
    let message = [&error["message"], error, &data["message"]].into_iter().find_map(Value::as_str);
    let message = message.unwrap_or("the upstream reported an error");
    let kind = error["type"].as_str().filter(|kind| kind.ends_with("_error"));
    let kind = kind.unwrap_or(ErrorKind::Api.as_str());
    let body = json!({"type": "error", "error": {"type": kind, "message": message}});
    Event::new(EventKind::Error, body.to_string().as_bytes())
}

/// Checks a whole message, and adds the missing `input` of tool calls.
///
/// Fails with a 502 if the JSON is no message.
pub(super) fn message(json: Bytes) -> Result<Bytes> {
    #[derive(Deserialize)]
    struct Message<'a> {
        #[serde(rename = "type", borrow)]
        kind: Cow<'a, str>,
        #[serde(borrow)]
        content: &'a RawValue,
        #[serde(rename = "usage")]
        _usage: Object,
    }
    #[derive(Deserialize)]
    struct Whole {
        #[serde(rename = "type")]
        kind: String,
        #[serde(default)]
        input: Option<IgnoredAny>,
    }
    let message: Message<'_> =
        serde_json::from_slice(&json).map_err(|e| no_message().with_source(e))?;
    if message.kind != "message" {
        return Err(no_message());
    }
    // some servers write a plain text
    if is(Some(message.content), Kind::String) {
        return Ok(json);
    }
    let blocks: Vec<Whole> =
        serde_json::from_str(message.content.get()).map_err(|e| no_message().with_source(e))?;
    let lacks = |block: &Whole| block.kind.ends_with("tool_use") && block.input.is_none();
    let lacking: Vec<usize> =
        blocks.iter().enumerate().filter(|(_, block)| lacks(block)).map(|(n, _)| n).collect();
    if lacking.is_empty() {
        return Ok(json);
    }
    let mut document = Document::parse(json.clone()).map_err(unreadable)?;
    for at in lacking {
        let input = [Step::Key("content"), Step::Index(at as i64), Step::Key("input")];
        document.set(&input, "{}")?;
    }
    Ok(document.to_bytes())
}

/// Checks a count of tokens.
///
/// Fails with a 502 if the JSON is no count.
pub(super) fn count(json: Bytes) -> Result<Bytes> {
    let is_count = Document::parse(json.clone())
        .and_then(|mut document| document.kind(&[Step::Key("input_tokens")]))
        .is_ok_and(|kind| kind == Some(Kind::Number));
    match is_count {
        true => Ok(json),
        false => Err(bad("the upstream answered 200 without `input_tokens`")),
    }
}

fn no_message() -> Error {
    bad("the upstream answered 200 without a message")
}

fn unreadable(source: Error) -> Error {
    bad("an event of the upstream cannot be read").with_source(source)
}

fn bad(message: &str) -> Error {
    Error::new(ErrorKind::BadUpstream, message)
}

#[cfg(test)]
mod tests;
