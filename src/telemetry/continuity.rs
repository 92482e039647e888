//! `Continuity`: whether the prompt of an exchange goes on where the session's previous one ended, as its record has it.
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Value, json};

use crate::wire::Spent;
use crate::wire::prompt::Place;

/// The tokens of a prompt that its upstream has in the cache. They are known at the end of the exchange.
pub(super) type Cached = Arc<AtomicU64>;

/// The comparison of a prompt with the session's previous one.
#[derive(Debug, Clone)]
pub struct Continuity {
    /// The result.
    pub verdict: Verdict,
    /// The tokens that were in the cache before and were not read from it; known at the end.
    pub lost: u64,
    /// The nano-dollars that the lost tokens cost more than a read of them; known at the end.
    pub cost_nano: i64,
    /// The attempt that was compared.
    pub(super) attempt: usize,
    /// The last attempt with an answer: its prompt is the next one's previous one.
    pub(super) last: usize,
    pub(super) before: Option<Cached>,
    pub(super) own: Cached,
}

/// The result of a comparison.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The session has no prompt to go on from.
    First,
    /// The prompt begins with the previous one up to its last breakpoint.
    Continues,
    /// The prompt, or its place, is another one.
    Broken(Break),
}

/// The end of the part that an upstream could read from its cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Break {
    /// The first place that is not in the cache.
    pub at: Place,
    /// The cause.
    pub by: By,
}

/// The cause of a break.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum By {
    /// The client changed the prompt, or its model.
    Client,
    /// The policy or plugin of this name changed it.
    Stage(Arc<str>),
    /// A used-up budget sent the request to another model.
    Budget,
    /// The gateway itself changed it, such as by removing thinking that the target cannot read.
    Gateway,
    /// The request went to another target, which has a cache of its own.
    Failover,
    /// The cache was not used for longer than it lives.
    Timeout,
}

/// The comparison of an attempt's prompt, when its upstream has answered.
pub(super) struct Answered {
    pub(super) verdict: Verdict,
    pub(super) before: Option<Cached>,
    pub(super) own: Cached,
}

impl Verdict {
    /// Returns the word of the ledger.
    pub(crate) fn as_str(&self) -> &'static str {
        match self {
            Self::First => "first",
            Self::Continues => "continues",
            Self::Broken(_) => "broken",
        }
    }

    /// Returns the break, if there is one.
    pub(crate) fn broken(&self) -> Option<&Break> {
        match self {
            Self::Broken(found) => Some(found),
            Self::First | Self::Continues => None,
        }
    }
}

impl By {
    /// Returns the word of the ledger.
    pub(crate) fn as_str(&self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Stage(_) => "stage",
            Self::Budget => "budget",
            Self::Gateway => "gateway",
            Self::Failover => "failover",
            Self::Timeout => "timeout",
        }
    }

    /// Returns the name of the policy or plugin.
    pub(crate) fn stage(&self) -> Option<&str> {
        match self {
            Self::Stage(name) => Some(name),
            _ => None,
        }
    }
}

impl Continuity {
    /// Begins with the first attempt that was answered.
    pub(super) fn new(answered: Answered, attempt: usize) -> Self {
        let Answered { verdict, before, own } = answered;
        Self { verdict, lost: 0, cost_nano: 0, attempt, last: attempt, before, own }
    }

    /// Goes on with the attempt of a later turn.
    pub(super) fn follow(&mut self, own: Cached, attempt: usize) {
        (self.own, self.last) = (own, attempt);
    }

    /// Returns the note of the trace header.
    pub(super) fn note(&self) -> Value {
        let mut note = json!({"state": self.verdict.as_str()});
        if let Some(Break { at, by }) = self.verdict.broken() {
            note["at"] = at.to_string().into();
            note["by"] = by.as_str().into();
            if let Some(stage) = by.stage() {
                note["stage"] = stage.into();
            }
        }
        note
    }

    /// Notes the tokens that the next prompt of the session can read.
    pub(super) fn keep(&self, last: &Spent) {
        let tokens = last.tokens.cache_read.saturating_add(last.tokens.written());
        self.own.store(tokens, Ordering::Relaxed);
    }

    /// Finds the tokens that were lost by a break. An upstream that read all of them was still in time.
    pub(super) fn lose(&mut self, compared: &Spent) {
        let before = self.before.as_ref().map_or(0, |tokens| tokens.load(Ordering::Relaxed));
        let Some(found) = self.verdict.broken() else { return };
        self.lost = before.saturating_sub(compared.tokens.cache_read);
        if found.by == By::Timeout && before > 0 && self.lost == 0 {
            self.verdict = Verdict::Continues;
        }
    }
}
