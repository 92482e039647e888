//! An incoming request.
use std::time::Instant;

use http::request::Parts;

use crate::net::body::Received;

/// An incoming request before its body is read.
pub(crate) struct Inbound {
    /// The method, path and headers.
    pub head: Parts,
    /// The body.
    pub body: Received,
    /// The request id, `req_…`.
    pub request_id: String,
    /// The time at which the head was complete.
    pub started: Instant,
}
