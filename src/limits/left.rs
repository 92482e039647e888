//! The amounts that a client has left: as headers of its answers, and for policies.
use std::time::Duration;

use http::{HeaderName, HeaderValue};
use jiff::{SignedDuration, Timestamp};

use crate::auth::allowance::Every;
use crate::limits::admission::Admission;
use crate::limits::claim::{Level, Now};
use crate::limits::rule::{Rule, Unit};
use crate::limits::rules::Claimed;
use crate::net::header_edits::HeaderEdits;
use crate::net::headers;

/// The units with headers, and their part of the headers' names.
const HEADERS: [(Unit, [&str; 3]); 4] = [
    (
        Unit::Requests,
        [
            "anthropic-ratelimit-requests-limit",
            "anthropic-ratelimit-requests-remaining",
            "anthropic-ratelimit-requests-reset",
        ],
    ),
    (
        Unit::Tokens,
        [
            "anthropic-ratelimit-tokens-limit",
            "anthropic-ratelimit-tokens-remaining",
            "anthropic-ratelimit-tokens-reset",
        ],
    ),
    (
        Unit::InputTokens,
        [
            "anthropic-ratelimit-input-tokens-limit",
            "anthropic-ratelimit-input-tokens-remaining",
            "anthropic-ratelimit-input-tokens-reset",
        ],
    ),
    (
        Unit::OutputTokens,
        [
            "anthropic-ratelimit-output-tokens-limit",
            "anthropic-ratelimit-output-tokens-remaining",
            "anthropic-ratelimit-output-tokens-reset",
        ],
    ),
];

/// The money that is left of a budget.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct BudgetLeft {
    /// Nano-dollars of a period.
    pub(crate) limit: u64,
    /// Nano-dollars that are left.
    pub(crate) left: u64,
    /// The period.
    pub(crate) every: Every,
}

impl Admission {
    /// Returns the headers about the client's own limits; `None` if no limit and no budget applies. Of several limits
    /// of a unit, the headers show the one with the least left.
    pub(crate) fn headers(&self) -> Option<HeaderEdits> {
        let now = self.limits.store.now();
        let shown = self.shown(<[Claimed]>::to_vec);
        if shown.is_empty() {
            return None;
        }
        let mut edits = HeaderEdits::default();
        for (unit, names) in HEADERS {
            let Some((claimed, level)) = self.tightest(&shown, unit, now) else { continue };
            let number = claimed.claim.limit;
            let values = [
                HeaderValue::from(number),
                HeaderValue::from(number.saturating_sub(level.used)),
                headers::value(&time(now, level.full_in)),
            ];
            for (name, value) in names.into_iter().zip(values) {
                edits.push(HeaderName::from_static(name), Some(value));
            }
        }
        Some(edits)
    }

    /// Returns the smallest amount that is left of each unit with a limit, for the client's request.
    pub(crate) fn limits_left(&self) -> Vec<(&'static str, u64)> {
        let (ahead, now) = (self.ahead(), self.limits.store.now());
        let units = HEADERS.map(|(unit, _)| unit).into_iter().chain([Unit::Concurrent]);
        let left = units.filter_map(|unit| {
            let (claimed, level) = self.tightest(&ahead, unit, now)?;
            Some((unit.as_str(), claimed.claim.limit.saturating_sub(level.used)))
        });
        left.collect()
    }

    /// Returns the budget with the least money left, for the client's request.
    pub(crate) fn budget_left(&self) -> Option<BudgetLeft> {
        let now = self.limits.store.now();
        let budgets = self.ahead().into_iter().filter_map(|claimed| {
            let Rule::Budget(budget) = &claimed.rule else { return None };
            let limit = claimed.claim.limit;
            let left = limit.saturating_sub(self.limits.store.level(&claimed.claim, now).used);
            Some(BudgetLeft { limit, left, every: budget.every })
        });
        budgets.min_by_key(|budget| budget.left)
    }

    fn tightest<'a>(
        &self,
        claimed: &'a [Claimed],
        unit: Unit,
        now: Now,
    ) -> Option<(&'a Claimed, Level)> {
        let of_unit = claimed.iter().filter(|claimed| claimed.rule.unit() == Some(unit));
        let levels = of_unit.map(|claimed| (claimed, self.limits.store.level(&claimed.claim, now)));
        levels.min_by_key(|(claimed, level)| claimed.claim.limit.saturating_sub(level.used))
    }
}

/// Returns a time in the future, in whole seconds and rounded up.
fn time(now: Now, after: Duration) -> String {
    let seconds = i64::try_from(after.as_millis().div_ceil(1000)).unwrap_or(i64::MAX);
    let start = Timestamp::from_second(now.second).unwrap_or(Timestamp::UNIX_EPOCH);
    start.saturating_add(SignedDuration::from_secs(seconds)).unwrap_or(start).to_string()
}
