//! The one writer of Messages streams: the order of events that it writes or lets pass cannot be wrong.
//!
//! One `message_start`; blocks one after the other, with indexes without gaps; one `message_delta`,
//! and `message_stop` last. A call that breaks this order is an error, and writes nothing.
#[cfg(test)]
mod tests;

use std::io::Write;

use crate::error::{Error, ErrorKind, Result};
use crate::wire::content::Block;
use crate::wire::event::{Event, EventKind};

/// Where a stream stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Place {
    /// Before `message_start`.
    #[default]
    Fresh,
    /// A block may start, or the message may end.
    Between,
    /// Within a block.
    Inside,
    /// Behind `message_delta`.
    Told,
    /// Behind `message_stop`.
    Done,
}

impl Place {
    /// The place, as a message names it.
    fn as_str(self) -> &'static str {
        match self {
            Self::Fresh => "before `message_start`",
            Self::Between => "between two content blocks",
            Self::Inside => "within a content block",
            Self::Told => "behind `message_delta`",
            Self::Done => "behind `message_stop`",
        }
    }
}

/// The order of one stream, for events that pass as for those that are written.
#[derive(Debug, Default)]
struct Order {
    place: Place,
    /// The index of the open block, else of the next one.
    index: u64,
}

impl Order {
    /// Takes note of an event. One that has no place in the order (`ping`, one of a later API) is always
    /// in order. Fails, and takes no note, if the event is out of order.
    fn note(&mut self, kind: EventKind) -> Result<(), String> {
        let (from, to) = match kind {
            EventKind::MessageStart => (Place::Fresh, Place::Between),
            EventKind::ContentBlockStart => (Place::Between, Place::Inside),
            EventKind::ContentBlockDelta => (Place::Inside, Place::Inside),
            EventKind::ContentBlockStop => (Place::Inside, Place::Between),
            EventKind::MessageDelta => (Place::Between, Place::Told),
            EventKind::MessageStop => (Place::Told, Place::Done),
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

/// A delta, by what it brings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Delta {
    /// `text_delta`
    Text,
    /// `citations_delta`
    Citation,
    /// `thinking_delta`
    Thinking,
    /// `signature_delta`; the last one of its block
    Signature,
    /// `input_json_delta`
    Input,
    /// One that no client knows: its type, and its member.
    Unknown(&'static str, &'static str),
}

impl Delta {
    /// The delta's `type`, and the member that holds what it brings.
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

/// The block that is open, as far as it decides on the deltas that fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Open {
    Text,
    Thinking,
    /// A thinking block whose signature is written: nothing follows it.
    Signed,
    Call,
    Other,
    /// One that passes: its events are an upstream's.
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

/// Writes one message as events. `F` makes the frame of an event from its name and its data.
///
/// After a call that is out of order it writes nothing more, and `take` returns the error.
pub(crate) struct Composer<F = fn(&str, &[u8]) -> Event> {
    order: Order,
    open: Open,
    frame: F,
    events: Vec<Event>,
    /// The JSON of the event that is being written.
    data: Vec<u8>,
    /// The first call that was out of order.
    wrong: Option<Error>,
}

impl Composer {
    /// Returns the composer of a new stream, with frames as the gateway writes them.
    pub(crate) fn new() -> Self {
        Self::framed_by(Event::named)
    }
}

impl<F: FnMut(&str, &[u8]) -> Event> Composer<F> {
    /// Returns the composer of a new stream with frames of another form.
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

    /// Returns the events that were written since the last call. Fails if a call was out of order.
    pub(crate) fn take(&mut self) -> Result<Vec<Event>> {
        match self.wrong.take() {
            Some(error) => Err(error),
            None => Ok(std::mem::take(&mut self.events)),
        }
    }

    /// Returns the index of the open block, else of the next one.
    pub(crate) fn index(&self) -> u64 {
        self.order.index
    }

    /// Returns whether a block is open.
    pub(crate) fn is_inside(&self) -> bool {
        self.order.place == Place::Inside
    }

    /// Takes note of an upstream's event that goes to the client between those that are written here.
    ///
    /// Fails if the event is out of order, or belongs into a block that is written here.
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

    /// Writes an event that is made already, or comes from an upstream.
    pub(crate) fn pass(&mut self, event: Event) {
        match self.note(event.kind) {
            Ok(()) => self.events.push(event),
            Err(error) => self.fail(error),
        }
    }

    /// Writes an event that no client knows; it has no place in the order.
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

    /// Writes `content_block_start` with this block, whose deltas are still to come.
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

    /// Writes `message_delta`; `data` is all of its JSON.
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

    /// Writes an event of this data. Returns whether it is in order.
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

/// Makes a `text_delta` of an open block whose stream another part of the gateway keeps in order.
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

/// The beginning of an event's data, up to its index.
fn numbered(data: &mut Vec<u8>, kind: EventKind, index: u64) {
    data.extend_from_slice(br#"{"type":""#);
    data.extend_from_slice(kind.as_str().as_bytes());
    data.extend_from_slice(br#"","index":"#);
    // a vector takes every byte
    let _ = write!(data, "{index}");
}

fn put_string(data: &mut Vec<u8>, text: &str) {
    // a string always serializes, and a vector takes every byte
    let _ = serde_json::to_writer(data, text);
}

fn misuse(message: &str) -> Error {
    Error::new(
        ErrorKind::Api,
        format!("the gateway wrote a stream that is out of order: {message}"),
    )
}
