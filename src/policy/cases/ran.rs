//! `Ran`: the result of a case, which its expectation is compared with.
use bytes::Bytes;
use http::HeaderMap;
use serde_json::Value;

use crate::error::Error;
use crate::policy::Wishes;
use crate::wire::Event;

/// The result of a case.
pub(super) struct Ran {
    /// The key of the subject.
    pub(super) subject: &'static str,
    /// The fields that the case leaves out and the usual request supplies.
    pub(super) added: Vec<&'static str>,
    pub(super) before: Output,
    pub(super) after: Output,
    pub(super) end: End,
    pub(super) route: Option<String>,
    /// Headers, tags and counts.
    pub(super) wishes: Wishes,
    /// The headers that an upstream would receive.
    pub(super) headers: HeaderMap,
    /// The headers that the caller would receive.
    pub(super) response_headers: HeaderMap,
}

/// The subject of a hook, before or after it.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Output {
    /// A request, message, call, result or error.
    Json(Bytes),
    Stream(Vec<Event>),
}

/// The end of a case.
pub(super) enum End {
    /// The subject continues.
    GoesOn,
    Denied(Refusal),
    /// The message, or the content of a tool's result.
    Answered(Value),
    /// The policy failed, or the request is rejected as invalid.
    Broke(String),
    /// `on_request` ended the request, although the subject of the case comes later.
    Early(Box<End>),
}

/// The denial of a policy.
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
