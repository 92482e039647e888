//! `Answered`: the result of an exchange, with the headers of its reply or error.
use std::sync::Arc;

use http::HeaderValue;

use crate::error::Result;
use crate::net::header_edits::HeaderEdits;
use crate::net::headers;
use crate::telemetry::story::Story;
use crate::wire::Reply;

/// The result of an exchange.
pub struct Answered {
    /// The reply with complete headers, or the error.
    pub outcome: Result<Reply>,
    /// The headers to set or remove in the response to an error.
    pub headers: HeaderEdits,
    /// The record of the exchange.
    pub story: Arc<Story>,
}

/// Returns the headers that name the last target and the number of attempts; none without an attempt.
pub(super) fn tried(story: &Story) -> HeaderEdits {
    let mut edits = HeaderEdits::default();
    if let Some(tried) = story.last_tried() {
        edits.push(headers::TARGET, Some(tried.target));
        edits.push(headers::ATTEMPTS, Some(HeaderValue::from(tried.attempts)));
    }
    edits
}

impl Answered {
    /// Adds the gateway's own headers, then the edits of stages: a stage may remove a header of the
    /// gateway.
    pub(super) fn new(outcome: Result<Reply>, stages: HeaderEdits, story: Arc<Story>) -> Self {
        let mut outcome = outcome;
        let mut edits = HeaderEdits::default();
        let tried = tried(&story);
        match &mut outcome {
            Ok(reply) => tried.apply(&mut reply.headers),
            Err(_) => edits.extend(tried),
        }
        match &mut outcome {
            Ok(reply) => stages.apply(&mut reply.headers),
            Err(_) => edits.extend(stages),
        }
        if let Some(trace) = story.trace() {
            match &mut outcome {
                Ok(reply) => {
                    reply.headers.insert(headers::TRACE, trace);
                }
                Err(_) => edits.push(headers::TRACE, Some(trace)),
            }
        }
        Self { outcome, headers: edits, story }
    }
}
