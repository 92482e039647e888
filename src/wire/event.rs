//! One event of a Messages stream: its frame as it came, and what kind it is.
use std::borrow::Cow;

use bytes::{Bytes, BytesMut};
use futures_util::stream::BoxStream;

use crate::error::{Error, Result};

/// The one path on which every answer that streams travels.
pub type EventStream = BoxStream<'static, Result<Event>>;

/// The events of the API, and everything it may add (`Other`), which passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EventKind {
    /// `message_start`
    MessageStart,
    /// `content_block_start`
    ContentBlockStart,
    /// `content_block_delta`
    ContentBlockDelta,
    /// `content_block_stop`
    ContentBlockStop,
    /// `message_delta`
    MessageDelta,
    /// `message_stop`
    MessageStop,
    /// `ping`
    Ping,
    /// `error`; nothing follows it
    Error,
    /// An event of another name, or a comment.
    Other,
}

impl EventKind {
    fn of(name: &[u8]) -> Self {
        match name {
            b"message_start" => Self::MessageStart,
            b"content_block_start" => Self::ContentBlockStart,
            b"content_block_delta" => Self::ContentBlockDelta,
            b"content_block_stop" => Self::ContentBlockStop,
            b"message_delta" => Self::MessageDelta,
            b"message_stop" => Self::MessageStop,
            b"ping" => Self::Ping,
            b"error" => Self::Error,
            _ => Self::Other,
        }
    }

    /// The name on the `event:` line; empty for `Other`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::MessageStart => "message_start",
            Self::ContentBlockStart => "content_block_start",
            Self::ContentBlockDelta => "content_block_delta",
            Self::ContentBlockStop => "content_block_stop",
            Self::MessageDelta => "message_delta",
            Self::MessageStop => "message_stop",
            Self::Ping => "ping",
            Self::Error => "error",
            Self::Other => "",
        }
    }
}

/// One event. Its frame is what goes to the caller, byte for byte, blank line included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// What it is.
    pub kind: EventKind,
    frame: Bytes,
}

impl Event {
    /// Reads the kind of a whole frame. A frame with data but without an `event:` line gets one
    /// from `data.type`, since official clients ignore events that have none.
    pub fn from_frame(frame: Bytes) -> Self {
        if let Some(name) = field(&frame, b"event") {
            return Self { kind: EventKind::of(name), frame };
        }
        match named(&frame) {
            Some(frame) => Self::from_frame(frame),
            None => Self { kind: EventKind::Other, frame },
        }
    }

    /// Makes an event of a known kind from its JSON. Line ends in JSON stand between values only:
    /// they become blanks, since the data of an event is one line.
    pub fn new(kind: EventKind, data: &[u8]) -> Self {
        Self { kind, frame: framed(kind.as_str(), data) }
    }

    /// Makes an event of any name from its JSON.
    pub(super) fn named(name: &str, data: &[u8]) -> Self {
        Self { kind: EventKind::of(name.as_bytes()), frame: framed(name, data) }
    }

    /// A `ping`, as the real API writes it.
    pub fn ping() -> Self {
        const PING: &[u8] = b"event: ping\ndata: {\"type\": \"ping\"}\n\n";
        Self { kind: EventKind::Ping, frame: Bytes::from_static(PING) }
    }

    /// An `error` event with the envelope of an error answer: the upstream's own where it gave one,
    /// since clients act on its words.
    pub fn error(error: &Error, request_id: &str) -> Self {
        if let Some(answer) = error.answer()
            && is_envelope(answer.body())
        {
            return Self::new(EventKind::Error, answer.body());
        }
        let body = serde_json::json!({
            "type": "error",
            "error": {"type": error.kind.as_str(), "message": error.message},
            "request_id": request_id,
        });
        Self::new(EventKind::Error, body.to_string().as_bytes())
    }

    /// The frame.
    pub fn frame(&self) -> &Bytes {
        &self.frame
    }

    /// The frame, given away.
    pub fn into_frame(self) -> Bytes {
        self.frame
    }

    /// The JSON of the `data:` line (lines, joined); empty if there is none.
    pub fn data(&self) -> Cow<'_, [u8]> {
        joined(&self.frame)
    }

    /// The JSON as its own bytes, without a copy where it is of one line.
    pub fn data_bytes(&self) -> Bytes {
        match self.data() {
            Cow::Borrowed([]) => Bytes::new(),
            Cow::Borrowed(line) => self.frame.slice_ref(line),
            Cow::Owned(all) => all.into(),
        }
    }
}

fn framed(name: &str, data: &[u8]) -> Bytes {
    let data = one_line(data);
    let mut frame = BytesMut::with_capacity(name.len() + data.len() + 16);
    for part in [&b"event: "[..], name.as_bytes(), b"\ndata: ", &data, b"\n\n"] {
        frame.extend_from_slice(part);
    }
    frame.freeze()
}

fn one_line(json: &[u8]) -> Cow<'_, [u8]> {
    if memchr::memchr2(b'\n', b'\r', json).is_none() {
        return Cow::Borrowed(json);
    }
    let blank = |byte: &u8| if matches!(byte, b'\n' | b'\r') { b' ' } else { *byte };
    Cow::Owned(json.iter().map(blank).collect())
}

/// A body as the API answers errors with.
fn is_envelope(body: &[u8]) -> bool {
    #[derive(serde::Deserialize)]
    struct Typed {
        #[serde(rename = "type")]
        kind: String,
    }
    #[derive(serde::Deserialize)]
    struct Envelope {
        #[serde(rename = "type")]
        kind: String,
        error: Typed,
    }
    serde_json::from_slice::<Envelope>(body)
        .is_ok_and(|body| body.kind == "error" && !body.error.kind.is_empty())
}

/// The frame with an `event:` line in front, if its data is an object that names its type.
fn named(frame: &Bytes) -> Option<Bytes> {
    #[derive(serde::Deserialize)]
    struct Typed<'a> {
        #[serde(borrow, rename = "type")]
        kind: Cow<'a, str>,
    }
    field(frame, b"data")?;
    let data = joined(frame);
    let typed: Typed<'_> = serde_json::from_slice(&data).ok()?;
    // a name with a line end in it would write lines of its own
    if typed.kind.contains(['\r', '\n']) {
        return None;
    }
    let mut whole = BytesMut::with_capacity(frame.len() + typed.kind.len() + 8);
    for part in [&b"event: "[..], typed.kind.as_bytes(), b"\n", frame] {
        whole.extend_from_slice(part);
    }
    Some(whole.freeze())
}

/// The `data:` lines, joined by line ends.
fn joined(frame: &[u8]) -> Cow<'_, [u8]> {
    let mut lines = fields(frame, b"data");
    let first = lines.next().unwrap_or_default();
    let mut joined: Option<Vec<u8>> = None;
    for line in lines {
        let all = joined.get_or_insert_with(|| first.to_vec());
        all.push(b'\n');
        all.extend_from_slice(line);
    }
    joined.map_or(Cow::Borrowed(first), Cow::Owned)
}

fn field<'a>(frame: &'a [u8], name: &'a [u8]) -> Option<&'a [u8]> {
    fields(frame, name).next()
}

/// The values of the lines `name: value`; one blank behind the colon is not part of the value.
fn fields<'a>(frame: &'a [u8], name: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
    Lines(frame).filter_map(move |line| {
        let value = line.strip_prefix(name)?.strip_prefix(b":")?;
        Some(value.strip_prefix(b" ").unwrap_or(value))
    })
}

/// The lines of a frame without their line ends; `memchr`, since a line may have megabytes.
struct Lines<'a>(&'a [u8]);

impl<'a> Iterator for Lines<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let end = memchr::memchr(b'\n', self.0).unwrap_or(self.0.len());
        let line = &self.0[..end];
        self.0 = self.0.get(end + 1..).unwrap_or_default();
        Some(line.strip_suffix(b"\r").unwrap_or(line))
    }
}
