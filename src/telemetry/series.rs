//! Families of metrics by their labels, and how they are registered.
use std::sync::atomic::AtomicU64;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Metric, Registry};

pub(super) type Labels = Vec<(&'static str, String)>;
pub(super) type Histograms = Family<Labels, Histogram, fn() -> Histogram>;
pub(super) type Counters = Family<Labels, Counter>;
pub(super) type Dollars = Counter<f64, AtomicU64>;

pub(super) fn add<M: Metric + Clone>(
    registry: &mut Registry,
    name: &str,
    help: &str,
    metric: M,
) -> M {
    registry.register(name, help, metric.clone());
    metric
}

pub(super) fn histograms(
    registry: &mut Registry,
    name: &str,
    help: &str,
    make: fn() -> Histogram,
) -> Histograms {
    add(registry, name, help, Family::new_with_constructor(make))
}

pub(super) fn labels<const N: usize>(pairs: [(&'static str, &str); N]) -> Labels {
    pairs.map(|(name, value)| (name, value.to_owned())).into()
}

pub(super) fn with_status(labels: &Labels, status: u16) -> Labels {
    let mut labels = labels.clone();
    labels.push(("status", status.to_string()));
    labels
}
