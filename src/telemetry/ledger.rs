//! Metrics of the ledger: exchanges that wait, are written, or are lost.
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::telemetry::keys::KeyMetrics;
use crate::telemetry::series::{Counters, add, labels};

/// The metrics of the ledger. Cloning shares them.
#[derive(Clone)]
pub(crate) struct LedgerMetrics {
    /// `tidegate_ledger_queue_entries`
    pub(crate) entries: Gauge,
    /// `tidegate_ledger_queue_bytes`
    pub(crate) bytes: Gauge,
    /// `tidegate_ledger_written_total`
    pub(crate) written: Counter,
    /// `tidegate_ledger_failures_total`
    pub(crate) failures: Counter,
    /// The metrics of the key store.
    pub(crate) keys: KeyMetrics,
    /// `tidegate_audit_dropped_total`
    pub(crate) audit_dropped: Counter,
    dropped: Counters,
}

/// The reason for which an exchange is not recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dropped {
    /// The queue was full.
    Full,
    /// The database does not accept this row.
    Rejected,
    /// The gateway stopped while the database was away.
    Stopped,
    /// The config names no ledger, and the default one could not be used at the start.
    Unwritable,
}

impl Dropped {
    const ALL: [Self; 4] = [Self::Full, Self::Rejected, Self::Stopped, Self::Unwritable];

    fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Rejected => "rejected",
            Self::Stopped => "stopped",
            Self::Unwritable => "unwritable",
        }
    }
}

impl LedgerMetrics {
    pub(super) fn new(r: &mut Registry) -> Self {
        let dropped: Counters =
            add(r, "ledger_dropped", "Exchanges that are missing in the ledger", Family::default());
        for reason in Dropped::ALL {
            dropped.get_or_create_owned(&labels([("reason", reason.as_str())]));
        }
        Self {
            entries: add(
                r,
                "ledger_queue_entries",
                "Exchanges that wait for the ledger's database",
                Gauge::default(),
            ),
            bytes: add(
                r,
                "ledger_queue_bytes",
                "Memory of the exchanges that wait for the ledger's database",
                Gauge::default(),
            ),
            written: add(
                r,
                "ledger_written",
                "Exchanges written to the ledger",
                Counter::default(),
            ),
            failures: add(
                r,
                "ledger_failures",
                "Failed attempts to write to the ledger",
                Counter::default(),
            ),
            keys: KeyMetrics::new(r),
            audit_dropped: add(
                r,
                "audit_dropped",
                "Writes of the admin API that are missing in the audit table",
                Counter::default(),
            ),
            dropped,
        }
    }

    /// Counts exchanges that are not recorded.
    pub(crate) fn dropped(&self, reason: Dropped, number: usize) {
        let labels = labels([("reason", reason.as_str())]);
        self.dropped.get_or_create_owned(&labels).inc_by(number as u64);
    }
}
