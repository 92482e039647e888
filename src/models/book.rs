//! `HealthBook`: the health of all targets and the retry budgets of all aliases. It outlives generations.
use std::collections::HashSet;
use std::sync::Arc;

use dashmap::DashMap;

use crate::models::health::Healths;
use crate::models::retry_budget::RetryBudget;

/// The health of targets, by alias and target: a provider may fail under one alias's timeouts and work under another's.
#[derive(Debug, Default)]
pub struct HealthBook {
    healths: DashMap<[String; 2], Arc<Healths>>,
    budgets: DashMap<String, Arc<RetryBudget>>,
}

impl HealthBook {
    /// Returns the health of a target of an alias.
    pub(super) fn health(&self, alias: &str, target: &str) -> Arc<Healths> {
        let key = [alias, target].map(str::to_owned);
        Arc::clone(&self.healths.entry(key).or_default())
    }

    /// Returns the retry budget of an alias.
    pub(super) fn budget(&self, alias: &str) -> Arc<RetryBudget> {
        Arc::clone(&self.budgets.entry(alias.to_owned()).or_default())
    }

    /// Forgets the targets that are not among `kept`, which are pairs of an alias and a target. A generation that still
    /// serves requests keeps its own pointers.
    pub(crate) fn retain(&self, kept: &HashSet<[String; 2]>) {
        self.healths.retain(|key, _| kept.contains(key));
        self.budgets.retain(|alias, _| kept.iter().any(|[kept, _]| kept == alias));
    }
}
