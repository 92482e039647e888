//! Metrics that policies define: their own counters, and tags of requests.
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use parking_lot::Mutex;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use crate::telemetry::series::add;
use crate::wire::Usage;

type Labels = Vec<(&'static str, String)>;
type Counters = Family<Labels, Counter>;

/// The most distinct names and values. A policy that tags by user must not fill the memory of
/// Prometheus.
const MAX_SERIES: usize = 1000;
/// The label for further names and values.
const OTHER: &str = "other";

/// Counters named by policies. Cloning shares them.
#[derive(Clone, Default)]
pub struct PolicyMetrics {
    /// `tidegate_policy_counts_total{name}`
    pub(super) counts: Counters,
    /// `tidegate_tagged_requests_total{tag, value}`
    pub(super) requests: Counters,
    /// `tidegate_tagged_tokens_total{tag, value, gen_ai_token_type}`
    pub(super) tokens: Counters,
    known: Arc<Mutex<HashSet<(String, String)>>>,
}

impl PolicyMetrics {
    pub(super) fn new(registry: &mut Registry) -> Self {
        let this = Self::default();
        let (counts, requests) = (this.counts.clone(), this.requests.clone());
        add(registry, "policy_counts", "Counters that policies add to with `count`", counts);
        add(registry, "tagged_requests", "Requests that policies tagged with `tag`", requests);
        let tokens = this.tokens.clone();
        add(registry, "tagged_tokens", "Tokens of requests that policies tagged, by type", tokens);
        this
    }

    /// Adds to a counter that a policy named.
    pub fn count(&self, name: &str, number: u64) {
        let (name, _) = self.bounded(name, "");
        self.counts.get_or_create(&vec![("name", name)]).inc_by(number);
    }

    /// Counts a finished request under each of its tags.
    pub fn tagged(&self, tags: &BTreeMap<String, String>, usage: &Usage) {
        for (tag, value) in tags {
            let (tag, value) = self.bounded(tag, value);
            let labels = vec![("tag", tag), ("value", value)];
            self.requests.get_or_create(&labels).inc();
            for (kind, tokens) in [
                ("input", usage.input),
                ("output", usage.output),
                ("cache_creation", usage.cache_creation),
                ("cache_read", usage.cache_read),
            ] {
                let mut labels = labels.clone();
                labels.push(("gen_ai_token_type", kind.to_owned()));
                self.tokens.get_or_create(&labels).inc_by(tokens);
            }
        }
    }

    fn bounded(&self, name: &str, value: &str) -> (String, String) {
        let pair = (name.to_owned(), value.to_owned());
        let mut known = self.known.lock();
        if known.contains(&pair) {
            return pair;
        }
        if known.len() >= MAX_SERIES {
            return (OTHER.to_owned(), OTHER.to_owned());
        }
        known.insert(pair.clone());
        pair
    }
}
