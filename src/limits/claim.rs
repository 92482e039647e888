//! Claims of a request on counters, and the answers of the counters.
use std::sync::Arc;
use std::time::Duration;

use crate::limits::budget::Period;

/// The advice for a request that waits for another one to end.
pub(super) const CONCURRENT_WAIT: Duration = Duration::from_secs(1);
/// The advice for a request that waits for money which running requests may need.
pub(super) const HELD_WAIT: Duration = Duration::from_secs(5);

/// The identity of a counter. It survives a reload that changes no more than the number of the limit.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct CounterId {
    /// The rule: owner, conditions, unit and window.
    pub(crate) rule: Arc<str>,
    /// The owner's name.
    pub(crate) subject: Box<str>,
}

/// The kind of a counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A sliding window of this many milliseconds.
    Window(u64),
    /// Requests at the same time.
    Concurrent,
    /// A sum of a calendar period.
    Sum(Period),
}

/// An amount that a request needs of a counter.
#[derive(Debug, Clone)]
pub(crate) struct Claim {
    /// The counter.
    pub(crate) id: CounterId,
    /// Its kind.
    pub(crate) kind: Kind,
    /// The amount.
    pub(crate) amount: u64,
    /// The most that the counter may hold.
    pub(crate) limit: u64,
    /// Whether it is charged also beyond the limit.
    pub(crate) is_exempt: bool,
    /// The amount of a sum at which the operator is warned, once a period.
    pub(crate) warn_at: Option<u64>,
}

/// A time for all counters.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Now {
    /// Milliseconds on a clock that never goes back.
    pub(crate) millis: u64,
    /// Seconds since 1970.
    pub(crate) second: i64,
}

/// A claim that the counter refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Over {
    /// The position of the claim.
    pub(crate) claim: usize,
    /// The reason.
    pub(crate) cause: Cause,
    /// The time after which it would fit, if nothing else comes.
    pub(crate) wait: Duration,
}

/// The reason of a counter for a refusal, the one that lasts longest last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Cause {
    /// Running requests hold what is left.
    Held,
    /// It is used up.
    UsedUp,
}

/// The state of a counter.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Level {
    /// The amount in use.
    pub(crate) used: u64,
    /// The time until nothing is in use.
    pub(crate) full_in: Duration,
}

/// The place and the amount of a reservation in its counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark {
    /// The slot of a window, or the start of a sum.
    pub(crate) place: u64,
    /// The amount, which may be less than the estimate.
    pub(crate) amount: u64,
}
