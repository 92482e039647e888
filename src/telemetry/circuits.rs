//! Metrics of the targets' health: cooldowns, and the retries that a budget prevents.
use std::sync::Arc;

use parking_lot::Mutex;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::telemetry::series::{Counters, Labels, add, labels};

/// The metrics of all targets. Cloning shares them.
#[derive(Clone)]
pub(crate) struct CircuitMetrics {
    cooling: Family<Labels, Gauge>,
    cooldowns: Counters,
    prevented: Counters,
    /// Keeps two scrapes apart: one must not see the gauges that the other has cleared.
    scrape: Arc<Mutex<()>>,
}

/// The counters of one target.
#[derive(Debug, Clone)]
pub(crate) struct Circuit {
    /// `tidegate_target_cooldowns_total`
    pub(crate) cooldowns: Counter,
    /// `tidegate_retry_budget_refusals_total`, for the whole alias.
    pub(crate) prevented: Counter,
}

/// A target in the metrics: its alias, its provider and the upstream's model.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CircuitLabels<'a> {
    /// The alias.
    pub(crate) alias: &'a str,
    /// The provider.
    pub(crate) provider: &'a str,
    /// The upstream's model; `*` for the one that a client names.
    pub(crate) model: &'a str,
}

impl CircuitLabels<'_> {
    fn pairs(&self) -> Labels {
        labels([("model", self.alias), ("provider", self.provider), ("target_model", self.model)])
    }
}

impl CircuitMetrics {
    pub(super) fn new(r: &mut Registry) -> Self {
        let cooling = "Whether a target cools down after a failure, or is being probed";
        let cooldowns = "Times that a target began to cool down";
        let prevented = "Retries and failovers that a retry budget prevented";
        Self {
            cooling: add(r, "target_cooling", cooling, Family::default()),
            cooldowns: add(r, "target_cooldowns", cooldowns, Family::default()),
            prevented: add(r, "retry_budget_refusals", prevented, Family::default()),
            scrape: Arc::default(),
        }
    }

    /// Returns the counters of a target.
    pub(crate) fn of(&self, target: CircuitLabels<'_>) -> Circuit {
        Circuit {
            cooldowns: self.cooldowns.get_or_create_owned(&target.pairs()),
            prevented: self.prevented.get_or_create_owned(&labels([("model", target.alias)])),
        }
    }

    /// Sets the gauges to these targets, and forgets all others, while `scrape` reads them.
    pub(crate) fn show<'a, T>(
        &self,
        targets: impl Iterator<Item = (CircuitLabels<'a>, bool)>,
        scrape: impl FnOnce() -> T,
    ) -> T {
        let _alone = self.scrape.lock();
        self.cooling.clear();
        for (target, is_cooling) in targets {
            self.cooling.get_or_create(&target.pairs()).set(is_cooling.into());
        }
        scrape()
    }
}
