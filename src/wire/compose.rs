//! The only writer of Messages streams. It enforces the order of events, its own and the upstream's.
//!
//! A stream has one `message_start`, then blocks one after the other, with indexes without gaps. One
//! `message_delta` follows, and `message_stop` is last. A call that breaks this order is an error and
//! writes nothing.
#[cfg(test)]
mod tests;

use std::io::Write;

use crate::error::{Error, ErrorKind, Result};
use crate::wire::content::Block;
use crate::wire::event::{Event, EventKind};

/// The position in a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Place {
    /// Before `message_start`.
    #[default]
    Fresh,
    /// A block may start, or the message may end.
    Between,
    /// Inside a block.
    Inside,
    /// After `message_delta`.
    Ending,
    /// After `message_stop`.
    Done,
}

impl Place {
    /// Returns the position as error messages name it.
    fn as_str(self) -> &'static str {
        match self {
            Self::Fresh => "before `message_start`",
            Self::Between => "between two content blocks",
            Self::Inside => "within a content block",
            Self::Ending => "after `message_delta`",
            Self::Done => "after `message_stop`",
        }
    }
}

/// The order of one stream, for the upstream's events and for the gateway's.
#[derive(Debug, Default)]
struct Order {
    place: Place,
    /// The index of the open block, or of the next one if none is open.
    index: u64,
}

impl Order {
    /// Records an event. An event without a place in the order (`ping`, or one of a later API) is always
    /// accepted. Fails, and records nothing, if the event is out of order.
    fn note(&mut self, kind: EventKind) -> Result<(), String> {
        let (from, to) = match kind {
            EventKind::MessageStart => (Place::Fresh, Place::Between),
            EventKind::ContentBlockStart => (Place::Between, Place::Inside),
            EventKind::ContentBlockDelta => (Place::Inside, Place::Inside),
            EventKind::ContentBlockStop => (Place::Inside, Place::Between),
            EventKind::MessageDelta => (Place::Between, Place::Ending),
            EventKind::MessageStop => (Place::Ending, Place::Done),
            EventKind::Ping | EventKind::Error | EventKind::Other => return Ok(()),
        };
        if self.place != from {
            let (kind, place) = (kind.as_str(), self.place.as_str());
            return Err(format!("`{kind}` cannot come {place}"));
        }
        self.place = to;
        self.index += u64::from(kind == EventKind::ContentBlockStop);
        Ok(())
    }
}

/// A delta by its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Delta {
    /// `text_delta`
    Text,
    /// `citations_delta`
    Citation,
    /// `thinking_delta`
    Thinking,
    /// `signature_delta`; the last delta of its block
    Signature,
    /// `input_json_delta`
    Input,
    /// A delta unknown to clients: its type and its member.
    Unknown(&'static str, &'static str),
}

impl Delta {
    /// Returns the delta's `type` and the member that holds its content.
    fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::Text => ("text_delta", "text"),
            Self::Citation => ("citations_delta", "citation"),
            Self::Thinking => ("thinking_delta", "thinking"),
            Self::Signature => ("signature_delta", "signature"),
            Self::Input => ("input_json_delta", "partial_json"),
            Self::Unknown(kind, member) => (kind, member),
        }
    }
}

/// The open block, as far as it decides which deltas are allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Open {
    Text,
    Thinking,
    /// A thinking block with its signature written: no delta may follow.
    Signed,
    Call,
    Other,
    /// A block with an upstream's events.
    #[default]
    Passing,
}

impl Open {
    fn of(block: &[u8]) -> Self {
        match Block::read(block).as_ref().map(Block::kind).as_deref() {
            Some("text") => Self::Text,
            Some("thinking") => Self::Thinking,
            Some("tool_use" | "server_tool_use" | "mcp_tool_use") => Self::Call,
            _ => Self::Other,
        }
    }

    fn takes(self, delta: Delta) -> bool {
        match delta {
            Delta::Text | Delta::Citation => self == Self::Text,
            Delta::Thinking | Delta::Signature => self == Self::Thinking,
            Delta::Input => self == Self::Call,
            Delta::Unknown(..) => !matches!(self, Self::Signed | Self::Passing),
        }
    }
}

/// Writes one message as events. `F` builds an event's frame from its name and its data.
///
/// After a call out of order it writes nothing more, and `take` returns the error.
pub(crate) struct Composer<F = fn(&str, &[u8]) -> Event> {
    order: Order,
    open: Open,
    frame: F,
    events: Vec<Event>,
    /// The JSON of the event under construction.
    data: Vec<u8>,
    /// The error of the first call out of order.
    wrong: Option<Error>,
}

impl Composer {
    /// Returns the composer of a new stream, with the gateway's own frames.
    pub(crate) fn new() -> Self {
        Self::framed_by(Event::named)
    }
}

impl<F: FnMut(&str, &[u8]) -> Event> Composer<F> {
    /// Returns the composer of a new stream, with frames built by `frame`.
    pub(crate) fn framed_by(frame: F) -> Self {
        Self {
            order: Order::default(),
            open: Open::Passing,
            frame,
            events: Vec::new(),
            data: Vec::new(),
            wrong: None,
        }
    }

    /// Returns the events written since the last call. Fails if a call was out of order.
    pub(crate) fn take(&mut self) -> Result<Vec<Event>> {
        match self.wrong.take() {
            Some(error) => Err(error),
            None => Ok(std::mem::take(&mut self.events)),
        }
    }

    /// Returns the index of the open block, or of the next one if none is open.
    pub(crate) fn index(&self) -> u64 {
        self.order.index
    }

    /// Returns whether a block is open.
    pub(crate) fn is_inside(&self) -> bool {
        self.order.place == Place::Inside
    }

    /// Records an upstream's event that is sent to the client between the written ones.
    ///
    /// Fails if the event is out of order, or if it belongs into a block that the gateway writes.
    pub(crate) fn note(&mut self, kind: EventKind) -> Result<()> {
        let is_within = matches!(kind, EventKind::ContentBlockDelta | EventKind::ContentBlockStop);
        if is_within && self.is_inside() && self.open != Open::Passing {
            return Err(misuse("an upstream's event is within a block of the gateway's"));
        }
        self.order.note(kind).map_err(|message| {
            let message = format!("the upstream's stream is out of order: {message}");
            Error::new(ErrorKind::BadUpstream, message)
        })?;
        if kind == EventKind::ContentBlockStart {
            self.open = Open::Passing;
        }
        Ok(())
    }

    /// Writes a finished event: the gateway's or an upstream's.
    pub(crate) fn pass(&mut self, event: Event) {
        match self.note(event.kind) {
            Ok(()) => self.events.push(event),
            Err(error) => self.fail(error),
        }
    }

    /// Writes an event unknown to clients; it has no place in the order.
    pub(crate) fn unknown(&mut self, name: &str, data: &[u8]) {
        let event = (self.frame)(name, data);
        self.events.push(event);
    }

    /// Writes `message_start` with this message, which has no content yet.
    pub(crate) fn start(&mut self, message: &[u8]) {
        self.write(EventKind::MessageStart, |data, _| {
            for part in [&br#"{"type":"message_start","message":"#[..], message, b"}"] {
                data.extend_from_slice(part);
            }
        });
    }

    /// Writes `content_block_start` with this block; its deltas follow.
    pub(crate) fn block(&mut self, block: &[u8]) {
        let is_written = self.write(EventKind::ContentBlockStart, |data, index| {
            numbered(data, EventKind::ContentBlockStart, index);
            for part in [&br#","content_block":"#[..], block, b"}"] {
                data.extend_from_slice(part);
            }
        });
        if is_written {
            self.open = Open::of(block);
        }
    }

    /// Writes `content_block_delta` with a text.
    pub(crate) fn delta(&mut self, delta: Delta, text: &str) {
        self.fitting(delta, |data| put_string(data, text));
    }

    /// Writes `content_block_delta` with a JSON value.
    pub(crate) fn delta_json(&mut self, delta: Delta, json: &[u8]) {
        self.fitting(delta, |data| data.extend_from_slice(json));
    }

    /// Writes `content_block_stop`.
    pub(crate) fn close(&mut self) {
        if self.is_inside() && self.open == Open::Thinking {
            self.fail(misuse("a thinking block has no signature"));
        }
        self.write(EventKind::ContentBlockStop, |data, index| {
            numbered(data, EventKind::ContentBlockStop, index);
            data.push(b'}');
        });
    }

    /// Writes `message_delta`; `data` is its whole JSON.
    pub(crate) fn end(&mut self, data: &[u8]) {
        self.write(EventKind::MessageDelta, |whole, _| whole.extend_from_slice(data));
    }

    /// Writes `message_stop`.
    pub(crate) fn stop(&mut self) {
        self.write(EventKind::MessageStop, |data, _| {
            data.extend_from_slice(br#"{"type":"message_stop"}"#);
        });
    }

    fn fitting(&mut self, delta: Delta, value: impl FnOnce(&mut Vec<u8>)) {
        if self.is_inside() && !self.open.takes(delta) {
            let (kind, _) = delta.names();
            self.fail(misuse(&format!("`{kind}` does not fit the open block")));
        }
        let is_written = self.write(EventKind::ContentBlockDelta, |data, index| {
            put_delta(data, index, delta, value);
        });
        if is_written && delta == Delta::Signature {
            self.open = Open::Signed;
        }
    }

    /// Writes an event. Returns whether it is in order.
    fn write(&mut self, kind: EventKind, json: impl FnOnce(&mut Vec<u8>, u64)) -> bool {
        if self.wrong.is_some() {
            return false;
        }
        let index = self.order.index;
        if let Err(message) = self.order.note(kind) {
            self.fail(misuse(&message));
            return false;
        }
        self.data.clear();
        json(&mut self.data, index);
        let event = (self.frame)(kind.as_str(), &self.data);
        self.events.push(event);
        true
    }

    fn fail(&mut self, error: Error) {
        self.wrong.get_or_insert(error);
    }
}

/// Returns a `text_delta` of an open block. Another part of the gateway keeps that stream in order.
pub(crate) fn text_delta(index: u64, text: &str) -> Event {
    let mut data = Vec::with_capacity(text.len() + 96);
    put_delta(&mut data, index, Delta::Text, |data| put_string(data, text));
    Event::new(EventKind::ContentBlockDelta, &data)
}

fn put_delta(data: &mut Vec<u8>, index: u64, delta: Delta, value: impl FnOnce(&mut Vec<u8>)) {
    let (kind, member) = delta.names();
    numbered(data, EventKind::ContentBlockDelta, index);
    for part in [r#","delta":{"type":""#, kind, r#"",""#, member, r#"":"#] {
        data.extend_from_slice(part.as_bytes());
    }
    value(data);
    data.extend_from_slice(b"}}");
}

/// Writes the beginning of an event's data, up to its index.
fn numbered(data: &mut Vec<u8>, kind: EventKind, index: u64) {
    data.extend_from_slice(br#"{"type":""#);
    data.extend_from_slice(kind.as_str().as_bytes());
    data.extend_from_slice(br#"","index":"#);
    // writing to a vector cannot fail
    let _ = write!(data, "{index}");
}

fn put_string(data: &mut Vec<u8>, text: &str) {
    // a string always serializes, and writing to a vector cannot fail
    let _ = serde_json::to_writer(data, text);
}

fn misuse(message: &str) -> Error {
    Error::new(
        ErrorKind::Api,
        format!("the gateway wrote a stream that is out of order: {message}"),
    )
}
