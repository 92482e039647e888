//! The step after a failed attempt, and the fault of its upstream.
use std::time::{Duration, Instant, SystemTime};

use crate::error::{Error, Origin, Scope, StageOrigin, UpstreamOrigin};
use crate::exchange::route::{Choice, Terms};
use crate::models::Alias;
use crate::models::outcomes::LastFailure;
use crate::telemetry::logs::one_line;

/// The most characters of an error that are kept.
const SHOWN: usize = 300;

/// The step after a failed attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// Send the request to the same target on a new connection: no upstream has processed it.
    Resend,
    /// Retry on the same target, after a pause.
    Retry(Duration),
    /// Fail over to the next target.
    Failover,
    /// End the request.
    Stop,
}

/// Decides the step after a failed attempt. No other code decides about retries and failover.
pub(super) fn next(error: &Error, choice: &Choice, terms: &Terms, tries: u32) -> Next {
    let alias: &Alias = &choice.alias;
    let upstream = match &error.origin {
        Origin::Stage(StageOrigin { scope: Scope::Target, .. }) => return Next::Failover,
        Origin::Upstream(upstream) => upstream,
        Origin::Caller | Origin::Gateway | Origin::Stage(_) => return Next::Stop,
    };
    if upstream.is_unprocessed {
        return Next::Resend;
    }
    if !may_mend(upstream, |status| terms.retry.is_listed(alias, status)) {
        return Next::Stop;
    }
    if tries > terms.retry.attempts(alias) {
        return Next::Failover;
    }
    match alias.backoff.pause(tries, upstream.retry_after, terms.left()) {
        Some(pause) => Next::Retry(pause),
        None => Next::Failover,
    }
}

/// Returns whether a failure is the upstream's fault, which another request may meet too.
pub(super) fn is_fault(choice: &Choice, upstream: &UpstreamOrigin) -> bool {
    let is_listed = |status| choice.alias.retry_on.contains(&status);
    !upstream.is_callers_bound && may_mend(upstream, is_listed)
}

/// Returns whether another attempt may succeed: the upstream gave no answer, requested a retry, or
/// sent a listed status.
fn may_mend(upstream: &UpstreamOrigin, is_listed: impl Fn(u16) -> bool) -> bool {
    match (upstream.status, upstream.should_retry) {
        (None, _) => true,
        (Some(_), Some(should_retry)) => should_retry,
        (Some(status), None) => is_listed(status.as_u16()),
    }
}

/// Counts a failed attempt among the recent ones of its target.
pub(super) fn count(choice: &Choice, error: &Error) {
    let Some(upstream) = error.upstream() else { return };
    let (outcomes, now) = (&choice.target.health.outcomes, Instant::now());
    if !is_fault(choice, upstream) {
        return outcomes.answered(now);
    }
    let message: String = one_line(error.logged()).chars().take(SHOWN).collect();
    let failure = LastFailure {
        at: SystemTime::now(),
        status: upstream.status.map(|status| status.as_u16()),
        kind: error.kind.as_str(),
        message,
    };
    outcomes.failed(failure, now);
}
