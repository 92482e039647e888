//! `Request` and `Response`: what `http` sends, and what comes back.
use std::borrow::Cow;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::problem::{Problem, Result};

/// What is to be fetched. Made by [`get`](crate::http::get) and [`post`](crate::http::post).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Request {
    /// `GET`, `POST`, …
    pub method: String,
    /// Where from.
    pub url: String,
    /// Names and values.
    pub headers: Vec<(String, String)>,
    /// What is sent.
    pub body: Option<Vec<u8>>,
    /// How many bytes of the answer are wanted.
    pub max_bytes: Option<u32>,
    /// How long it may take, in milliseconds.
    pub timeout_ms: Option<u32>,
    /// How many redirects are followed; the next one is the answer then.
    pub redirects: Option<u8>,
}

/// What came back.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Response {
    /// Whatever the server said.
    pub status: u16,
    /// Where the answer came from, after the redirects that were followed.
    pub url: String,
    /// Names in small letters, and values.
    pub headers: Vec<(String, String)>,
    /// The decoded body, at most what was wanted of it.
    pub body: Vec<u8>,
    /// There was more.
    pub truncated: bool,
}

impl Request {
    /// The same with one more header.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// The same with a body.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = Some(body.into());
        self
    }

    /// The same with a value as its JSON body, and the header that says so.
    pub fn json(self, value: &impl Serialize) -> Result<Self> {
        let body = serde_json::to_vec(value)
            .map_err(|e| Problem::new("internal", format!("the body is no JSON: {e}")))?;
        Ok(self.header("content-type", "application/json").body(body))
    }

    /// Takes no more than so many bytes of the answer; [`Response::truncated`] tells if there was
    /// more.
    pub fn max_bytes(mut self, bytes: u32) -> Self {
        self.max_bytes = Some(bytes);
        self
    }

    /// Gives up after so many milliseconds.
    pub fn timeout_ms(mut self, milliseconds: u32) -> Self {
        self.timeout_ms = Some(milliseconds);
        self
    }

    /// Follows so many redirects, 5 at the most: the next one is the answer then, and
    /// [`Response::location`] says where it leads. Without this 5 are followed, and a sixth is the problem
    /// `too_many_redirects`.
    pub fn redirects(mut self, count: u8) -> Self {
        self.redirects = Some(count);
        self
    }
}

impl Response {
    /// An answer for tests.
    pub fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self { status, body: body.into(), ..Self::default() }
    }

    /// The same with one more header.
    pub fn with_header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// The first header of that name, in whatever letters.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut named = self.headers.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name));
        named.next().map(|(_, value)| value.as_str())
    }

    /// Where a redirect leads that was not followed, as the server wrote it: relative to
    /// [`Response::url`], often. `None` if the answer is no redirect.
    pub fn location(&self) -> Option<&str> {
        let is_redirect = matches!(self.status, 301 | 302 | 303 | 307 | 308);
        is_redirect.then(|| self.header("location")).flatten()
    }

    /// 200 to 299.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The body as UTF-8; what is none becomes `U+FFFD`.
    pub fn text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.body)
    }

    /// The body, read as JSON.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_slice(&self.body)
            .map_err(|e| Problem::unavailable(format!("`{}` sent no such JSON: {e}", self.url)))
    }
}
