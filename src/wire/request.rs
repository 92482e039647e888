//! `MessagesRequest`: the document of a request and the few fields that the gateway itself reads.
use bytes::Bytes;

use crate::error::{Error, Result};
use crate::wire::document::{Document, Kind, Step};

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

impl MessagesRequest {
    /// One validating scan; no tree. Fails with a 400 that names the field.
    pub fn parse(raw: Bytes, endpoint: Endpoint) -> Result<Self> {
        Self::from_document(Document::parse(raw)?, endpoint)
    }

    /// Checks the fields anew: the way back from a stage that may have edited them.
    pub fn from_document(document: Document, endpoint: Endpoint) -> Result<Self> {
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

    /// The document, for stages; comes back through [`Self::from_document`].
    pub fn into_document(self) -> Document {
        self.document
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
}

fn model(document: &Document) -> Result<Box<str>> {
    require(document, "model", Kind::String)?;
    let text = document.field("model").unwrap_or_default();
    let model: String = serde_json::from_slice(&text)
        .map_err(|_| Error::invalid("`model` has an escape that is no character"))?;
    match model.is_empty() {
        true => Err(Error::invalid("`model` is empty: name a model")),
        false => Ok(model.into()),
    }
}

fn max_tokens(document: &Document) -> Result<()> {
    require(document, "max_tokens", Kind::Number)?;
    let text = document.field("max_tokens").unwrap_or_default();
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
    Ok(document.field("stream").is_some_and(|text| &text[..] == b"true"))
}

fn require(document: &Document, name: &str, kind: Kind) -> Result<()> {
    match document.field(name) {
        None => Err(Error::invalid(format!("`{name}` is missing: it must be {}", kind.as_str()))),
        Some(text) => matches(name, &text, kind),
    }
}

/// Absent and `null` are the same to the API.
fn allow(document: &Document, name: &str, kind: Kind) -> Result<()> {
    match document.field(name) {
        Some(text) if Kind::of(&text) != Kind::Null => matches(name, &text, kind),
        _ => Ok(()),
    }
}

fn matches(name: &str, text: &[u8], kind: Kind) -> Result<()> {
    let found = Kind::of(text);
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
