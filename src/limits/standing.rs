//! The client's standing against its budgets, as the headers `anthropic-ratelimit-unified-*` that Claude Code reads.
//!
//! Limits have headers of their own: a client would take a rolling window for one of the vendor's subscriptions.
use http::{HeaderName, HeaderValue};

use crate::auth::allowance::{Every, Then};
use crate::limits::admission::Admission;
use crate::limits::budget::Period;
use crate::limits::claim::Kind;
use crate::limits::config::Per;
use crate::limits::rule::{Budget, Rule};
use crate::limits::rules::Claimed;
use crate::net::header_edits::HeaderEdits;
use crate::net::headers;

/// The parts of a budget, in hundredths, from which a client is warned; the largest first.
const THRESHOLDS: [(u64, &str); 2] = [(95, "0.95"), (75, "0.75")];
/// The most hundredths of a budget that still allows requests.
const MOST: u64 = 99;

const STATUS: HeaderName = HeaderName::from_static("anthropic-ratelimit-unified-status");
const CLAIM: HeaderName =
    HeaderName::from_static("anthropic-ratelimit-unified-representative-claim");
const RESET: HeaderName = HeaderName::from_static("anthropic-ratelimit-unified-reset");
const OVERAGE_STATUS: HeaderName =
    HeaderName::from_static("anthropic-ratelimit-unified-overage-status");
const OVERAGE_RESET: HeaderName =
    HeaderName::from_static("anthropic-ratelimit-unified-overage-reset");
const UTILIZATION: HeaderName =
    HeaderName::from_static("anthropic-ratelimit-unified-overage-utilization");
const SURPASSED: HeaderName =
    HeaderName::from_static("anthropic-ratelimit-unified-overage-surpassed-threshold");
const PERIOD: HeaderName = HeaderName::from_static("anthropic-ratelimit-unified-overage-period");
const SCOPE: HeaderName = HeaderName::from_static("anthropic-ratelimit-unified-overage-scope");
const REASON: HeaderName =
    HeaderName::from_static("anthropic-ratelimit-unified-overage-disabled-reason");

impl Admission {
    /// Returns the headers of a successful answer: the budget of which the largest part is spent. Empty if none that
    /// rejects requests applies.
    pub(crate) fn standing(&self) -> HeaderEdits {
        let mut edits = HeaderEdits::default();
        let Some((hundredths, period)) = self.fullest() else { return edits };
        let surpassed = THRESHOLDS.into_iter().find(|(from, _)| hundredths >= *from);
        let status = if surpassed.is_some() { "allowed_warning" } else { "allowed" };
        let mut set = |name, value| edits.push(name, Some(value));
        set(STATUS, HeaderValue::from_static(status));
        set(CLAIM, HeaderValue::from_static("overage"));
        set(OVERAGE_STATUS, HeaderValue::from_static(status));
        set(UTILIZATION, headers::value(&format!("0.{hundredths:02}")));
        if let Some((_, threshold)) = surpassed {
            set(SURPASSED, HeaderValue::from_static(threshold));
        }
        set(RESET, HeaderValue::from(period.end));
        set(OVERAGE_RESET, HeaderValue::from(period.end));
        edits
    }

    /// Returns the headers of a rejection by a budget that is used up; empty for any other error. Without a claim and
    /// a status of its own, the client shows the message of the error.
    pub(crate) fn exhaustion(&self) -> HeaderEdits {
        let mut edits = HeaderEdits::default();
        let Some(exhausted) = self.exhausted_claim() else { return edits };
        let Some((budget, period)) = budget_of(&exhausted) else { return edits };
        let mut set = |name, value| edits.push(name, Some(value));
        set(STATUS, HeaderValue::from_static("rejected"));
        set(RESET, HeaderValue::from(period.end));
        set(OVERAGE_RESET, HeaderValue::from(period.end));
        set(UTILIZATION, HeaderValue::from_static("1"));
        set(SURPASSED, HeaderValue::from_static("1"));
        if let Some(word) = word(budget.every) {
            set(PERIOD, HeaderValue::from_static(word));
        }
        if budget.per != Per::Key {
            set(SCOPE, HeaderValue::from_static("group_pool"));
        }
        set(REASON, HeaderValue::from_static("org_spend_cap_reached"));
        edits
    }

    /// Returns the spent hundredths of the fullest budget that rejects requests, and its period. Of several equal ones
    /// the last to end counts.
    fn fullest(&self) -> Option<(u64, Period)> {
        let now = self.limits.store.now();
        let shown = self.shown(<[Claimed]>::to_vec);
        let parts = shown.iter().filter_map(|claimed| {
            let (budget, period) = budget_of(claimed)?;
            if budget.then != Then::Deny || !claimed.has_own {
                return None;
            }
            let spent = self.limits.store.spent(&claimed.claim, now);
            Some((hundredths(spent, budget.limit), period))
        });
        parts.max_by_key(|(hundredths, period)| (*hundredths, period.end))
    }
}

/// Returns the budget of a claim, and its period.
fn budget_of(claimed: &Claimed) -> Option<(&Budget, Period)> {
    match (&claimed.rule, claimed.claim.kind) {
        (Rule::Budget(budget), Kind::Sum(period)) => Some((budget, period)),
        _ => None,
    }
}

/// Returns the hundredths of a budget that are spent, below the whole as long as requests are served.
fn hundredths(spent: u64, limit: u64) -> u64 {
    let part = u128::from(spent) * 100 / u128::from(limit.max(1));
    u64::try_from(part).unwrap_or(MOST).min(MOST)
}

/// Returns the name of a period in the headers; there is none for an hour.
fn word(every: Every) -> Option<&'static str> {
    match every {
        Every::Hour => None,
        Every::Day => Some("daily"),
        Every::Week => Some("weekly"),
        Every::Month => Some("monthly"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_never_whole_while_requests_are_served() {
        let parts = [(0, 100), (749, 1000), (75, 100), (94_999, 100_000), (2, 1), (0, 0)];
        let found = parts.map(|(spent, limit)| hundredths(spent, limit));
        assert_eq!(found, [0, 74, 75, 94, 99, 0]);
        assert_eq!(hundredths(u64::MAX, 1), MOST);
    }
}
