//! The decoder for Bedrock's event stream: checked frames, each with one event of the Messages API.
use std::borrow::Cow;
use std::collections::VecDeque;

use aws_smithy_eventstream::frame::read_message_from;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::{Buf, Bytes, BytesMut};
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::error::{Error, ErrorKind, Result};
use crate::providers::native::failure;
use crate::providers::timed::Decoder;
use crate::wire::sse::MAX_FRAME;
use crate::wire::{Document, Event, EventKind, Kind, Step};

/// The bytes before the headers of a frame: two lengths and their checksum.
const PRELUDE: usize = 12;
/// The member of `message_stop` with Bedrock's own counts.
const METRICS: &str = "amazon-bedrock-invocationMetrics";
/// The counts of the cache, at the API and in Bedrock's own counts.
const CACHE: [(&str, &str); 2] = [
    ("cache_read_input_tokens", "cacheReadInputTokenCount"),
    ("cache_creation_input_tokens", "cacheWriteInputTokenCount"),
];

/// Decodes frames. It holds `message_delta` until `message_stop`, which has the counts of the cache.
#[derive(Default)]
pub(super) struct Invoked {
    buffer: BytesMut,
    ready: VecDeque<Event>,
    held: Option<Bytes>,
}

/// The payload of a frame of type `chunk`.
#[derive(Deserialize)]
struct Chunk<'a> {
    #[serde(borrow)]
    bytes: Cow<'a, str>,
}

/// The payload of an exception.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Exception {
    message: Option<String>,
    original_status_code: Option<u16>,
    original_message: Option<String>,
}

/// A frame after its checksums.
enum Frame {
    /// The JSON of an event.
    Event(Bytes),
    /// An error that ends the stream: its type and its message.
    Failed(&'static str, String),
    /// A frame of another kind.
    Other,
}

impl Decoder for Invoked {
    const CONTENT_TYPE: &'static str = "application/vnd.amazon.eventstream";

    fn push(&mut self, data: Bytes) {
        self.buffer.extend_from_slice(&data);
    }

    fn next_event(&mut self) -> Result<Option<Event>> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Ok(Some(event));
            }
            match self.frame()? {
                None => return Ok(None),
                Some(Frame::Event(json)) => self.take(json)?,
                Some(Frame::Failed(kind, message)) => {
                    let error = json!({"type": kind, "message": message});
                    let data = json!({"type": "error", "error": error}).to_string();
                    self.ready.push_back(Event::new(EventKind::Error, data.as_bytes()));
                }
                Some(Frame::Other) => {}
            }
        }
    }

    fn finish(&mut self) -> Result<Option<Event>> {
        let held = self.held.take();
        Ok(held.map(|held| Event::new(EventKind::MessageDelta, &held)))
    }
}

impl Invoked {
    /// Cuts the next whole frame; `None` if more bytes are needed.
    fn frame(&mut self) -> Result<Option<Frame>> {
        if self.buffer.len() < PRELUDE {
            return Ok(None);
        }
        let total = (&self.buffer[..]).get_u32() as usize;
        if total > MAX_FRAME {
            return Err(bad("a frame of the upstream is too long"));
        }
        if self.buffer.len() < total {
            return Ok(None);
        }
        let broken = || bad("a frame of the upstream's stream is damaged");
        let frame = self.buffer.split_to(total.max(PRELUDE)).freeze();
        let frame = read_message_from(frame).map_err(|e| broken().with_source(e))?;
        let header = |name: &str| {
            let found = frame.headers().iter().find(|header| header.name().as_str() == name)?;
            Some(found.value().as_string().ok()?.as_str())
        };
        Ok(Some(match (header(":message-type"), header(":event-type")) {
            (Some("event"), Some("chunk")) => Frame::Event(event_of(frame.payload())?),
            (Some("event"), _) => Frame::Other,
            (Some("exception"), _) => {
                failed(header(":exception-type").unwrap_or_default(), frame.payload())
            }
            (Some("error"), _) => {
                let code = header(":error-code").unwrap_or_default();
                let kind = failure::of_aws(code).unwrap_or(ErrorKind::Api.as_str());
                Frame::Failed(kind, header(":error-message").unwrap_or(code).to_owned())
            }
            _ => return Err(broken()),
        }))
    }

    /// Takes the JSON of an event. JSON without a type is a sign of life only.
    fn take(&mut self, json: Bytes) -> Result<()> {
        #[derive(Deserialize)]
        struct Typed {
            #[serde(default, rename = "type")]
            kind: Value,
        }
        let unreadable = |e| bad("an event of the upstream cannot be read").with_source(e);
        let typed: Typed = serde_json::from_slice(&json).map_err(unreadable)?;
        let Some(kind) = typed.kind.as_str().filter(|kind| !kind.contains(char::is_control)) else {
            return Ok(());
        };
        match kind {
            "message_delta" => {
                self.release();
                self.held = Some(json);
            }
            "message_stop" => self.stop(json)?,
            "ping" => self.ready.push_back(Event::named(kind, &json)),
            _ => {
                self.release();
                self.ready.push_back(Event::named(kind, &json));
            }
        }
        Ok(())
    }

    fn release(&mut self) {
        let held = self.held.take();
        self.ready.extend(held.map(|held| Event::new(EventKind::MessageDelta, &held)));
    }

    /// Completes the usage of the held `message_delta`, and removes Bedrock's own counts.
    fn stop(&mut self, json: Bytes) -> Result<()> {
        let counts: Value = serde_json::from_slice(&json).unwrap_or_default();
        if let Some(held) = self.held.take() {
            let delta = completed(held, &counts)?;
            self.ready.push_back(Event::new(EventKind::MessageDelta, &delta));
        }
        let mut stop = Document::parse(json).map_err(unreadable)?;
        stop.remove(&[Step::Key(METRICS)])?;
        self.ready.push_back(Event::new(EventKind::MessageStop, &stop.to_bytes()));
        Ok(())
    }
}

/// Adds missing counts of the cache to the usage of a `message_delta`.
fn completed(delta: Bytes, counts: &Value) -> Result<Bytes> {
    let mut delta = Document::parse(delta).map_err(unreadable)?;
    for (name, own) in CACHE {
        let path = [Step::Key("usage"), Step::Key(name)];
        let is_missing = matches!(delta.kind(&path)?, None | Some(Kind::Null))
            && delta.kind(&path[..1])? == Some(Kind::Object);
        let count = counts["usage"][name].as_u64().or(counts[METRICS][own].as_u64());
        if let Some(count) = count.filter(|_| is_missing) {
            delta.set_value(&path, &count)?;
        }
    }
    Ok(delta.to_bytes())
}

/// Returns the JSON in the payload of a frame.
fn event_of(payload: &[u8]) -> Result<Bytes> {
    let unreadable = || bad("a frame of the upstream has no event");
    let chunk: Chunk<'_> =
        serde_json::from_slice(payload).map_err(|e| unreadable().with_source(e))?;
    let json = BASE64_STANDARD.decode(chunk.bytes.as_bytes());
    json.map(Bytes::from).map_err(|e| unreadable().with_source(e))
}

/// Returns the failure of an exception. A failure of the model's stream has the model's own status.
fn failed(name: &str, payload: &[u8]) -> Frame {
    let exception: Exception = serde_json::from_slice(payload).unwrap_or_default();
    let status = exception.original_status_code.and_then(|code| StatusCode::from_u16(code).ok());
    let kind = match status.filter(StatusCode::is_client_error) {
        Some(status) => Some(failure::of_status(status)),
        None => failure::of_aws(name),
    };
    let message = exception.original_message.or(exception.message);
    Frame::Failed(
        kind.unwrap_or(ErrorKind::Api.as_str()),
        message.unwrap_or_else(|| format!("the upstream reported `{name}`")),
    )
}

fn unreadable(source: Error) -> Error {
    bad("an event of the upstream cannot be read").with_source(source)
}

fn bad(message: &str) -> Error {
    Error::new(ErrorKind::BadUpstream, message)
}

#[cfg(test)]
mod tests;
