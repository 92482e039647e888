//! `State`: the parts of the gateway that the admin routes read and change.
use std::sync::Arc;
use std::time::SystemTime;

use parking_lot::Mutex;
use tokio::sync::{Notify, OwnedRwLockReadGuard, RwLock};

use crate::admin::workshop::Workshop;
use crate::gateway::Live;
use crate::gateway::reload::Reloader;
use crate::gateway::shared::Shared;
use crate::ledger::database::Database;

/// The state of the admin listener.
pub(crate) struct State {
    /// The parts that outlive generations.
    pub(crate) shared: Arc<Shared>,
    /// The pointer to the current generation.
    pub(crate) live: Arc<Live>,
    /// The builder of the next generation.
    pub(crate) reloader: Arc<Reloader>,
    /// The ledger's database; `None` without a ledger.
    pub(crate) database: Option<Arc<Database>>,
    /// The threads of trials.
    pub(crate) workshop: Workshop,
    /// The right to write policies; `None` if the config gives it to no operator.
    pub(crate) editing: Option<tokio::sync::Mutex<()>>,
    /// Whether the gateway takes new work.
    pub(crate) readiness: Readiness,
    /// The writes in progress.
    pub(super) writes: Writes,
    /// The time at which the process began to serve.
    pub(crate) started: SystemTime,
}

/// The writes in progress. Each of them holds the lock for reading.
#[derive(Default)]
pub(super) struct Writes(Arc<RwLock<()>>);

impl Writes {
    /// Begins a write, which lasts until the guard is dropped.
    pub(super) async fn begin(&self) -> OwnedRwLockReadGuard<()> {
        Arc::clone(&self.0).read_owned().await
    }

    /// Waits until all writes have ended. A later one does not begin before this wait is over.
    pub(super) async fn ended(&self) {
        drop(self.0.write().await);
    }
}

/// Whether the gateway takes new work, as `/readyz` reports it.
#[derive(Default)]
pub(crate) struct Readiness {
    phase: Mutex<Phase>,
    stop: Notify,
}

/// A phase of the process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Phase {
    /// It serves and reports so.
    #[default]
    Ready,
    /// It serves, and reports that no new work should be sent, since an operator wants so.
    Unready,
    /// It drains and ends.
    Draining,
}

impl Readiness {
    /// Returns the phase.
    pub(crate) fn phase(&self) -> Phase {
        *self.phase.lock()
    }

    /// Changes between ready and unready. A drain cannot be undone: then this returns `false`.
    pub(crate) fn set(&self, phase: Phase) -> bool {
        let mut now = self.phase.lock();
        if *now == Phase::Draining {
            return phase == Phase::Draining;
        }
        *now = phase;
        true
    }

    /// Begins to drain, as `SIGTERM` does.
    pub(crate) fn stop(&self) {
        self.set(Phase::Draining);
        self.stop.notify_one();
    }

    /// Waits until an operator stops the gateway through the API.
    pub(crate) async fn stopped(&self) {
        self.stop.notified().await;
    }
}
