//! The inputs of a case: a request, a target, a call, a result, an error. Each has defaults.
use http::StatusCode;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use crate::error::{Error, ErrorKind, Result};
use crate::net::headers;
use crate::policy::{Target, ToolCall, ToolOutput};

/// The fields that a case may leave out although every request has them.
pub(super) const REQUIRED: [&str; 2] = ["model", "messages"];

/// Returns a small request that would pass everywhere.
pub(super) fn usual_request() -> Value {
    json!({"model": "claude-x", "max_tokens": 1024, "messages": [{"role": "user", "content": "hi"}]})
}

/// The target of an attempt.
#[derive(Deserialize)]
#[serde(default)]
pub(super) struct GivenTarget {
    provider: String,
    model: String,
    unsupported: Vec<String>,
    strictness: String,
    native: bool,
    number: u32,
}

/// A call of a server tool, and its result.
#[derive(Deserialize)]
#[serde(default)]
pub(super) struct GivenCall {
    tool: String,
    id: String,
    input: Value,
    options: Value,
    content: Value,
    is_error: bool,
}

/// An error on its way to the caller.
#[derive(Deserialize)]
#[serde(default)]
struct GivenError {
    status: u16,
    #[serde(rename = "type")]
    kind: String,
    message: String,
}

impl Default for GivenTarget {
    fn default() -> Self {
        Self {
            provider: String::new(),
            model: String::new(),
            unsupported: Vec::new(),
            strictness: "warn".to_owned(),
            native: true,
            number: 1,
        }
    }
}

impl Default for GivenCall {
    fn default() -> Self {
        Self {
            tool: String::new(),
            id: "toolu_case".to_owned(),
            input: json!({}),
            options: json!({}),
            content: json!([]),
            is_error: false,
        }
    }
}

impl Default for GivenError {
    fn default() -> Self {
        Self { status: 500, kind: "api_error".to_owned(), message: String::new() }
    }
}

impl GivenTarget {
    /// Reads `upstream_request`.
    pub(super) fn of(given: &Map<String, Value>) -> Result<Self> {
        read("upstream_request", given)
    }

    pub(super) fn target(&self) -> Target<'_> {
        Target {
            provider: &self.provider,
            model: &self.model,
            unsupported: &self.unsupported,
            strictness: &self.strictness,
            is_native: self.native,
            number: self.number,
            forwards: &headers::ALL_FORWARDS,
        }
    }
}

impl GivenCall {
    /// Reads `tool_call` or `tool_result`; `key` is the name.
    pub(super) fn of(key: &str, given: &Map<String, Value>) -> Result<Self> {
        read(key, given)
    }

    pub(super) fn call(&self) -> ToolCall<'_> {
        ToolCall {
            tool: &self.tool,
            id: &self.id,
            input: self.input.to_string().into(),
            options: self.options.to_string().into(),
        }
    }

    /// Returns the result. Fails if its content is neither a text nor a list of blocks.
    pub(super) fn output(&self) -> Result<ToolOutput> {
        match &self.content {
            Value::String(_) | Value::Array(_) => {
                let mut output = ToolOutput::new(self.content.to_string());
                output.is_error = self.is_error;
                Ok(output)
            }
            other => Err(Error::invalid(format!(
                "`tool_result.content`: expected a text or a list of blocks, found {other}"
            ))),
        }
    }
}

/// Reads `error`.
pub(super) fn error(given: &Map<String, Value>) -> Result<Error> {
    const KINDS: [ErrorKind; 11] = [
        ErrorKind::InvalidRequest,
        ErrorKind::Authentication,
        ErrorKind::Permission,
        ErrorKind::NotFound,
        ErrorKind::RequestTooLarge,
        ErrorKind::RateLimit,
        ErrorKind::Billing,
        ErrorKind::Api,
        ErrorKind::NotSupported,
        ErrorKind::Timeout,
        ErrorKind::Overloaded,
    ];
    let GivenError { status, kind, message } = read("error", given)?;
    let status = StatusCode::from_u16(status).map_err(|_| {
        Error::invalid(format!("`error.status`: expected a status such as 529, found {status}"))
    })?;
    let found = KINDS.into_iter().find(|known| known.as_str() == kind).ok_or_else(|| {
        let known: Vec<String> =
            KINDS.iter().map(|known| format!("`{}`", known.as_str())).collect();
        let known = known.join(", ");
        Error::invalid(format!("`error.type`: expected one of {known}, found `{kind}`"))
    })?;
    Ok(Error { status: Some(status), ..Error::new(found, message) })
}

fn read<T: DeserializeOwned>(key: &str, given: &Map<String, Value>) -> Result<T> {
    serde_json::from_value(Value::Object(given.clone()))
        .map_err(|e| Error::invalid(format!("`{key}`: {e}")))
}
