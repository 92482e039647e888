//! Folds the events of a stream into the message that they describe.
use bytes::Bytes;
use http::StatusCode;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::error::{Error, ErrorKind, Origin, Result, UpstreamOrigin};
use crate::wire::document::{Document, Kind, Step};
use crate::wire::event::{Event, EventKind};
use crate::wire::usage;

/// One content block while its events arrive.
#[derive(Debug)]
pub(crate) struct FoldedBlock {
    /// The block from `content_block_start`.
    start: Document,
    text: String,
    thinking: String,
    signature: String,
    partial_json: String,
    citations: Vec<Box<RawValue>>,
}

impl FoldedBlock {
    /// Returns the block's `type`.
    pub(crate) fn kind(&self) -> String {
        self.string("type")
    }

    /// Returns a string field of the block's start; empty if there is none.
    pub(crate) fn string(&self, field: &str) -> String {
        let text = self.start.field(field).unwrap_or_default();
        serde_json::from_slice(&text).unwrap_or_default()
    }

    /// Returns whether this is a text block without text so far.
    pub(crate) fn is_empty_text(&self) -> bool {
        self.text.is_empty() && self.string("text").is_empty()
    }

    /// Returns the input of a tool call so far, as the model wrote it; `{}` if it wrote nothing. The
    /// input is incomplete JSON if the model was cut off.
    pub(crate) fn input(&self) -> Bytes {
        match self.partial_json.as_str() {
            "" => self.start.field("input").unwrap_or_else(|| Bytes::from_static(b"{}")),
            json => Bytes::copy_from_slice(json.as_bytes()),
        }
    }

    /// Returns the whole block as in the API's non-streaming response. If the input is no JSON object
    /// (the model was cut off), the input of the block's start (`{}`) is used.
    pub(crate) fn json(&self) -> Result<Bytes> {
        let mut block = self.start.clone();
        for (field, value) in [("text", &self.text), ("thinking", &self.thinking)] {
            if !value.is_empty() {
                let whole = format!("{}{value}", self.string(field));
                block.set_value(&[Step::Key(field)], &whole)?;
            }
        }
        if !self.signature.is_empty() {
            block.set_value(&[Step::Key("signature")], &self.signature)?;
        }
        if is_object(self.partial_json.as_bytes()) {
            block.set(&[Step::Key("input")], self.partial_json.clone())?;
        }
        if !self.citations.is_empty() {
            block.set_value(&[Step::Key("citations")], &self.citations)?;
        }
        Ok(block.to_bytes())
    }

    fn compacted(
        &mut self,
        content: Option<&RawValue>,
        encrypted: Option<&RawValue>,
    ) -> Result<()> {
        for (field, value) in [("content", content), ("encrypted_content", encrypted)] {
            if let Some(value) = value {
                self.start.set(&[Step::Key(field)], value.get().to_owned())?;
            }
        }
        Ok(())
    }
}

/// Returns whether a text is the complete JSON of an object.
pub(crate) fn is_object(text: &[u8]) -> bool {
    Kind::of(text.trim_ascii_start()) == Kind::Object
        && serde_json::from_slice::<&RawValue>(text).is_ok()
}

/// The fold of one message. Push all of its events in order.
#[derive(Debug, Default)]
pub(crate) struct Fold {
    message: Option<Document>,
    /// The blocks in the order of their index.
    pub blocks: Vec<FoldedBlock>,
    usage: Map<String, Value>,
    is_complete: bool,
}

#[derive(serde::Deserialize)]
struct Delta<'a> {
    #[serde(borrow)]
    delta: Parts<'a>,
}

/// The fields of all known deltas. The delta's type decides on the meaning of a field.
#[derive(serde::Deserialize)]
struct Parts<'a> {
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(borrow)]
    text: Option<&'a RawValue>,
    #[serde(borrow)]
    thinking: Option<&'a RawValue>,
    #[serde(borrow)]
    signature: Option<&'a RawValue>,
    #[serde(borrow)]
    partial_json: Option<&'a RawValue>,
    #[serde(borrow)]
    citation: Option<&'a RawValue>,
    #[serde(borrow)]
    content: Option<&'a RawValue>,
    #[serde(borrow)]
    encrypted_content: Option<&'a RawValue>,
}

impl Fold {
    /// Takes one event. Unknown events and deltas change nothing, as in the official clients.
    ///
    /// Fails (`api_error`) on unreadable JSON and on an `error` event.
    pub(crate) fn push(&mut self, event: &Event) -> Result<()> {
        match event.kind {
            EventKind::MessageStart => self.start(event),
            EventKind::ContentBlockStart => self.block_start(event),
            EventKind::ContentBlockDelta => self.block_delta(event),
            EventKind::MessageDelta => self.message_delta(event),
            EventKind::MessageStop => {
                self.is_complete = true;
                Ok(())
            }
            EventKind::Error => Err(error_of(event)),
            EventKind::ContentBlockStop | EventKind::Ping | EventKind::Other => Ok(()),
        }
    }

    /// Returns whether `message_stop` has arrived.
    pub(crate) fn is_complete(&self) -> bool {
        self.is_complete
    }

    /// Returns `usage` so far.
    pub(crate) fn usage(&self) -> &Map<String, Value> {
        &self.usage
    }

    /// Returns the JSON of a member of the message so far; `None` if it is absent.
    pub(crate) fn field(&self, name: &str) -> Option<Bytes> {
        self.message.as_ref()?.field(name)
    }

    /// Returns `stop_reason`; empty before `message_delta`.
    pub(crate) fn stop_reason(&self) -> String {
        serde_json::from_slice(&self.field("stop_reason").unwrap_or_default()).unwrap_or_default()
    }

    /// Returns the whole message.
    pub(crate) fn finish(mut self) -> Result<Bytes> {
        if !self.is_complete {
            return Err(nonsense("the upstream's stream ended without `message_stop`"));
        }
        let mut message =
            self.message.take().ok_or_else(|| nonsense("the stream has no `message_start`"))?;
        let mut content = Vec::with_capacity(1024);
        content.push(b'[');
        for (n, block) in self.blocks.iter().enumerate() {
            if n > 0 {
                content.push(b',');
            }
            content.extend_from_slice(&block.json()?);
        }
        content.push(b']');
        message.set(&[Step::Key("content")], content)?;
        message.set_value(&[Step::Key("usage")], &self.usage)?;
        Ok(message.to_bytes())
    }

    fn start(&mut self, event: &Event) -> Result<()> {
        let mut data = data_of(event)?;
        let message = data
            .get(&[Step::Key("message")])?
            .ok_or_else(|| nonsense("`message_start` has no `message`"))?;
        let message = Document::parse(message).map_err(unreadable)?;
        self.usage = map_of(message.field("usage"));
        self.message = Some(message);
        Ok(())
    }

    fn block_start(&mut self, event: &Event) -> Result<()> {
        let mut data = data_of(event)?;
        let block = data
            .get(&[Step::Key("content_block")])?
            .ok_or_else(|| nonsense("`content_block_start` has no `content_block`"))?;
        let start = Document::parse(block).map_err(unreadable)?;
        self.blocks.push(FoldedBlock {
            start,
            text: String::new(),
            thinking: String::new(),
            signature: String::new(),
            partial_json: String::new(),
            citations: Vec::new(),
        });
        Ok(())
    }

    fn block_delta(&mut self, event: &Event) -> Result<()> {
        let data = event.data();
        let unreadable = |e| nonsense("a `content_block_delta` cannot be read").with_source(e);
        let delta: Delta<'_> = serde_json::from_slice(&data).map_err(unreadable)?;
        let block = self
            .blocks
            .last_mut()
            .ok_or_else(|| nonsense("a `content_block_delta` came before its block"))?;
        let parts = delta.delta;
        let (whole, part) = match parts.kind.as_str() {
            "text_delta" => (&mut block.text, parts.text),
            "thinking_delta" => (&mut block.thinking, parts.thinking),
            "signature_delta" => (&mut block.signature, parts.signature),
            "input_json_delta" => (&mut block.partial_json, parts.partial_json),
            "citations_delta" => {
                block.citations.extend(parts.citation.map(ToOwned::to_owned));
                return Ok(());
            }
            "compaction_delta" => {
                return block.compacted(parts.content, parts.encrypted_content);
            }
            _ => return Ok(()),
        };
        let part = part.map_or(Ok(String::new()), |part| serde_json::from_str(part.get()));
        whole.push_str(&part.map_err(unreadable)?);
        Ok(())
    }

    /// Copies every field of `delta`, and the fields beside it, into the message.
    fn message_delta(&mut self, event: &Event) -> Result<()> {
        let mut data = data_of(event)?;
        let message = self
            .message
            .as_mut()
            .ok_or_else(|| nonsense("`message_delta` came before `message_start`"))?;
        usage::overwrite(&mut self.usage, &map_of(data.field("usage")));
        for key in data.keys(&[Step::Key("delta")])?.unwrap_or_default() {
            if let Some(value) = data.get(&[Step::Key("delta"), Step::Key(&key)])? {
                message.set(&[Step::Key(&key)], value)?;
            }
        }
        for key in data.keys(&[])?.unwrap_or_default() {
            if !matches!(key.as_str(), "type" | "delta" | "usage")
                && let Some(value) = data.field(&key)
            {
                message.set(&[Step::Key(&key)], value)?;
            }
        }
        Ok(())
    }
}

/// Returns the body of an error response from the data of an `error` event: with `request_id`, if the data
/// has none.
pub(crate) fn named_error(data: &[u8], request_id: &str) -> Bytes {
    let named = serde_json::from_slice::<Map<String, Value>>(data);
    let rest = data.trim_ascii_end().strip_suffix(b"}");
    match (named, rest) {
        (Ok(members), Some(rest)) if !members.contains_key("request_id") => {
            let comma = if members.is_empty() { "" } else { "," };
            let id = Value::from(request_id);
            [rest, format!("{comma}\"request_id\":{id}}}").as_bytes()].concat().into()
        }
        _ => Bytes::copy_from_slice(data),
    }
}

/// Returns the error of an `error` event, with the event's message.
pub(crate) fn error_of(event: &Event) -> Error {
    #[derive(serde::Deserialize, Default)]
    struct Inner {
        #[serde(default, rename = "type")]
        kind: String,
        #[serde(default)]
        message: String,
    }
    #[derive(serde::Deserialize, Default)]
    struct Outer {
        #[serde(default)]
        error: Inner,
    }
    let outer: Outer = serde_json::from_slice(&event.data()).unwrap_or_default();
    let kind = match outer.error.kind.as_str() {
        "invalid_request_error" => ErrorKind::InvalidRequest,
        "authentication_error" => ErrorKind::Authentication,
        "permission_error" => ErrorKind::Permission,
        "not_found_error" => ErrorKind::NotFound,
        "request_too_large" => ErrorKind::RequestTooLarge,
        "rate_limit_error" => ErrorKind::RateLimit,
        "billing_error" => ErrorKind::Billing,
        "timeout_error" => ErrorKind::Timeout,
        "overloaded_error" => ErrorKind::Overloaded,
        _ => ErrorKind::Api,
    };
    let status = match kind {
        // the upstream's own 529, not the gateway's status
        ErrorKind::Overloaded => StatusCode::from_u16(529).unwrap_or(kind.status()),
        kind => kind.status(),
    };
    let origin = UpstreamOrigin { status: Some(status), ..UpstreamOrigin::default() };
    Error::new(kind, outer.error.message).with_origin(Origin::Upstream(Box::new(origin)))
}

/// Parses the JSON of an upstream's event. Fails (`api_error`) if it is no object.
pub(crate) fn data_of(event: &Event) -> Result<Document> {
    Document::parse(event.data_bytes()).map_err(unreadable)
}

fn unreadable(source: Error) -> Error {
    nonsense("an event of the upstream cannot be read").with_source(source)
}

fn nonsense(message: &str) -> Error {
    Error::new(ErrorKind::BadUpstream, message)
}

fn map_of(json: Option<Bytes>) -> Map<String, Value> {
    json.and_then(|json| serde_json::from_slice(&json).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests;
