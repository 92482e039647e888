//! Metrics of limits and budgets.
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::telemetry::series::{Counters, Labels, add, labels};

/// The mode of a gateway whose limits are its own.
const MEMORY: &str = "memory";
/// The modes of the limits' store: on its own, shared, and the three modes while the shared store is away.
const MODES: [&str; 5] = [MEMORY, "shared", "open", "closed", "local"];

/// The counters of all rules. Cloning shares them.
#[derive(Clone, Debug, Default)]
pub(crate) struct LimitMetrics {
    refusals: Counters,
    denials: Counters,
    warnings: Counters,
    reroutes: Counters,
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
        let mode = "1 for the store that counts limits now, 0 for the others";
        let modes: Family<Labels, Gauge> = add(r, "limiter_mode", mode, Family::default());
        for mode in MODES {
            modes.get_or_create_owned(&labels([("mode", mode)])).set(i64::from(mode == MEMORY));
        }
        Self {
            refusals: add(r, "limit_refusals", refusals, Family::default()),
            denials: add(r, "budget_refusals", denials, Family::default()),
            warnings: add(r, "budget_warnings", warnings, Family::default()),
            reroutes: add(r, "budget_reroutes", reroutes, Family::default()),
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
