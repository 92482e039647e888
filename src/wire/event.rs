//! One event of a Messages stream: its original frame and its kind.
use std::borrow::Cow;

use bytes::{Bytes, BytesMut};
use futures_util::stream::BoxStream;

use crate::error::{Error, Result};

/// The stream of events of a response; every streamed response has this type.
pub(crate) type EventStream = BoxStream<'static, Result<Event>>;

/// The events of the API. `Other` is any future event; it passes unchanged.
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
    /// `error`; no event follows
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

    /// Returns the name on the `event:` line; empty for `Other`.
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

/// One event. The client receives its frame byte for byte, with the blank line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The kind of the event.
    pub kind: EventKind,
    frame: Bytes,
}

impl Event {
    /// Reads the kind of a whole frame. A frame with data but without an `event:` line gets that line
    /// from `data.type`, since official clients ignore events without a name.
    pub fn from_frame(frame: Bytes) -> Self {
        if let Some(name) = field(&frame, b"event") {
            return Self { kind: EventKind::of(name), frame };
        }
        match named(&frame) {
            Some(frame) => Self::from_frame(frame),
            None => Self { kind: EventKind::Other, frame },
        }
    }

    /// Builds an event of a known kind from its JSON. Line ends become blanks, since an event's data is
    /// one line. JSON has line ends between values only.
    pub fn new(kind: EventKind, data: &[u8]) -> Self {
        Self { kind, frame: framed(kind.as_str(), data) }
    }

    /// Builds an event of any name from its JSON.
    pub(crate) fn named(name: &str, data: &[u8]) -> Self {
        Self { kind: EventKind::of(name.as_bytes()), frame: framed(name, data) }
    }

    /// Builds a `ping` as the API writes it.
    pub fn ping() -> Self {
        const PING: &[u8] = b"event: ping\ndata: {\"type\": \"ping\"}\n\n";
        Self { kind: EventKind::Ping, frame: Bytes::from_static(PING) }
    }

    /// Builds an `error` event with the envelope of an error response. The upstream's own envelope is
    /// used if there is one, since clients act on its content.
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

    /// Returns the frame.
    pub fn frame(&self) -> &Bytes {
        &self.frame
    }

    /// Returns the frame and consumes the event.
    pub fn into_frame(self) -> Bytes {
        self.frame
    }

    /// Returns the JSON of the `data:` lines, joined; empty if there is none.
    pub fn data(&self) -> Cow<'_, [u8]> {
        joined(&self.frame)
    }

    /// Returns the bytes of the frame.
    pub(crate) fn size(&self) -> usize {
        self.frame.len()
    }

    /// Returns the JSON as `Bytes`. Shares the frame's bytes if the data is one line.
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

/// Returns whether a body is an error envelope of the API.
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

/// Returns the frame with an `event:` line in front, if its data is an object with a `type`.
fn named(frame: &Bytes) -> Option<Bytes> {
    #[derive(serde::Deserialize)]
    struct Typed<'a> {
        #[serde(borrow, rename = "type")]
        kind: Cow<'a, str>,
    }
    field(frame, b"data")?;
    let data = joined(frame);
    let typed: Typed<'_> = serde_json::from_slice(&data).ok()?;
    // a line end in the name would add lines to the frame
    if typed.kind.contains(['\r', '\n']) {
        return None;
    }
    let mut whole = BytesMut::with_capacity(frame.len() + typed.kind.len() + 8);
    for part in [&b"event: "[..], typed.kind.as_bytes(), b"\n", frame] {
        whole.extend_from_slice(part);
    }
    Some(whole.freeze())
}

/// Returns the `data:` lines, joined by line ends.
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

/// Returns the values of the lines `name: value`; one blank after the colon is not part of the value.
fn fields<'a>(frame: &'a [u8], name: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
    Lines(frame).filter_map(move |line| {
        let value = line.strip_prefix(name)?.strip_prefix(b":")?;
        Some(value.strip_prefix(b" ").unwrap_or(value))
    })
}

/// The lines of a frame without their line ends. Uses `memchr`, since a line may have megabytes.
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
