//! `MessagesRequest`: the document of a request and the few fields that the gateway itself reads.
use std::borrow::Cow;

use bytes::Bytes;

use crate::error::{Error, Result};
use crate::wire::document::{Document, Kind, Mark, Step};
use crate::wire::pieces::Pieces;

/// Which endpoint a request is for: they require different fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Endpoint {
    /// `POST /v1/messages`
    Messages,
    /// `POST /v1/messages/count_tokens`
    CountTokens,
}

impl Endpoint {
    /// The path on an upstream, behind its base URL.
    pub fn path(self) -> &'static str {
        match self {
            Self::Messages => "/v1/messages",
            Self::CountTokens => "/v1/messages/count_tokens",
        }
    }
}

/// A request body. Cloning shares the bytes.
#[derive(Debug, Clone)]
pub struct MessagesRequest {
    /// Which endpoint it came to.
    pub endpoint: Endpoint,
    document: Document,
    model: Box<str>,
    is_stream: bool,
}

/// What was read of a request whose document is with a stage.
#[derive(Debug)]
pub struct Read {
    endpoint: Endpoint,
    model: Box<str>,
    is_stream: bool,
    mark: Mark,
}

impl Read {
    /// The request that the stage leaves. Fails with a 400 that names the field if it is none
    /// any more; what nobody edited is not read again.
    pub fn with(self, document: Document) -> Result<MessagesRequest> {
        let Self { endpoint, model, is_stream, mark } = self;
        match document.mark() == mark {
            true => Ok(MessagesRequest { endpoint, document, model, is_stream }),
            false => MessagesRequest::from_document(document, endpoint),
        }
    }

    /// Of the document as the stage got it.
    pub fn mark(&self) -> Mark {
        self.mark
    }
}

impl MessagesRequest {
    /// One validating scan; no tree. Fails with a 400 that names the field.
    pub fn parse(raw: Bytes, endpoint: Endpoint) -> Result<Self> {
        Self::from_document(Document::parse(raw)?, endpoint)
    }

    /// Checks the fields.
    fn from_document(document: Document, endpoint: Endpoint) -> Result<Self> {
        let model = model(&document)?;
        require(&document, "messages", Kind::Array)?;
        allow(&document, "tools", Kind::Array)?;
        if endpoint == Endpoint::Messages {
            max_tokens(&document)?;
        }
        let is_stream = is_stream(&document)?;
        Ok(Self { endpoint, document, model, is_stream })
    }

    /// The model that the caller (or a stage) asked for: an alias of ours.
    pub fn model(&self) -> &str {
        &self.model
    }

    /// The caller wants a stream.
    pub fn is_stream(&self) -> bool {
        self.is_stream
    }

    /// The document.
    pub fn document(&self) -> &Document {
        &self.document
    }

    /// The document, to open or edit; `model` and `stream` have setters of their own.
    pub fn document_mut(&mut self) -> &mut Document {
        &mut self.document
    }

    /// The document, for stages, and what comes back together with it.
    pub fn into_parts(self) -> (Read, Document) {
        let Self { endpoint, document, model, is_stream } = self;
        (Read { endpoint, model, is_stream, mark: document.mark() }, document)
    }

    /// Names the upstream's model; no edit if it is the same.
    pub fn set_model(&mut self, model: &str) -> Result<()> {
        if model == &*self.model {
            return Ok(());
        }
        self.document.set_value(&[Step::Key("model")], &model)?;
        self.model = model.into();
        Ok(())
    }

    /// Asks for a stream or not; no edit if it says so already.
    pub fn set_stream(&mut self, stream: bool) -> Result<()> {
        if stream == self.is_stream {
            return Ok(());
        }
        self.document.set_value(&[Step::Key("stream")], &stream)?;
        self.is_stream = stream;
        Ok(())
    }

    /// The bytes to send: the caller's own if nobody edited.
    pub fn to_bytes(&self) -> Bytes {
        self.document.to_bytes()
    }

    /// The same, without a copy of long runs that nobody edited.
    pub fn to_pieces(&self) -> Pieces {
        self.document.to_pieces()
    }
}

fn model(document: &Document) -> Result<Box<str>> {
    require(document, "model", Kind::String)?;
    let text = document.field_text("model").unwrap_or_default();
    let model: Cow<'_, str> = serde_json::from_slice::<Text<'_>>(&text)
        .map_err(|_| Error::invalid("`model` has an escape that is no character"))?
        .0;
    match model.is_empty() {
        true => Err(Error::invalid("`model` is empty: name a model")),
        false => Ok(model.into()),
    }
}

/// Borrowed where it has no escapes.
#[derive(serde::Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

fn max_tokens(document: &Document) -> Result<()> {
    require(document, "max_tokens", Kind::Number)?;
    let text = document.field_text("max_tokens").unwrap_or_default();
    match serde_json::from_slice::<u64>(&text) {
        Ok(_) => Ok(()),
        Err(_) => Err(Error::invalid(format!(
            "`max_tokens` is {}: it must be a whole number, 0 or more",
            shorten(&text)
        ))),
    }
}

fn is_stream(document: &Document) -> Result<bool> {
    allow(document, "stream", Kind::Bool)?;
    Ok(document.field_text("stream").is_some_and(|text| &text[..] == b"true"))
}

fn require(document: &Document, name: &str, kind: Kind) -> Result<()> {
    match document.field_kind(name) {
        None => Err(Error::invalid(format!("`{name}` is missing: it must be {}", kind.as_str()))),
        Some(found) => matches(name, found, kind),
    }
}

/// Absent and `null` are the same to the API.
fn allow(document: &Document, name: &str, kind: Kind) -> Result<()> {
    match document.field_kind(name) {
        Some(found) if found != Kind::Null => matches(name, found, kind),
        _ => Ok(()),
    }
}

fn matches(name: &str, found: Kind, kind: Kind) -> Result<()> {
    match found == kind {
        true => Ok(()),
        false => Err(Error::invalid(format!(
            "`{name}` is {}: it must be {}",
            found.as_str(),
            kind.as_str()
        ))),
    }
}

fn shorten(text: &[u8]) -> String {
    String::from_utf8_lossy(&text[..text.len().min(40)]).into_owned()
}
