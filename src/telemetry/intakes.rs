//! Metrics of the telemetry that clients send through the gateway.
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use crate::telemetry::series::{Counters, add, labels};

/// The counters. Cloning shares them.
#[derive(Clone)]
pub(crate) struct Intakes {
    taken: Counters,
}

/// The end of one body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Taken {
    /// The collector took it.
    Relayed,
    /// No collector is meant for it.
    Dropped,
    /// The collector rejected it.
    Rejected,
    /// The collector gave no answer.
    Failed,
    /// It could not be read.
    Malformed,
    /// Too many were in progress.
    Refused,
}

impl Taken {
    const ALL: [Self; 6] = [
        Self::Relayed,
        Self::Dropped,
        Self::Rejected,
        Self::Failed,
        Self::Malformed,
        Self::Refused,
    ];

    fn as_str(self) -> &'static str {
        match self {
            Self::Relayed => "relayed",
            Self::Dropped => "dropped",
            Self::Rejected => "rejected",
            Self::Failed => "failed",
            Self::Malformed => "malformed",
            Self::Refused => "refused",
        }
    }
}

impl Intakes {
    pub(super) fn new(r: &mut Registry) -> Self {
        let help = "Bodies of telemetry that clients sent";
        let taken: Counters = add(r, "client_telemetry", help, Family::default());
        for signal in ["metrics", "logs", "traces"] {
            for outcome in Taken::ALL {
                let outcome = ("outcome", outcome.as_str());
                taken.get_or_create_owned(&labels([("signal", signal), outcome]));
            }
        }
        Self { taken }
    }

    /// Counts a body.
    pub(crate) fn count(&self, signal: &str, taken: Taken) {
        let labels = labels([("signal", signal), ("outcome", taken.as_str())]);
        self.taken.get_or_create_owned(&labels).inc();
    }
}
