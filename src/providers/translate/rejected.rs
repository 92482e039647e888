//! Rejections of upstreams in other dialects, as the Messages API's errors with the upstream's own words.
#[cfg(test)]
mod tests;

use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, Response, StatusCode};
use serde_json::{Value, json};

use crate::error::{Error, ErrorKind, Origin};
use crate::net::headers::{self, REQUEST_ID, SHOULD_RETRY};
use crate::providers::refusal;
use crate::providers::translate::ops::Failure;

/// The most characters of a body that is no JSON.
const MOST: usize = 500;

/// Returns the error of a rejection with a body in the Messages API's form. `request_id` is the gateway's id of the
/// request, for an upstream that sends none. Other errors pass unchanged.
pub(crate) fn rejected(error: Error, request_id: &str) -> Error {
    let upstream = match &error.origin {
        Origin::Upstream(upstream) if !upstream.lacks_body => upstream,
        _ => return error,
    };
    let Some(answer) = &upstream.answer else { return error };
    let status = answer.status();
    let told = ApiError::read(status, answer.body());
    let own = answer.headers().get(REQUEST_ID).and_then(|id| id.to_str().ok());
    let mut mapped = Response::new(told.envelope(own.unwrap_or(request_id)));
    *mapped.status_mut() = told.status;
    *mapped.headers_mut() = answer.headers().clone();
    mapped.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if told.kind == ErrorKind::Billing {
        mapped.headers_mut().insert(SHOULD_RETRY, HeaderValue::from_static("false"));
    }
    if let Some(wait) = told.retry_after
        && !mapped.headers().contains_key(RETRY_AFTER)
    {
        let seconds = wait.as_secs_f64().ceil();
        mapped.headers_mut().insert(RETRY_AFTER, headers::value(&seconds.to_string()));
    }
    let mut wrapped = refusal(mapped);
    wrapped.kind = told.kind;
    wrapped.source = error.source;
    wrapped
}

/// A rejection in the API's terms.
#[derive(Debug)]
pub(crate) struct ApiError {
    pub(crate) kind: ErrorKind,
    pub(crate) status: StatusCode,
    pub(crate) message: String,
    pub(crate) retry_after: Option<Duration>,
}

impl ApiError {
    /// Reads a body of any server.
    pub(crate) fn read(status: StatusCode, body: &Bytes) -> Self {
        let found = serde_json::from_slice::<Value>(body).ok();
        let said = found.as_ref().map(Said::of).unwrap_or_default();
        let message = match said.message.is_empty() {
            false => said.message.clone(),
            true => plain(status, body),
        };
        Self::of(status, &said, message)
    }

    /// Returns the failure in a body with a success status: `error` is the value of that member.
    pub(crate) fn failure(error: &Value) -> Failure {
        let said = Said::of(&json!({"error": error}));
        let status = said.status.and_then(|code| StatusCode::from_u16(code).ok());
        let status = status.filter(|status| status.is_client_error() || status.is_server_error());
        let status = status.unwrap_or_else(|| said.implied_status());
        let message = match said.message.is_empty() {
            true => "the upstream reported an error without a message".to_owned(),
            false => said.message.clone(),
        };
        let Self { kind, status, message, retry_after } = Self::of(status, &said, message);
        Failure { kind, status: status.as_u16(), message, retry_after }
    }

    fn of(status: StatusCode, said: &Said, message: String) -> Self {
        let retry_after = said.retry_after.or_else(|| wait_in(&message));
        let (kind, status) = said.classify(status, &message);
        let is_too_long = kind == ErrorKind::InvalidRequest && said.is_too_long(&message);
        let message = match (is_too_long, too_long(&message)) {
            (true, Some(counts)) => {
                format!("prompt is too long: {counts} (the upstream said: {message})")
            }
            (true, None) if !message.starts_with("prompt is too long") => {
                format!("prompt is too long (the upstream said: {message})")
            }
            _ => message,
        };
        Self { kind, status, message, retry_after }
    }

    fn envelope(&self, request_id: &str) -> Bytes {
        let error = json!({"type": self.kind.as_str(), "message": self.message});
        json!({"type": "error", "error": error, "request_id": request_id}).to_string().into()
    }
}

/// The members of an error body that servers use.
#[derive(Debug, Default)]
struct Said {
    message: String,
    /// `type`, `code` and `status` as texts, in lower case.
    codes: Vec<String>,
    /// A code that is a number.
    status: Option<u16>,
    retry_after: Option<Duration>,
}

impl Said {
    fn of(body: &Value) -> Self {
        // Google wraps some errors in a list of one
        let body = match body {
            Value::Array(list) => list.first().unwrap_or(&Value::Null),
            other => other,
        };
        let error = match &body["error"] {
            Value::Null => body,
            error => error,
        };
        let mut said = Self::default();
        let keys = ["code", "type", "status", "reason"];
        for value in keys.iter().flat_map(|key| [&error[*key], &body[*key]]) {
            match value {
                Value::String(text) => said.codes.push(text.to_ascii_lowercase()),
                Value::Number(number) if said.status.is_none() => {
                    said.status = number.as_u64().and_then(|code| u16::try_from(code).ok());
                }
                _ => {}
            }
        }
        said.message = message_of(error).or_else(|| message_of(body)).unwrap_or_default();
        said.details(&error["details"]);
        said.metadata(&error["metadata"]);
        said
    }

    /// Reads Google's details.
    fn details(&mut self, details: &Value) {
        for detail in details.as_array().into_iter().flatten() {
            if let Some(reason) = detail["reason"].as_str() {
                self.codes.push(reason.to_ascii_lowercase());
            }
            let delay = detail["retryDelay"].as_str().and_then(|delay| delay.strip_suffix('s'));
            let seconds = delay.and_then(|text| text.parse::<f64>().ok());
            let wait = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
            self.retry_after = self.retry_after.or(wait);
        }
    }

    /// Reads OpenRouter's metadata: the words of the server that it called.
    fn metadata(&mut self, metadata: &Value) {
        let raw = &metadata["raw"];
        let inner = match raw {
            Value::String(text) => match serde_json::from_str::<Value>(text) {
                Ok(inner @ Value::Object(_)) => Self::of(&inner).message,
                _ => text.clone(),
            },
            Value::Object(_) => Self::of(raw).message,
            _ => String::new(),
        };
        if !inner.is_empty() {
            let inner: String = inner.chars().take(MOST).collect();
            self.message = format!("{}: {inner}", self.message);
        }
        for key in ["error_type", "provider_error_code"] {
            self.codes.extend(metadata[key].as_str().map(str::to_ascii_lowercase));
        }
    }

    fn has(&self, codes: &[&str]) -> bool {
        self.codes.iter().any(|code| codes.contains(&&**code))
    }

    /// Returns the status that an error without one stands for.
    fn implied_status(&self) -> StatusCode {
        let known: [(&[&str], u16); 8] = [
            (
                &[
                    "rate_limit_exceeded",
                    "rate_limit_error",
                    "resource_exhausted",
                    "throttlingexception",
                ],
                429,
            ),
            (
                &[
                    "invalid_request_error",
                    "invalid_argument",
                    "failed_precondition",
                    "out_of_range",
                    "invalid_prompt",
                    "badrequesterror",
                ],
                400,
            ),
            (&["authentication_error", "unauthenticated", "invalid_api_key"], 401),
            (&["permission_error", "permission_denied"], 403),
            (&["not_found_error", "not_found", "model_not_found"], 404),
            (&["overloaded_error", "unavailable", "provider_overloaded", "engine_overloaded"], 529),
            (&["timeout", "timeout_error", "deadline_exceeded"], 504),
            (&["insufficient_quota", "billing_error"], 402),
        ];
        let code = known.iter().find(|(codes, _)| self.has(codes)).map_or(502, |(_, code)| *code);
        StatusCode::from_u16(code).unwrap_or(StatusCode::BAD_GATEWAY)
    }

    /// Returns whether the request exceeds the context of the model.
    fn is_too_long(&self, message: &str) -> bool {
        self.has(&["context_length_exceeded", "exceed_context_size_error"])
            || is_about_context(message)
    }

    fn classify(&self, status: StatusCode, message: &str) -> (ErrorKind, StatusCode) {
        let kind = match status.as_u16() {
            400 | 413 | 500 if self.is_too_long(message) => {
                return (ErrorKind::InvalidRequest, StatusCode::BAD_REQUEST);
            }
            400 if self.has(&["api_key_invalid", "unauthenticated"]) => {
                return (ErrorKind::Authentication, StatusCode::UNAUTHORIZED);
            }
            402 => ErrorKind::Billing,
            403 | 429
                if self.has(&[
                    "insufficient_quota",
                    "billing_hard_limit_reached",
                    "billing_not_active",
                ]) =>
            {
                ErrorKind::Billing
            }
            401 => ErrorKind::Authentication,
            403 => ErrorKind::Permission,
            404 => ErrorKind::NotFound,
            408 | 504 => ErrorKind::Timeout,
            413 => ErrorKind::RequestTooLarge,
            429 => ErrorKind::RateLimit,
            409 | 424 | 499 => ErrorKind::Api,
            503 | 529 => ErrorKind::Overloaded,
            500..
                if self.has(&[
                    "provider_overloaded",
                    "engine_overloaded",
                    "overloaded_error",
                    "unavailable_error",
                ]) =>
            {
                ErrorKind::Overloaded
            }
            400..500 => ErrorKind::InvalidRequest,
            _ => ErrorKind::Api,
        };
        (kind, status)
    }
}

fn message_of(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Object(_) => {
            let message = ["message", "error_message", "detail", "error", "msg"]
                .iter()
                .map(|key| &value[*key])
                .find(|found| !found.is_null())?;
            match message {
                Value::String(text) => Some(text.clone()),
                Value::Array(list) => {
                    let all: Vec<String> = list.iter().filter_map(detail).collect();
                    (!all.is_empty()).then(|| all.join("; "))
                }
                Value::Object(_) => message_of(message).or_else(|| Some(message.to_string())),
                _ => None,
            }
        }
        _ => None,
    }
}

/// Returns one entry of a list of validation errors: its place and its message.
fn detail(entry: &Value) -> Option<String> {
    let message = entry["msg"].as_str()?;
    let place: Vec<String> = entry["loc"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|part| match part {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        })
        .collect();
    Some(if place.is_empty() {
        message.to_owned()
    } else {
        format!("{}: {message}", place.join("."))
    })
}

/// Returns the message for a body that is no known JSON: a text of its own, but no page of HTML.
fn plain(status: StatusCode, body: &Bytes) -> String {
    let text = String::from_utf8_lossy(body);
    let text = text.trim();
    let is_page = text.starts_with('<') || text.to_ascii_lowercase().contains("<html");
    match text.is_empty() || is_page {
        true => format!("the upstream answered {} without a message", status.as_u16()),
        false => text.chars().take(MOST).collect(),
    }
}

fn is_about_context(message: &str) -> bool {
    const TEXTS: [&str; 6] = [
        "maximum context length",
        "exceeds the context window",
        "available context size",
        "input is too long for requested model",
        "exceeds the maximum number of tokens allowed",
        "prompt is too long",
    ];
    let message = message.to_ascii_lowercase();
    TEXTS.iter().any(|text| message.contains(text))
}

/// Returns `N tokens > M maximum` of a message about a full context.
fn too_long(message: &str) -> Option<String> {
    if !is_about_context(message) {
        return None;
    }
    let lower = message.to_ascii_lowercase();
    let after = |marks: &[&str]| marks.iter().find_map(|mark| number_after(&lower, mark));
    let found =
        after(&["resulted in ", "requested ", "request (", "token count (", "prompt contains "]);
    let most = after(&[
        "maximum context length is ",
        "maximum context length of ",
        "context size (",
        "tokens allowed (",
    ]);
    match (found, most) {
        (Some(found), Some(most)) => Some(format!("{found} tokens > {most} maximum")),
        (None, Some(most)) => Some(format!("more than {most} tokens > {most} maximum")),
        _ => None,
    }
}

fn number_after(text: &str, mark: &str) -> Option<u64> {
    let rest = &text[text.find(mark)? + mark.len()..];
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

/// Returns the wait of a text such as "Please wait 33 seconds" or "try again in 2.5s".
fn wait_in(message: &str) -> Option<Duration> {
    let lower = message.to_ascii_lowercase();
    ["wait ", "try again in ", "retry after "].iter().find_map(|mark| {
        let rest = &lower[lower.find(mark)? + mark.len()..];
        let digits: String = rest.chars().take_while(|c| c.is_ascii_digit() || *c == '.').collect();
        let number: f64 = digits.trim_end_matches('.').parse().ok()?;
        let unit = rest[digits.len()..].trim_start();
        let seconds = match unit {
            _ if unit.starts_with("ms") => number / 1000.0,
            _ if unit.starts_with('s') => number,
            _ if unit.starts_with('m') => number * 60.0,
            _ => return None,
        };
        Duration::try_from_secs_f64(seconds).ok()
    })
}
