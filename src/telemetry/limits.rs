//! Metrics of limits and budgets.
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::telemetry::series::{Counters, Labels, add, labels};

/// The counters of all rules. Cloning shares them.
#[derive(Clone, Debug, Default)]
pub(crate) struct LimitMetrics {
    refusals: Counters,
    denials: Counters,
    warnings: Counters,
    reroutes: Counters,
    modes: Family<Labels, Gauge>,
    waits: Counters,
    /// `tidegate_limit_queue_entries`
    pub(crate) waiting: Gauge,
    /// `tidegate_limit_wait_seconds`
    pub(crate) wait: WaitTimes,
    /// `tidegate_limiter_unreachable_total`
    pub(crate) unreachable: Counter,
    /// `tidegate_limiter_unsettled_total`
    pub(crate) unsettled: Counter,
}

/// The place in which a gateway counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// In its memory, by the config.
    Memory,
    /// In Redis.
    Shared,
    /// In its memory, since Redis does not answer.
    Local,
    /// Nowhere, since Redis does not answer: no limit applies.
    Open,
    /// Nowhere, since Redis does not answer: requests with a limit are rejected.
    Closed,
}

/// The end of a wait for a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Waited {
    /// The request was admitted.
    Admitted,
    /// The request was rejected after its time.
    Refused,
    /// The client left.
    Left,
    /// The queue was full, so the request did not wait.
    Full,
}

impl Waited {
    const ALL: [Self; 4] = [Self::Admitted, Self::Refused, Self::Left, Self::Full];

    fn as_str(self) -> &'static str {
        match self {
            Self::Admitted => "admitted",
            Self::Refused => "refused",
            Self::Left => "left",
            Self::Full => "full",
        }
    }
}

/// The times of waits.
#[derive(Clone, Debug)]
pub(crate) struct WaitTimes(Histogram);

impl Default for WaitTimes {
    fn default() -> Self {
        Self(Histogram::new([0.01, 0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0]))
    }
}

impl WaitTimes {
    /// Adds the seconds of a wait.
    pub(crate) fn observe(&self, seconds: f64) {
        self.0.observe(seconds);
    }
}

impl Mode {
    const ALL: [Self; 5] = [Self::Memory, Self::Shared, Self::Local, Self::Open, Self::Closed];

    /// Returns the value of the label.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Shared => "shared",
            Self::Local => "local",
            Self::Open => "open",
            Self::Closed => "closed",
        }
    }
}

/// The counters of one budget.
#[derive(Clone, Debug, Default)]
pub(crate) struct BudgetMetrics {
    /// `tidegate_budget_refusals_total{per,every}`
    pub(crate) denied: Counter,
    /// `tidegate_budget_warnings_total{per,every}`
    pub(crate) warned: Counter,
    /// `tidegate_budget_reroutes_total{per,every}`
    pub(crate) rerouted: Counter,
}

impl LimitMetrics {
    pub(super) fn new(r: &mut Registry) -> Self {
        let refusals = "Requests rejected, or targets passed over, since a limit was reached";
        let denials = "Requests rejected by a budget";
        let warnings = "Periods in which a budget reached its `warn_at`";
        let reroutes = "Requests sent to another model since a budget was used up";
        let mode = "1 for the place in which limits and budgets are counted now";
        let waits = "Requests that had to wait for a limit";
        let waiting = "Requests that wait for a limit now";
        let wait = "Times for which requests waited for a limit";
        let unreachable =
            "Decisions without the shared store of the limits, since it did not answer";
        let unsettled = "Requests whose true amounts did not reach the shared store of the limits";
        let metrics = Self {
            refusals: add(r, "limit_refusals", refusals, Family::default()),
            denials: add(r, "budget_refusals", denials, Family::default()),
            warnings: add(r, "budget_warnings", warnings, Family::default()),
            reroutes: add(r, "budget_reroutes", reroutes, Family::default()),
            modes: add(r, "limiter_mode", mode, Family::default()),
            waits: add(r, "limit_waits", waits, Family::default()),
            waiting: add(r, "limit_queue_entries", waiting, Gauge::default()),
            wait: WaitTimes(add(r, "limit_wait_seconds", wait, WaitTimes::default().0)),
            unreachable: add(r, "limiter_unreachable", unreachable, Counter::default()),
            unsettled: add(r, "limiter_unsettled", unsettled, Counter::default()),
        };
        metrics.mode(Mode::Memory);
        for end in Waited::ALL {
            metrics.waits.get_or_create_owned(&labels([("outcome", end.as_str())]));
        }
        metrics
    }

    /// Counts a wait.
    pub(crate) fn waited(&self, end: Waited) {
        self.waits.get_or_create_owned(&labels([("outcome", end.as_str())])).inc();
    }

    /// Notes the place of the counters.
    pub(crate) fn mode(&self, mode: Mode) {
        for other in Mode::ALL {
            let labels = labels([("mode", other.as_str())]);
            self.modes.get_or_create_owned(&labels).set(i64::from(other == mode));
        }
    }

    /// Returns the counter of refusals by one limit, such as `requests`.
    pub(crate) fn limit(&self, per: &str, limit: &str) -> Counter {
        self.refusals.get_or_create_owned(&labels([("per", per), ("limit", limit)]))
    }

    /// Returns the counters of a budget.
    pub(crate) fn budget(&self, per: &str, every: &str) -> BudgetMetrics {
        let labels = labels([("per", per), ("every", every)]);
        BudgetMetrics {
            denied: self.denials.get_or_create_owned(&labels),
            warned: self.warnings.get_or_create_owned(&labels),
            rerouted: self.reroutes.get_or_create_owned(&labels),
        }
    }
}
