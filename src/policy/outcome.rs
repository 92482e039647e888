//! What a stage decided, and what it asked for beside its edits.
use std::collections::BTreeMap;

use crate::error::Error;
use crate::net::header_edits::HeaderEdits;
use crate::wire::Reply;

/// What a stage decided; its edits are in the document.
#[derive(Default)]
pub struct Outcome {
    /// The model (alias) to go to instead.
    pub route: Option<String>,
    /// The end of the request, if the stage ends it.
    pub verdict: Verdict,
    /// Headers, tags and counts.
    pub wishes: Wishes,
    /// Fields that were taken out of the request, and where in a script.
    pub removed: Vec<(String, String)>,
}

/// Whether the request goes on.
#[derive(Default)]
pub enum Verdict {
    /// It does.
    #[default]
    Continue,
    /// The stage answers in the upstream's place.
    Respond(Box<Reply>),
    /// The stage refuses (`deny`): a decision, not a failure of the stage.
    Deny(Box<Error>),
}

/// What a stage asked for beside its edits. A stage that breaks has asked for nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wishes {
    /// Of the requests to upstreams.
    pub upstream_headers: HeaderEdits,
    /// Of the answer to the caller.
    pub response_headers: HeaderEdits,
    /// For metrics and the record of the exchange.
    pub tags: BTreeMap<String, String>,
    /// What to add to counters of policies.
    pub counts: BTreeMap<String, u64>,
}

impl Wishes {
    /// Nobody asked for anything.
    pub fn is_empty(&self) -> bool {
        self.upstream_headers.is_empty()
            && self.response_headers.is_empty()
            && self.tags.is_empty()
            && self.counts.is_empty()
    }

    /// What a later stage asked for, too.
    pub fn extend(&mut self, later: Self) {
        self.upstream_headers.extend(later.upstream_headers);
        self.response_headers.extend(later.response_headers);
        self.tags.extend(later.tags);
        for (name, count) in later.counts {
            *self.counts.entry(name).or_default() += count;
        }
    }
}
