//! The rules of single keys. They are compiled once for all keys with the same limits and budgets.
use std::sync::Arc;

use dashmap::DashMap;

use crate::auth::Caller;
use crate::auth::allowance::{Allowance, Then};
use crate::limits::budget;
use crate::limits::config::RuleConfig;
use crate::limits::patterns::overlap;
use crate::limits::rule::{Budget, Quota};
use crate::telemetry::limits::LimitMetrics;

/// The most different rules that are kept.
const MOST: usize = 10_000;

/// The rules of keys that were used, by their text.
#[derive(Debug)]
pub(super) struct OwnBook {
    known: DashMap<Arc<str>, Arc<OwnRules>>,
    aliases: Vec<Box<str>>,
    metrics: LimitMetrics,
}

/// The rules of a key.
#[derive(Debug, Default)]
pub(super) struct OwnRules {
    pub(super) quotas: Vec<Arc<Quota>>,
    pub(super) budgets: Vec<Arc<Budget>>,
}

/// The rules of a client, if it has any.
pub(super) struct OwnOf(Option<Arc<OwnRules>>);

impl OwnOf {
    /// Returns the limits.
    pub(super) fn quotas(&self) -> &[Arc<Quota>] {
        self.0.as_ref().map_or(&[], |rules| &rules.quotas)
    }

    /// Returns the budgets.
    pub(super) fn budgets(&self) -> &[Arc<Budget>] {
        self.0.as_ref().map_or(&[], |rules| &rules.budgets)
    }
}

impl OwnBook {
    /// Starts without any key. A budget may send requests to one of the aliases.
    pub(super) fn new(aliases: &[&str], metrics: &LimitMetrics) -> Self {
        let aliases = aliases.iter().map(|alias| Box::from(*alias)).collect();
        Self { known: DashMap::new(), aliases, metrics: metrics.clone() }
    }

    /// Returns the rules of a client.
    pub(super) fn of(&self, caller: &Caller) -> OwnOf {
        OwnOf(caller.allowance.as_deref().map(|allowance| self.compiled(allowance)))
    }

    /// Returns the rules of an allowance.
    pub(super) fn compiled(&self, allowance: &Allowance) -> Arc<OwnRules> {
        if let Some(known) = self.known.get(&allowance.text) {
            return Arc::clone(&known);
        }
        if self.known.len() >= MOST {
            self.known.clear();
        }
        let quotas = allowance.limits.iter();
        let quotas = quotas.flat_map(|limit| Quota::of(&RuleConfig::own(limit), &self.metrics));
        let budgets = allowance.budgets.iter().map(|budget| {
            let mut rule = budget::RuleConfig::own(budget);
            if let Then::Route(to) = &rule.then
                && !self.aliases.iter().any(|alias| overlap(to, alias))
            {
                tracing::warn!(
                    alias = to,
                    "the budget of a key leads to a model that the config does not have any more: it denies requests"
                );
                rule.then = Then::Deny;
            }
            Budget::new(&rule, &self.metrics)
        });
        let rules = Arc::new(OwnRules {
            quotas: quotas.map(Arc::new).collect(),
            budgets: budgets.map(Arc::new).collect(),
        });
        self.known.insert(Arc::clone(&allowance.text), Arc::clone(&rules));
        rules
    }
}
