//! An HTTP client, as the gateway's egress guard lets a plugin have it.
//!
//! ```
//! use tidegate_sdk::http;
//! use tidegate_sdk::testing::MockHost;
//!
//! let host = MockHost::new().on_fetch(|request| {
//!     assert_eq!(request.url, "https://example.com/today");
//!     Ok(http::Response::new(200, "fine weather"))
//! });
//! let told = host.run(|| http::get("https://example.com/today").header("accept", "text/plain").send());
//! assert_eq!(told.unwrap().text(), "fine weather");
//! ```
//!
//! Every host has to be wanted by the manifest ([`Wants::hosts`](crate::Wants::hosts)) and allowed by
//! the operator. Redirects are followed, each as the gateway would judge the first address, and content
//! encodings undone; a status of 404 is an answer, not a failure.
//!
//! A plugin with rules of its own about addresses follows redirects itself: with
//! [`redirects(0)`](Request::redirects) it has each address in its hands before it is asked.
//!
//! ```
//! use tidegate_sdk::http;
//! use tidegate_sdk::testing::MockHost;
//!
//! let host = MockHost::new()
//!     .on_fetch(|_| Ok(http::Response::new(302, "").with_header("location", "/new")));
//! let told = host.run(|| http::get("https://example.com/old").redirects(0).send());
//! assert_eq!(told.unwrap().location(), Some("/new"));
//! ```
use crate::host;
use crate::problem::Result;

pub use crate::http_message::{Request, Response};

/// A `GET`.
pub fn get(url: impl Into<String>) -> Request {
    Request { method: "GET".to_owned(), url: url.into(), ..Request::default() }
}

/// A `POST`, with nothing in it yet.
pub fn post(url: impl Into<String>) -> Request {
    Request { method: "POST".to_owned(), url: url.into(), ..Request::default() }
}

impl Request {
    /// Sends it and waits for the whole answer. The problem's code is `not_granted`,
    /// `url_not_allowed`, `invalid_url`, `too_many_redirects`, `too_large`, `timeout` or
    /// `unreachable`.
    pub fn send(&self) -> Result<Response> {
        host::fetch(self)
    }
}
