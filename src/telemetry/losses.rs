//! Metrics of things that the gateway keeps in bounded memory, and drops before their time if there are too many.
use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;

use crate::telemetry::series::add;

/// The counters. Cloning shares them.
#[derive(Clone)]
pub(crate) struct Losses {
    /// `tidegate_hidden_calls_dropped_total`
    pub(crate) hidden_calls: Counter,
    /// `tidegate_published_files_dropped_total`
    pub(crate) published_files: Counter,
}

impl Losses {
    pub(super) fn new(r: &mut Registry) -> Self {
        let hidden = "Hidden tool calls that were dropped early, since too many were kept";
        let files = "Published files that were dropped early, since too many were kept";
        Self {
            hidden_calls: add(r, "hidden_calls_dropped", hidden, Counter::default()),
            published_files: add(r, "published_files_dropped", files, Counter::default()),
        }
    }
}
