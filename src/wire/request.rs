//! `MessagesRequest`: the document of a request and the fields that the gateway itself reads.
use std::borrow::Cow;

use bytes::Bytes;

use crate::error::{Error, Result};
use crate::wire::document::{Document, Kind, Mark, Step};
use crate::wire::pieces::Pieces;

/// The endpoint of a request; each requires different fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Endpoint {
    /// `POST /v1/messages`
    Messages,
    /// `POST /v1/messages/count_tokens`
    CountTokens,
}

impl Endpoint {
    /// Returns the path on an upstream, relative to its base URL.
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
    /// The endpoint that received the request.
    pub endpoint: Endpoint,
    document: Document,
    model: Box<str>,
    is_stream: bool,
}

/// The fields that were read from a request while a stage has its document.
#[derive(Debug)]
pub struct Read {
    endpoint: Endpoint,
    model: Box<str>,
    is_stream: bool,
    mark: Mark,
}

impl Read {
    /// Returns the request after the stage. Fails with a 400 that names the field if the document is
    /// no valid request any more. An unedited document is not read again.
    pub fn with(self, document: Document) -> Result<MessagesRequest> {
        let Self { endpoint, model, is_stream, mark } = self;
        match document.mark() == mark {
            true => Ok(MessagesRequest { endpoint, document, model, is_stream }),
            false => MessagesRequest::from_document(document, endpoint),
        }
    }

    /// Returns the mark of the document that the stage received.
    pub fn mark(&self) -> Mark {
        self.mark
    }
}

/// The type of sources that are URLs, as JSON.
const URL: &[u8] = b"\"url\"";

impl MessagesRequest {
    /// Parses a request in one validating scan, without a tree. Fails with a 400 that names the field.
    pub fn parse(raw: Bytes, endpoint: Endpoint) -> Result<Self> {
        Self::from_document(Document::parse(raw)?, endpoint)
    }

    /// Checks the fields of a document and returns the request.
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

    /// Returns the model of the request, which the client or a stage named: an alias of the gateway.
    pub fn model(&self) -> &str {
        &self.model
    }

    /// Returns whether the client wants a stream.
    pub fn is_stream(&self) -> bool {
        self.is_stream
    }

    /// Returns the document.
    pub fn document(&self) -> &Document {
        &self.document
    }

    /// Returns the document for reads and edits. `model` and `stream` have their own setters.
    pub fn document_mut(&mut self) -> &mut Document {
        &mut self.document
    }

    /// Returns the document for the stages, and the read fields to rebuild the request from it.
    pub fn into_parts(self) -> (Read, Document) {
        let Self { endpoint, document, model, is_stream } = self;
        (Read { endpoint, model, is_stream, mark: document.mark() }, document)
    }

    /// Sets the upstream's model; no edit if it is the same.
    pub fn set_model(&mut self, model: &str) -> Result<()> {
        if model == &*self.model {
            return Ok(());
        }
        self.document.set_value(&[Step::Key("model")], &model)?;
        self.model = model.into();
        Ok(())
    }

    /// Sets `stream`; no edit if it is the same.
    pub fn set_stream(&mut self, stream: bool) -> Result<()> {
        if stream == self.is_stream {
            return Ok(());
        }
        self.document.set_value(&[Step::Key("stream")], &stream)?;
        self.is_stream = stream;
        Ok(())
    }

    /// Returns whether a block may have a source of type `url`. One search over the messages answers that, so a text
    /// elsewhere may count, too.
    pub fn may_have_url_sources(&self) -> bool {
        let Some(messages) = self.document.field("messages") else { return false };
        let is_value = |at: usize| {
            let after = messages[at + URL.len()..].iter().find(|byte| !byte.is_ascii_whitespace());
            after != Some(&b':')
        };
        memchr::memmem::find_iter(&messages, URL).any(is_value)
    }

    /// Returns the bytes to send: the client's own if the document is unedited.
    pub fn to_bytes(&self) -> Bytes {
        self.document.to_bytes()
    }

    /// Returns the bytes to send without copying long unedited runs.
    pub fn to_pieces(&self) -> Pieces {
        self.document.to_pieces()
    }
}

fn model(document: &Document) -> Result<Box<str>> {
    require(document, "model", Kind::String)?;
    let text = document.field_text("model").unwrap_or_default();
    let model: Cow<'_, str> = serde_json::from_slice::<BorrowedText<'_>>(&text)
        .map_err(|_| Error::invalid("`model` has an escape that is no character"))?
        .0;
    match model.is_empty() {
        true => Err(Error::invalid("`model` is empty: name a model")),
        false => Ok(model.into()),
    }
}

/// A string, borrowed if it has no escapes.
#[derive(serde::Deserialize)]
struct BorrowedText<'a>(#[serde(borrow)] Cow<'a, str>);

/// Checks a whole number in any of JSON's forms. The upstream judges its size.
fn max_tokens(document: &Document) -> Result<()> {
    require(document, "max_tokens", Kind::Number)?;
    let text = document.field_text("max_tokens").unwrap_or_default();
    match serde_json::from_slice::<f64>(&text) {
        Ok(number) if number < 0.0 || number.fract() != 0.0 => Err(Error::invalid(format!(
            "`max_tokens` is {}: it must be a whole number, 0 or more",
            String::from_utf8_lossy(&text[..text.len().min(40)])
        ))),
        _ => Ok(()),
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

/// Checks an optional field. To the API, absent and `null` are the same.
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
