//! The limits and budgets of a generation with the state of their counters, for operators.
use jiff::Timestamp;

use crate::auth::WhenConfig;
use crate::limits::budget::{Period, Then};
use crate::limits::claim::{Kind, Level, Now};
use crate::limits::rules::{Budget, Limits, Quota};

/// A limit.
#[derive(Debug)]
pub(crate) struct LimitOverview<'a> {
    /// The owner of each counter, as the config names it.
    pub(crate) per: String,
    /// The requests that it applies to.
    pub(crate) when: &'a WhenConfig,
    /// `requests`, `tokens`, `input_tokens`, `output_tokens` or `concurrent`.
    pub(crate) unit: &'static str,
    /// The number.
    pub(crate) number: u64,
    /// The window in milliseconds; `None` for requests at the same time.
    pub(crate) window_ms: Option<u64>,
    /// The requests rejected and targets passed over, since the start of the process.
    pub(crate) refused: u64,
    /// The counters in use.
    pub(crate) counters: Vec<Counted>,
}

/// A budget.
#[derive(Debug)]
pub(crate) struct BudgetOverview<'a> {
    /// The owner of each sum, as the config names it.
    pub(crate) per: String,
    /// The requests that it applies to.
    pub(crate) when: &'a WhenConfig,
    /// `hour`, `day`, `week` or `month`.
    pub(crate) every: String,
    /// Nano-dollars of a period.
    pub(crate) limit: u64,
    /// Nano-dollars at which the log warns.
    pub(crate) warn_at: Option<u64>,
    /// The end of the budget.
    pub(crate) then: &'a Then,
    /// The current period.
    pub(crate) period: Period,
    /// The sums of the current period.
    pub(crate) counters: Vec<Counted>,
}

/// The counter of one owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Counted {
    /// The owner's name; empty for all clients of an open gateway.
    pub(crate) owner: Box<str>,
    /// The amount in use, estimates of running requests included.
    pub(crate) used: u64,
    /// The milliseconds until nothing is in use; 0 for other counters than windows.
    pub(crate) full_in_ms: u64,
}

impl Limits {
    /// Returns every limit with its counters, the fullest first.
    pub(crate) fn limits_overview(&self) -> Vec<LimitOverview<'_>> {
        let now = self.store.now();
        self.quotas.iter().map(|quota| self.limit_overview(quota, now)).collect()
    }

    /// Returns every budget with its sums, the fullest first.
    pub(crate) fn budgets_overview(&self) -> Vec<BudgetOverview<'_>> {
        let now = self.store.now();
        self.budgets.iter().map(|budget| self.budget_overview(budget, now)).collect()
    }

    /// Returns the name of the time zone in which periods begin.
    pub(crate) fn zone_name(&self) -> &str {
        self.zone.iana_name().unwrap_or("UTC")
    }

    /// Returns whether several gateways share the counters. The overview has the share of this gateway then.
    pub(crate) fn are_shared(&self) -> bool {
        self.store.is_shared()
    }

    fn limit_overview<'a>(&self, quota: &'a Quota, now: Now) -> LimitOverview<'a> {
        LimitOverview {
            per: quota.per.to_string(),
            when: &quota.given,
            unit: quota.unit.as_str(),
            number: quota.number,
            window_ms: match quota.kind {
                Kind::Window(length) => Some(length),
                Kind::Concurrent | Kind::Sum(_) => None,
            },
            refused: quota.refused.get(),
            counters: self.counters(&quota.id, quota.kind, now),
        }
    }

    fn budget_overview<'a>(&self, budget: &'a Budget, now: Now) -> BudgetOverview<'a> {
        let time = Timestamp::from_second(now.second).unwrap_or(Timestamp::UNIX_EPOCH);
        let period = budget.every().around(time, &self.zone);
        BudgetOverview {
            per: budget.per.to_string(),
            when: &budget.given,
            every: budget.every().to_string(),
            limit: budget.limit,
            warn_at: budget.warn_at,
            then: &budget.then,
            period,
            counters: self.counters(&budget.id, Kind::Sum(period), now),
        }
    }

    fn counters(&self, rule: &str, kind: Kind, now: Now) -> Vec<Counted> {
        let levels = self.store.levels(rule, kind, now).into_iter();
        let counted = levels.map(|(owner, Level { used, full_in })| Counted {
            owner,
            used,
            full_in_ms: u64::try_from(full_in.as_millis()).unwrap_or(u64::MAX),
        });
        let mut counted: Vec<Counted> = counted.collect();
        counted.sort_by(|a, b| b.used.cmp(&a.used).then_with(|| a.owner.cmp(&b.owner)));
        counted
    }
}
