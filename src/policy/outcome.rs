//! The decision of a stage, and the side effects that it requests.
use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value};

use crate::error::Error;
use crate::net::header_edits::HeaderEdits;
use crate::telemetry::events::names::OF_POLICIES;
use crate::wire::Reply;

/// The decision of a stage. The stage's edits are in the document.
#[derive(Default)]
pub struct Outcome {
    /// The model (alias) that the stage routes to.
    pub route: Option<String>,
    /// Whether the stage ends the request, and how.
    pub verdict: Verdict,
    /// Headers, tags and counts.
    pub wishes: Wishes,
    /// Fields that a script removed from the request, each with the place in the script.
    pub removed: Vec<(String, String)>,
}

/// Whether the request continues after a stage.
#[derive(Default)]
pub enum Verdict {
    /// The request continues.
    #[default]
    Continue,
    /// The stage answers in place of the upstream.
    Respond(Box<Reply>),
    /// The stage denies the request (`deny`): a decision, not a failure of the stage.
    Deny(Box<Error>),
}

/// The side effects that a stage requests beside its edits. Those of a failing stage are discarded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wishes {
    /// Edits of the headers of requests to upstreams.
    pub upstream_headers: HeaderEdits,
    /// Edits of the headers of the response to the caller.
    pub response_headers: HeaderEdits,
    /// Tags for metrics and the record of the exchange.
    pub tags: BTreeMap<String, String>,
    /// Increments of counters that policies define.
    pub counts: BTreeMap<String, u64>,
    /// Events for sinks.
    pub events: Vec<Emitted>,
}

/// An event that a policy sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Emitted {
    /// `policy.` and the name.
    pub kind: String,
    /// The name of the policy.
    pub policy: Arc<str>,
    /// The data of the event.
    pub fields: Map<String, Value>,
}

impl Emitted {
    /// Returns the name that the policy gave.
    pub fn name(&self) -> &str {
        self.kind.strip_prefix(OF_POLICIES).unwrap_or(&self.kind)
    }
}

impl Wishes {
    /// Returns whether no side effect was requested.
    pub fn is_empty(&self) -> bool {
        self.upstream_headers.is_empty()
            && self.response_headers.is_empty()
            && self.tags.is_empty()
            && self.counts.is_empty()
            && self.events.is_empty()
    }

    /// Adds the side effects that a later stage requests.
    pub fn extend(&mut self, later: Self) {
        self.upstream_headers.extend(later.upstream_headers);
        self.response_headers.extend(later.response_headers);
        self.tags.extend(later.tags);
        self.events.extend(later.events);
        for (name, count) in later.counts {
            *self.counts.entry(name).or_default() += count;
        }
    }
}
