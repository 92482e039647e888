//! What came of a case.
use bytes::Bytes;
use http::HeaderMap;
use serde_json::Value;

use crate::error::Error;
use crate::policy::Wishes;
use crate::wire::Event;

/// What came of a case.
pub(super) struct Ran {
    /// The key of what it was about.
    pub(super) subject: &'static str,
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

/// What a hook was about, or what it left.
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
    Denied(Error),
    /// The message, or the content of a tool's result.
    Answered(Value),
    Broke(Error),
    /// `on_request` ended the request, though the case is about what comes later.
    Early(Box<End>),
}

impl End {
    /// The end that an error is: a denial, or a failure.
    pub(super) fn of(error: Error) -> Self {
        // what a policy refuses has a status that it chose
        if error.status.is_some() { Self::Denied(error) } else { Self::Broke(error) }
    }
}
