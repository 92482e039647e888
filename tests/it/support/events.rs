//! The tests' own reading of a stream: frames, events, and the message that they make up.
use bytes::Bytes;
use serde_json::Value;

/// Cuts a stream of server-sent events at its blank lines.
#[derive(Default)]
pub struct Cutter {
    buffer: Vec<u8>,
    /// So many bytes hold no end of a frame.
    seen: usize,
}

impl Cutter {
    /// Takes more of the stream.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Takes the next whole frame, blank line included.
    pub fn next_frame(&mut self) -> Option<Bytes> {
        let from = self.seen.saturating_sub(2);
        let ends = [&b"\n\n"[..], b"\n\r\n"].map(|end| {
            memchr::memmem::find(&self.buffer[from..], end).map(|at| from + at + end.len())
        });
        self.seen = self.buffer.len();
        let end = ends.into_iter().flatten().min()?;
        self.seen = 0;
        Some(self.buffer.drain(..end).collect())
    }

    /// The bytes after the last whole frame.
    pub fn rest(&self) -> &[u8] {
        &self.buffer
    }
}

/// The events of the API; `Other` is an event of another name, or a comment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventKind {
    MessageStart,
    ContentBlockStart,
    ContentBlockDelta,
    ContentBlockStop,
    MessageDelta,
    MessageStop,
    Ping,
    Error,
    Other,
}

impl EventKind {
    /// The name on the `event:` line.
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

    fn of(name: &str) -> Self {
        let known = [
            Self::MessageStart,
            Self::ContentBlockStart,
            Self::ContentBlockDelta,
            Self::ContentBlockStop,
            Self::MessageDelta,
            Self::MessageStop,
            Self::Ping,
            Self::Error,
        ];
        known.into_iter().find(|kind| kind.as_str() == name).unwrap_or(Self::Other)
    }
}

/// One event, as official clients read it: without an `event:` line it has no name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    pub kind: EventKind,
    frame: Bytes,
}

impl Event {
    /// Reads a whole frame.
    pub fn from_frame(frame: impl Into<Bytes>) -> Self {
        let frame = frame.into();
        let name = fields(&frame, "event").pop().unwrap_or_default();
        Self { kind: EventKind::of(&name), frame }
    }

    /// The exact bytes.
    pub fn frame(&self) -> &Bytes {
        &self.frame
    }

    /// The `data:` lines.
    pub fn data(&self) -> String {
        fields(&self.frame, "data").join("\n")
    }

    /// The data; `null` if it is no JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.data()).unwrap_or_default()
    }
}

/// The values of the lines of this name.
fn fields(frame: &[u8], name: &str) -> Vec<String> {
    let text = String::from_utf8_lossy(frame);
    let values = text.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    values.map(|value| value.strip_prefix(' ').unwrap_or(value).to_owned()).collect()
}

/// The kinds of events, for a comparison at a glance.
pub fn kinds(events: &[Event]) -> Vec<EventKind> {
    events.iter().map(|event| event.kind).collect()
}

/// The message that the events of a whole stream stand for, as the API's documentation puts it together.
pub fn folded(events: &[Event]) -> Value {
    let mut message = Value::Null;
    let mut input = String::new();
    for event in events {
        let data = event.json();
        let index = data["index"].as_u64().unwrap_or_default() as usize;
        match event.kind {
            EventKind::MessageStart => message = data["message"].clone(),
            EventKind::ContentBlockStart => {
                input.clear();
                message["content"].as_array_mut().unwrap().push(data["content_block"].clone());
            }
            EventKind::ContentBlockDelta => {
                delta(&mut message["content"][index], &data["delta"], &mut input);
            }
            EventKind::MessageDelta => {
                merge(&mut message, &data["delta"]);
                merge(&mut message["usage"], &data["usage"]);
                // whatever stands beside them belongs to the message, too
                let mut others = data;
                for known in ["type", "delta", "usage"] {
                    others.as_object_mut().unwrap().remove(known);
                }
                merge(&mut message, &others);
            }
            _ => {}
        }
    }
    assert!(events.iter().any(|event| event.kind == EventKind::MessageStop), "no message_stop");
    message
}

fn delta(block: &mut Value, delta: &Value, input: &mut String) {
    let text = |field: &str| delta[field].as_str().unwrap_or_default();
    match delta["type"].as_str().unwrap() {
        "text_delta" => append(&mut block["text"], text("text")),
        "thinking_delta" => append(&mut block["thinking"], text("thinking")),
        "signature_delta" => append(&mut block["signature"], text("signature")),
        "citations_delta" => match &mut block["citations"] {
            Value::Array(all) => all.push(delta["citation"].clone()),
            none => *none = Value::Array(vec![delta["citation"].clone()]),
        },
        "input_json_delta" => {
            input.push_str(text("partial_json"));
            // a call that was cut off keeps the input of its start
            if let Ok(whole @ Value::Object(_)) = serde_json::from_str(input) {
                block["input"] = whole;
            }
        }
        _ => {}
    }
}

fn append(field: &mut Value, more: &str) {
    *field = format!("{}{more}", field.as_str().unwrap_or_default()).into();
}

/// A later value replaces an earlier one; `null` says nothing where something was said.
fn merge(into: &mut Value, from: &Value) {
    for (field, value) in from.as_object().into_iter().flatten() {
        if !value.is_null() || into[field].is_null() {
            into[field] = value.clone();
        }
    }
}
