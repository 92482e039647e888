//! A request as it came in.
use std::time::Instant;

use http::request::Parts;
use hyper::body::Incoming;

/// A request, its body not yet read.
pub struct Inbound {
    /// Method, path, headers.
    pub head: Parts,
    /// The body.
    pub body: Incoming,
    /// `req_…`
    pub request_id: String,
    /// When the head had been read.
    pub started: Instant,
}
