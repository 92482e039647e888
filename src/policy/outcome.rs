//! What a stage decided, and what it asked for beside its edits.
use std::collections::BTreeMap;
use std::fmt;

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use crate::error::Error;
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

/// The source of a refusal that is of one target only: the next one is tried.
#[derive(Debug)]
pub struct PassedOver;

impl PassedOver {
    /// A refusal for this reason.
    pub fn error(why: &str) -> Error {
        let mut error = Error::invalid(why).with_source(Self);
        // like every refusal of a stage: a decision, not a failure
        error.status = Some(StatusCode::BAD_REQUEST);
        error
    }

    /// The error is one.
    pub fn is(error: &Error) -> bool {
        error.source.as_ref().is_some_and(|source| source.is::<Self>())
    }
}

impl fmt::Display for PassedOver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a stage passed the target over")
    }
}

impl std::error::Error for PassedOver {}

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

/// Headers to set, or (without a value) to take out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HeaderEdits(Vec<(HeaderName, Option<HeaderValue>)>);

impl HeaderEdits {
    /// One more; it wins over earlier ones of the same name.
    pub fn push(&mut self, name: HeaderName, value: Option<HeaderValue>) {
        self.0.push((name, value));
    }

    /// There is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Each in its turn; without a value it takes the header out.
    pub fn iter(&self) -> impl Iterator<Item = (&HeaderName, Option<&HeaderValue>)> {
        self.0.iter().map(|(name, value)| (name, value.as_ref()))
    }

    /// Does them.
    pub fn apply(&self, headers: &mut HeaderMap) {
        for (name, value) in &self.0 {
            match value {
                Some(value) => headers.insert(name, value.clone()),
                None => headers.remove(name),
            };
        }
    }

    /// Those of another stage behind these.
    pub fn extend(&mut self, later: Self) {
        self.0.extend(later.0);
    }
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
