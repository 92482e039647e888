//! The faults that a request can select: error responses, error events, lost connections.
use std::time::Duration;

use bytes::Bytes;
use http::{Response, StatusCode, header::HeaderName};
use serde_json::json;

use crate::error::{Error, ErrorKind};
use crate::providers;
use crate::providers::simulator::seed::Seed;
use crate::wire::duration;

/// The fault to simulate.
#[derive(Debug, Clone)]
pub(crate) enum Fault {
    /// An error status instead of an answer.
    Status(Failure),
    /// An `error` event as the event of this number, counted from 0.
    Event(Failure, usize),
    /// A lost connection after so many events.
    Break(usize),
    /// An end of the stream after so many events, without an error.
    End(usize),
}

/// An error of the API.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    /// The status, from 400 to 599.
    pub status: u16,
    /// The `error.message`; the usual one of the status if absent.
    pub message: Option<String>,
    /// `error.details.error_code`
    pub code: Option<String>,
    /// Whether the body is an HTML page instead of the envelope.
    is_html: bool,
    headers: Vec<(&'static str, String)>,
}

impl Failure {
    /// Makes a plain error of this status.
    fn new(status: u16) -> Self {
        // the real API sends this header on rate limits
        let headers = match status {
            429 => vec![("x-should-retry", "true".to_owned())],
            _ => Vec::new(),
        };
        Self { status, message: None, code: None, is_html: false, headers }
    }

    /// Makes the error for an invalid request.
    pub(crate) fn invalid(message: String) -> Self {
        Self { message: Some(message), ..Self::new(400) }
    }

    /// Sets `error.details.error_code`.
    pub(crate) fn with_code(mut self, code: &str) -> Self {
        self.code = Some(code.to_owned());
        self
    }

    /// Returns the error as a response of an upstream, which reaches the caller unchanged.
    pub(crate) fn answer(&self, seed: &Seed) -> Error {
        let (content_type, body) = match self.is_html {
            true => ("text/html", format!("<html><h1>{}</h1></html>", self.status)),
            false => ("application/json", self.envelope(seed).to_string()),
        };
        let mut answer = Response::new(Bytes::from(body));
        *answer.status_mut() =
            StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let request_id = seed.id("req", 0);
        let fixed = [("content-type", content_type), ("request-id", &request_id)];
        let own = self.headers.iter().map(|(name, value)| (*name, value.as_str()));
        for (name, value) in fixed.into_iter().chain(own) {
            if let Ok(value) = value.parse() {
                answer.headers_mut().insert(HeaderName::from_static(name), value);
            }
        }
        providers::refusal(answer)
    }

    /// Returns the body of the response; the data of an `error` event is the same.
    pub(crate) fn envelope(&self, seed: &Seed) -> serde_json::Value {
        let (kind, usual) = usual(self.status);
        let message = self.message.as_deref().unwrap_or(usual);
        let mut error = json!({"type": kind, "message": message});
        if let Some(code) = &self.code {
            error["details"] = json!({"error_code": code});
        }
        json!({"type": "error", "error": error, "request_id": seed.id("req", 0)})
    }

    fn set_header(&mut self, option: &str, value: &str) -> Result<(), String> {
        let (name, value) = match option {
            "retry-after" => ("retry-after", seconds(value)?),
            "retry-after-ms" if value.parse::<u32>().is_ok() => {
                ("retry-after-ms", value.to_owned())
            }
            "should-retry" if matches!(value, "true" | "false") => {
                ("x-should-retry", value.to_owned())
            }
            _ => return Err(format!("`{option} {value}` is no option of an error")),
        };
        self.headers.retain(|(other, _)| *other != name);
        self.headers.push((name, value));
        Ok(())
    }
}

/// Returns the error for a connection that is lost before the answer is complete.
pub(crate) fn lost() -> Error {
    Error::new(ErrorKind::BadUpstream, "the connection to the upstream was lost within its answer")
}

/// Returns the error for a stream that ends before its last event.
pub(crate) fn ended() -> Error {
    Error::new(ErrorKind::BadUpstream, "the upstream's stream broke off")
}

/// Returns the error for a body that ends before its message is complete.
pub(crate) fn half() -> Error {
    Error::new(ErrorKind::BadUpstream, "the upstream's answer is not JSON, or only a part of it")
}

/// Returns the error for an attempt that sent nothing within its limit.
pub(crate) fn too_slow(limit: Duration) -> Error {
    let message = format!("the upstream sent nothing for {} ms", limit.as_millis());
    Error::new(ErrorKind::Timeout, message)
}

/// Returns the error for an attempt that kept sending and exceeded its total time.
pub(crate) fn too_long(total: Duration) -> Error {
    let message = format!("the upstream took longer than {} ms in all", total.as_millis());
    Error::new(ErrorKind::Timeout, message)
}

/// Parses a directive about faults. Returns `None` for another directive.
pub(crate) fn parse(word: &str, rest: &str) -> Result<Option<Fault>, String> {
    Ok(Some(match word {
        "error" => Fault::Status(failure(rest)?),
        "error-event" => {
            let (options, after) = rest.rsplit_once("after ").unwrap_or((rest, "0"));
            Fault::Event(failure(options.trim())?, events(after)?)
        }
        "break" => Fault::Break(after(rest)?),
        "end" => Fault::End(after(rest)?),
        _ => return Ok(None),
    }))
}

/// Returns the first word, and the rest.
pub(crate) fn split_word(text: &str) -> (&str, &str) {
    match text.split_once(char::is_whitespace) {
        Some((word, rest)) => (word, rest.trim()),
        None => (text, ""),
    }
}

fn after(rest: &str) -> Result<usize, String> {
    match split_word(rest) {
        ("", _) => Ok(3),
        ("after", count) => events(count),
        _ => Err("write `after` and a number of events".to_owned()),
    }
}

fn events(text: &str) -> Result<usize, String> {
    text.trim().parse().map_err(|_| format!("`{text}` is no number of events"))
}

fn failure(text: &str) -> Result<Failure, String> {
    let (status, mut rest) = split_word(text);
    let status: u16 = status.parse().unwrap_or_default();
    if !(400..600).contains(&status) {
        return Err("name an error status from 400 to 599".to_owned());
    }
    let mut failure = Failure::new(status);
    while !rest.is_empty() {
        let (option, value) = split_word(rest);
        let (first, behind) = split_word(value);
        rest = behind;
        match option {
            "html" => {
                failure.is_html = true;
                rest = value;
            }
            "message" => {
                failure.message = Some(value.to_owned());
                rest = "";
            }
            "code" => failure.code = Some(first.to_owned()),
            _ => failure.set_header(option, first)?,
        }
    }
    Ok(failure)
}

/// Parses seconds: `7` and `7s` are the same.
fn seconds(text: &str) -> Result<String, String> {
    match text.parse::<u32>() {
        Ok(seconds) => Ok(seconds.to_string()),
        Err(_) => duration::parse(text).map(|duration| duration.as_secs().to_string()),
    }
}

/// Returns the `error.type` and the usual message of a status.
fn usual(status: u16) -> (&'static str, &'static str) {
    match status {
        401 => ("authentication_error", "the credential is not valid (simulated)"),
        402 => ("billing_error", "there is a problem with the billing (simulated)"),
        403 => ("permission_error", "the credential may not do this (simulated)"),
        404 => ("not_found_error", "there is no such model (simulated)"),
        408 | 504 => ("timeout_error", "the request took too long (simulated)"),
        409 => ("conflict_error", "the request conflicts with another (simulated)"),
        413 => ("request_too_large", "the request is too large (simulated)"),
        429 => ("rate_limit_error", "a rate limit has been reached (simulated)"),
        501 => ("not_supported", "this is not supported (simulated)"),
        529 => ("overloaded_error", "Overloaded"),
        400..=499 => ("invalid_request_error", "the request is not valid (simulated)"),
        _ => ("api_error", "something went wrong inside (simulated)"),
    }
}
