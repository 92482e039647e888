//! `Request` and `Response`: the messages of the `http` client.
use std::borrow::Cow;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::problem::{Problem, Result};

/// A request to a server. Made by [`get`](crate::http::get) and [`post`](crate::http::post).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Request {
    /// The method: `GET`, `POST`, …
    pub method: String,
    /// The address.
    pub url: String,
    /// The headers: names and values.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Option<Vec<u8>>,
    /// The largest number of bytes of the response body.
    pub max_bytes: Option<u32>,
    /// The time limit in milliseconds.
    pub timeout_ms: Option<u32>,
    /// The number of redirects that are followed. The next redirect is returned as the response.
    pub redirects: Option<u8>,
}

/// The response of a server.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Response {
    /// The status, as the server sent it.
    pub status: u16,
    /// The address of the response, after the followed redirects.
    pub url: String,
    /// The headers: names in lower case, and values.
    pub headers: Vec<(String, String)>,
    /// The decoded body, at most as long as requested.
    pub body: Vec<u8>,
    /// The body was longer and is cut.
    pub truncated: bool,
}

impl Request {
    /// Adds a header.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Sets the body.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = Some(body.into());
        self
    }

    /// Sets a value as the JSON body, and adds the `content-type` header for it.
    pub fn json(self, value: &impl Serialize) -> Result<Self> {
        let body = serde_json::to_vec(value)
            .map_err(|e| Problem::new("internal", format!("the body is no JSON: {e}")))?;
        Ok(self.header("content-type", "application/json").body(body))
    }

    /// Sets the largest number of bytes of the response body. [`Response::truncated`] is true if
    /// the body was longer.
    pub fn max_bytes(mut self, bytes: u32) -> Self {
        self.max_bytes = Some(bytes);
        self
    }

    /// Sets the time limit in milliseconds.
    pub fn timeout_ms(mut self, milliseconds: u32) -> Self {
        self.timeout_ms = Some(milliseconds);
        self
    }

    /// Sets the number of redirects that are followed, 5 at most. The next redirect is returned as
    /// the response, and [`Response::location`] is its destination. Without this setting 5 are
    /// followed, and a sixth is the problem `too_many_redirects`.
    pub fn redirects(mut self, count: u8) -> Self {
        self.redirects = Some(count);
        self
    }
}

impl Response {
    /// Makes a response for tests.
    pub fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self { status, body: body.into(), ..Self::default() }
    }

    /// Adds a header.
    pub fn with_header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Returns the first header of that name, in upper or lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut named = self.headers.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name));
        named.next().map(|(_, value)| value.as_str())
    }

    /// Returns the destination of a redirect that was not followed, as the server sent it. It is
    /// often relative to [`Response::url`]. Returns `None` if the response is no redirect.
    pub fn location(&self) -> Option<&str> {
        let is_redirect = matches!(self.status, 301 | 302 | 303 | 307 | 308);
        is_redirect.then(|| self.header("location")).flatten()
    }

    /// Returns whether the status is from 200 to 299.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// Returns the body as UTF-8. Invalid bytes become `U+FFFD`.
    pub fn text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.body)
    }

    /// Parses the body as JSON.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_slice(&self.body)
            .map_err(|e| Problem::unavailable(format!("`{}` sent no such JSON: {e}", self.url)))
    }
}
