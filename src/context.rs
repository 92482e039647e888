//! The facts of one exchange, known before the first stage runs; no services.
use std::sync::Arc;
use std::time::Instant;

use http::HeaderMap;

pub use crate::auth::Caller;
use crate::error::Secret;
use crate::telemetry::story::Story;

/// What every part of the path of a request may know.
#[derive(Debug)]
pub struct Context {
    /// `req_…`; the caller's `request-id` if the gateway itself answers.
    pub request_id: String,
    /// When the head of the request had been read.
    pub started: Instant,
    /// Who calls.
    pub caller: Arc<Caller>,
    /// The caller's headers, without credentials and hop-by-hop headers.
    pub headers: HeaderMap,
    /// The query string, without `?`.
    pub query: Option<String>,
    /// The caller's own `Authorization`, where it authenticated by `x-tidegate-key`.
    pub credential: Option<Secret>,
    /// What keeps a conversation on one upstream: `x-claude-code-session-id`, else
    /// `metadata.user_id`, else the key's name.
    pub session: String,
    /// The model that the caller asked for, before any stage; empty if its body cannot be read.
    pub model: String,
    /// The record of the exchange, which every part of the gateway writes to.
    pub story: Arc<Story>,
}
