//! The result of a case, for its expectations.
use bytes::Bytes;
use http::HeaderMap;
use serde_json::Value;

use crate::error::Error;
use crate::policy::Wishes;
use crate::wire::Event;

/// The result of a case.
pub(super) struct Ran {
    /// The key of what it was about.
    pub(super) subject: &'static str,
    /// The fields of the usual request that the case's own left out.
    pub(super) added: Vec<&'static str>,
    pub(super) before: Output,
    pub(super) after: Output,
    pub(super) end: End,
    pub(super) route: Option<String>,
    /// Headers, tags and counts.
    pub(super) wishes: Wishes,
    /// Those that an upstream would get.
    pub(super) headers: HeaderMap,
    /// Those that the caller would get.
    pub(super) response_headers: HeaderMap,
}

/// The subject of a hook, before or after it.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Output {
    /// A request, a message, a call, a result, an error.
    Json(Bytes),
    Stream(Vec<Event>),
}

/// How a case ended.
pub(super) enum End {
    /// It goes on.
    GoesOn,
    Denied(Refusal),
    /// The message, or the content of a tool's result.
    Answered(Value),
    /// The policy failed, or the request is refused as malformed.
    Broke(String),
    /// `on_request` ended the request, though the case is about what comes later.
    Early(Box<End>),
}

/// The refusal of a policy.
#[derive(Debug, Clone)]
pub(super) struct Refusal {
    pub(super) status: u16,
    pub(super) message: String,
}

impl Refusal {
    pub(super) fn of(error: &Error) -> Self {
        Self { status: error.status().as_u16(), message: error.message.clone() }
    }
}
