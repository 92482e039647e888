//! Error bodies of clouds and other servers, wrapped in the API's envelope.
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde_json::{Value, json};

use crate::error::ErrorKind;
use crate::net::headers::{self, REQUEST_ID, SHOULD_RETRY};

/// The type of an error of AWS; a URL may follow a colon.
const AWS_TYPE: HeaderName = HeaderName::from_static("x-amzn-errortype");
/// The id of a request at AWS.
const AWS_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");
/// The longest part of a message in an unknown form, in characters.
const LONGEST: usize = 2000;

/// An error of the API: its type and its message.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Failure {
    /// `error.type`
    pub(super) kind: &'static str,
    /// The upstream's own words.
    pub(super) message: String,
    /// The wait that the body asks for.
    wait: Option<Duration>,
}

/// The bodies that are wrapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wraps {
    /// Every body that is not the API's envelope.
    All,
    /// JSON with an `error` object. Any other body passes as it is.
    Objects,
}

/// Returns an upstream's rejection for the caller: status, headers and body. `upstream` has all headers
/// of the upstream.
pub(super) fn wrapped(
    wraps: Wraps,
    status: StatusCode,
    upstream: &HeaderMap,
    body: Bytes,
    request_id: &str,
) -> (HeaderMap, Bytes) {
    let mut headers = headers::for_caller(upstream);
    if let Some(id) = upstream.get(AWS_ID).filter(|_| !headers.contains_key(REQUEST_ID)) {
        headers.insert(REQUEST_ID, id.clone());
    }
    let json = serde_json::from_slice::<Value>(&body).ok();
    // Google wraps errors of streams in a list
    let json = match json {
        Some(Value::Array(mut list)) if list.len() == 1 => list.pop(),
        other => other,
    };
    let is_envelope = json.as_ref().is_some_and(|json| {
        json["type"] == "error"
            && json["error"]["type"].is_string()
            && json["error"]["message"].is_string()
    });
    let is_object = json.as_ref().is_some_and(|json| json["error"].is_object());
    if is_envelope || (wraps == Wraps::Objects && !is_object) {
        return (headers, body);
    }
    let failure = Failure::of(status, upstream, json.as_ref(), &body);
    if let Some(wait) = failure.wait
        && headers::retry_after(&headers).is_none()
    {
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    if failure.kind == ErrorKind::Billing.as_str() {
        headers.insert(SHOULD_RETRY, HeaderValue::from_static("false"));
    }
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let id = headers.get(REQUEST_ID).and_then(|id| id.to_str().ok()).unwrap_or(request_id);
    (headers.clone(), envelope(failure.kind, &failure.message, id))
}

/// Returns the API's envelope of an error.
fn envelope(kind: &str, message: &str, request_id: &str) -> Bytes {
    let error = json!({"type": kind, "message": message});
    json!({"type": "error", "error": error, "request_id": request_id}).to_string().into()
}

impl Failure {
    /// Reads the bodies of AWS, Google, Azure, llama.cpp and OpenAI-like servers.
    fn of(status: StatusCode, upstream: &HeaderMap, json: Option<&Value>, body: &[u8]) -> Self {
        let none = Value::Null;
        let json = json.unwrap_or(&none);
        let error = if json["error"].is_object() { &json["error"] } else { json };
        let texts = ["message", "Message"].map(|name| error[name].as_str());
        let texts = texts.into_iter().chain([json["error"].as_str(), json["detail"].as_str()]);
        let message =
            texts.flatten().next().map_or_else(|| unknown(status, body), ToOwned::to_owned);
        let aws = upstream.get(AWS_TYPE).and_then(|value| value.to_str().ok());
        let aws = aws.or(json["__type"].as_str()).map(plain_name);
        let named = aws.and_then(of_aws).or_else(|| error["status"].as_str().and_then(of_google));
        let code = ["code", "type"].into_iter().find_map(|name| error[name].as_str());
        let has_no_money = status == StatusCode::PAYMENT_REQUIRED
            || matches!(code, Some("insufficient_quota" | "billing_hard_limit_reached"));
        let is_bad_key = reasons(error).any(|reason| reason == "API_KEY_INVALID");
        let kind = match named {
            _ if has_no_money => ErrorKind::Billing.as_str(),
            _ if is_bad_key => ErrorKind::Authentication.as_str(),
            Some(kind) => kind,
            None => of_status(status),
        };
        let wait = retry_delay(error).or_else(|| wait_in(&message));
        Self { kind, message: readable(message, error), wait }
    }
}

/// Returns the message for a body in an unknown form: the text, unless it is a page.
fn unknown(status: StatusCode, body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let text = text.trim();
    match text.is_empty() || text.starts_with('<') {
        true => format!("the upstream answered {}", status.as_u16()),
        false => text.chars().take(LONGEST).collect(),
    }
}

/// Removes the namespace before the name of an AWS error and the URL after it.
fn plain_name(name: &str) -> &str {
    let name = name.split(':').next().unwrap_or(name);
    name.rsplit('#').next().unwrap_or(name).trim()
}

/// Returns the API's type for an exception of AWS, as a status or in a stream; `None` if its status says
/// enough.
pub(super) fn of_aws(name: &str) -> Option<&'static str> {
    let kind = match name.to_ascii_lowercase().as_str() {
        "validationexception" | "conflictexception" => ErrorKind::InvalidRequest,
        "throttlingexception" | "servicequotaexceededexception" => ErrorKind::RateLimit,
        "modeltimeoutexception" => ErrorKind::Timeout,
        "modelstreamerrorexception" | "modelerrorexception" | "internalserverexception" => {
            ErrorKind::Api
        }
        "serviceunavailableexception" | "modelnotreadyexception" => ErrorKind::Overloaded,
        "accessdeniedexception" => ErrorKind::Permission,
        "resourcenotfoundexception" => ErrorKind::NotFound,
        "unrecognizedclientexception"
        | "expiredtokenexception"
        | "invalidsignatureexception"
        | "incompletesignatureexception"
        | "missingauthenticationtokenexception" => ErrorKind::Authentication,
        _ => return None,
    };
    Some(kind.as_str())
}

/// Returns the API's type for a status of Google's.
fn of_google(status: &str) -> Option<&'static str> {
    let kind = match status {
        "INVALID_ARGUMENT" | "FAILED_PRECONDITION" | "OUT_OF_RANGE" => ErrorKind::InvalidRequest,
        "UNAUTHENTICATED" => ErrorKind::Authentication,
        "PERMISSION_DENIED" => ErrorKind::Permission,
        "NOT_FOUND" => ErrorKind::NotFound,
        "RESOURCE_EXHAUSTED" => ErrorKind::RateLimit,
        "CANCELLED" | "ABORTED" | "INTERNAL" | "UNKNOWN" => ErrorKind::Api,
        "UNAVAILABLE" => ErrorKind::Overloaded,
        "DEADLINE_EXCEEDED" => ErrorKind::Timeout,
        _ => return None,
    };
    Some(kind.as_str())
}

/// Returns the API's type for a status of any upstream.
pub(super) fn of_status(status: StatusCode) -> &'static str {
    match status.as_u16() {
        402 => ErrorKind::Billing.as_str(),
        424 | 499 => ErrorKind::Api.as_str(),
        _ => ErrorKind::of_status(status).as_str(),
    }
}

/// Returns `reason` of the details of a Google error.
fn reasons(error: &Value) -> impl Iterator<Item = &str> {
    let details = error["details"].as_array().into_iter().flatten();
    details.filter_map(|detail| detail["reason"].as_str())
}

/// Returns the wait in the details of a Google error: `39s`, `0.5s`.
fn retry_delay(error: &Value) -> Option<Duration> {
    let mut details = error["details"].as_array()?.iter();
    let delay = details.find_map(|detail| detail["retryDelay"].as_str())?;
    Duration::try_from_secs_f64(delay.strip_suffix('s')?.parse().ok()?).ok()
}

/// Returns the wait in a message of Azure: `wait 33 seconds`, `Try again in 5 seconds`.
fn wait_in(message: &str) -> Option<Duration> {
    let lower = message.to_ascii_lowercase();
    let starts = ["wait ", "try again in ", "retry after ", "try again after "];
    starts.iter().find_map(|start| {
        let (_, rest) = lower.split_once(start)?;
        let (number, unit) = rest.split_once(' ')?;
        let seconds: f64 = number.parse().ok()?;
        let wait = unit.starts_with("second").then(|| Duration::try_from_secs_f64(seconds));
        wait?.ok()
    })
}

/// Rewords a message about a prompt that is too long, so that clients recognize it.
fn readable(message: String, error: &Value) -> String {
    let counts = (error["n_prompt_tokens"].as_u64(), error["n_ctx"].as_u64());
    let numbers = match counts {
        (Some(tokens), Some(most)) => Some((tokens, most)),
        _ => number_after(&message, "input token count (")
            .zip(number_after(&message, "tokens allowed (")),
    };
    match numbers {
        Some((tokens, most)) => {
            format!("prompt is too long: {tokens} tokens > {most} maximum ({message})")
        }
        None if message.starts_with("Input is too long for requested model") => {
            format!("prompt is too long: {message}")
        }
        None => message,
    }
}

fn number_after(message: &str, start: &str) -> Option<u64> {
    let (_, rest) = message.split_once(start)?;
    rest.split(')').next()?.parse().ok()
}

#[cfg(test)]
mod tests;
