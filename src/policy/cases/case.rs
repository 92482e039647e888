//! `Case`: a case as its file has it: a request, at most one later event, and the expected result.
use std::collections::BTreeMap;
use std::time::Instant;

use http::{HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;
use serde_json::{Map, Value};
use serde_saphyr::Spanned;
use std::sync::Arc;

use crate::context::{Caller, Context};
use crate::error::Error;
use crate::net::headers;
use crate::policy::cases::expect::Expect;
use crate::policy::cases::given::{REQUIRED, usual_request};
use crate::policy::cases::subject::Subject;
use crate::policy::script::Clock;
use crate::wire::{Document, Endpoint, MessagesRequest, Step};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Case {
    pub(super) name: Spanned<String>,
    /// A map, or the JSON text itself if its bytes matter.
    #[serde(default = "usual_request")]
    request: Value,
    #[serde(default)]
    pub(super) ctx: CaseContext,
    /// The target of an attempt: `provider`, `model`, `unsupported`, `strictness`, `native`, `number`.
    upstream_request: Option<Map<String, Value>>,
    /// A message, or its text.
    response: Option<Value>,
    /// Pieces of text, events, or SSE text.
    stream: Option<Value>,
    /// `tool`, `input`, `options`.
    tool_call: Option<Map<String, Value>>,
    /// `tool`, `input`, `content`, `is_error`.
    tool_result: Option<Map<String, Value>>,
    /// `status`, `type`, `message`.
    error: Option<Map<String, Value>>,
    pub(super) expect: Expect,
}

impl Case {
    /// Returns the first mistake in the case itself.
    pub(super) fn fault(&self) -> Option<Fault> {
        let of_case = |message: String| Fault { line: self.name.referenced.line(), message };
        let subjects = self.subjects();
        if let [first, second, ..] = subjects.as_slice() {
            let (first, second) = (first.name(), second.name());
            let message = format!("it has `{first}` and `{second}`: split it into two cases");
            return Some(of_case(message));
        }
        self.ctx.clock().err().or_else(|| self.expect.wrong_for(&self.subject()).map(of_case))
    }

    /// Returns the subject of the case.
    pub(super) fn subject(&self) -> Subject<'_> {
        self.subjects().pop().unwrap_or(Subject::Request)
    }

    fn subjects(&self) -> Vec<Subject<'_>> {
        [
            self.upstream_request.as_ref().map(Subject::Upstream),
            self.response.as_ref().map(Subject::Response),
            self.stream.as_ref().map(Subject::Stream),
            self.tool_call.as_ref().map(Subject::ToolCall),
            self.tool_result.as_ref().map(Subject::ToolResult),
            self.error.as_ref().map(Subject::Error),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    /// Returns the request, and the required fields that the case leaves out and the usual request supplies.
    /// Fails with a 400 if the request is invalid, as a live request would.
    pub(super) fn request(&self) -> Result<(MessagesRequest, Vec<&'static str>), Error> {
        let usual = usual_request();
        let mut document = self.document()?;
        let missing: Vec<&str> =
            REQUIRED.into_iter().filter(|field| document.field(field).is_none()).collect();
        for field in &missing {
            document.set_value(&[Step::Key(field)], &usual[field])?;
        }
        // requests of `count_tokens` need no `max_tokens`
        let endpoint = match document.field("max_tokens") {
            Some(_) => Endpoint::Messages,
            None => Endpoint::CountTokens,
        };
        Ok((MessagesRequest::parse(document.to_bytes(), endpoint)?, missing))
    }

    /// Returns the request's context.
    pub(super) fn context(&self) -> Result<Context, Error> {
        self.ctx.context(&self.document()?)
    }

    /// Returns the request as the case has it.
    fn document(&self) -> Result<Document, Error> {
        Document::parse(match &self.request {
            Value::String(text) => text.clone().into(),
            value => value.to_string().into(),
        })
    }
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct CaseContext {
    key: String,
    tags: BTreeMap<String, String>,
    headers: BTreeMap<String, String>,
    pub(super) with: Map<String, Value>,
    /// The model; if absent, the request's own `model`.
    model: Option<String>,
    session: String,
    /// The time that the policy reads; if absent, the system's.
    now: Option<Spanned<String>>,
}

/// A mistake in a case, and its line.
pub(super) struct Fault {
    pub(super) line: u64,
    pub(super) message: String,
}

impl CaseContext {
    /// Returns the time that the policy reads.
    pub(super) fn clock(&self) -> Result<Clock, Fault> {
        let Some(now) = &self.now else { return Ok(Clock::default()) };
        let line = now.referenced.line();
        Clock::at(&now.value)
            .map_err(|message| Fault { line, message: format!("`ctx.now`: {message}") })
    }

    /// Returns the context of a request.
    fn context(&self, document: &Document) -> Result<Context, Error> {
        let mut headers = HeaderMap::new();
        for (name, value) in &self.headers {
            let wrong = || Error::invalid(format!("`ctx.headers.{name}` is not a valid header"));
            let name = HeaderName::try_from(name).map_err(|_| wrong())?;
            headers.append(name, HeaderValue::try_from(value).map_err(|_| wrong())?);
        }
        let effects = document.field("model").unwrap_or_default();
        let effects = serde_json::from_slice(&effects).unwrap_or_default();
        Ok(Context {
            request_id: "req_case".to_owned(),
            started: Instant::now(),
            caller: Arc::new(Caller {
                key: self.key.clone(),
                tags: self.tags.clone(),
                ..Caller::default()
            }),
            headers: headers::for_stages(headers),
            query: None,
            credential: None,
            session: self.session.clone(),
            model: self.model.clone().unwrap_or(effects),
            media: Arc::default(),
            story: Arc::default(),
            admission: None,
        })
    }
}
