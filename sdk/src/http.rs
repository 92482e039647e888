//! An HTTP client for plugins. Its requests pass the gateway's egress guard.
//!
//! ```
//! use tidegate_sdk::http;
//! use tidegate_sdk::testing::MockHost;
//!
//! let host = MockHost::new().on_fetch(|request| {
//!     assert_eq!(request.url, "https://example.com/today");
//!     Ok(http::Response::new(200, "fine weather"))
//! });
//! let response = host.run(|| http::get("https://example.com/today").header("accept", "text/plain").send());
//! assert_eq!(response.unwrap().text(), "fine weather");
//! ```
//!
//! The manifest has to request every host ([`Wants::hosts`](crate::Wants::hosts)), and the operator
//! has to allow it. The gateway follows redirects and checks each address like the first one. It
//! undoes content encodings. A status of 404 is a response, not a failure.
//!
//! A plugin with its own rules about addresses follows redirects itself: with
//! [`redirects(0)`](Request::redirects) it can check each address before the request is sent.
//!
//! ```
//! use tidegate_sdk::http;
//! use tidegate_sdk::testing::MockHost;
//!
//! let host = MockHost::new()
//!     .on_fetch(|_| Ok(http::Response::new(302, "").with_header("location", "/new")));
//! let response = host.run(|| http::get("https://example.com/old").redirects(0).send());
//! assert_eq!(response.unwrap().location(), Some("/new"));
//! ```
use crate::host;
use crate::problem::Result;

pub use crate::http_message::{Request, Response};

/// Makes a `GET` request.
pub fn get(url: impl Into<String>) -> Request {
    Request { method: "GET".to_owned(), url: url.into(), ..Request::default() }
}

/// Makes a `POST` request without a body.
pub fn post(url: impl Into<String>) -> Request {
    Request { method: "POST".to_owned(), url: url.into(), ..Request::default() }
}

impl Request {
    /// Sends the request and waits for the whole response. The problem's code is `not_granted`,
    /// `url_not_allowed`, `invalid_url`, `too_many_redirects`, `too_large`, `timeout` or
    /// `unreachable`.
    pub fn send(&self) -> Result<Response> {
        host::fetch(self)
    }
}
