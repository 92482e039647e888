//! `Gate`: how calls of one plugin are let in: how many at once, for how long, and not while it rests.
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout_at;

use crate::plugin_host::Clock;
use crate::plugin_host::breaker::{BREAKS, Breaker, Pass, WITHIN};
use crate::plugin_host::failure::Cause;
use crate::plugin_host::settings::{Instances, Settings, place};
use crate::plugin_host::shelf::Shelf;
use crate::telemetry::plugins::PluginMetrics;

/// One a plugin and generation.
pub(super) struct Gate {
    /// The plugin's file name, for the keys of its config.
    file: String,
    calls: u32,
    room: Arc<Semaphore>,
    breaker: Arc<Breaker>,
    metrics: PluginMetrics,
    /// Where instances wait, if they are used again.
    pub(super) shelf: Option<Shelf>,
    /// Of tools, if the operator set one.
    pub(super) deadline: Option<Duration>,
    /// The same of hooks.
    pub(super) hook_deadline: Option<Duration>,
}

impl Gate {
    pub(super) fn new(
        file: &str,
        settings: &Settings,
        (breaker, metrics): (Arc<Breaker>, PluginMetrics),
        spaces: &Arc<Semaphore>,
    ) -> Self {
        Self {
            file: file.to_owned(),
            calls: settings.calls,
            room: Arc::new(Semaphore::new(settings.calls as usize)),
            breaker,
            metrics,
            shelf: (settings.instances == Instances::Reuse).then(|| Shelf::new(spaces)),
            deadline: settings.deadline,
            hook_deadline: settings.hook_deadline,
        }
    }

    /// Refuses while the plugin rests.
    pub(super) fn enter(&self, clock: &Clock) -> Result<Pass, Cause> {
        self.breaker.enter(&**clock).map_err(|left| {
            self.metrics.refused.inc();
            Cause::Resting { breaks: BREAKS, within: WITHIN, left }
        })
    }

    /// Waits for one of the plugin's own seats.
    pub(super) async fn seat(
        &self,
        until: tokio::time::Instant,
        limit: Duration,
    ) -> Result<OwnedSemaphorePermit, Cause> {
        seat(&self.room, until).await.ok_or_else(|| Cause::Busy {
            limit,
            calls: self.calls,
            key: format!("{}.max_concurrent_calls", place(&self.file)),
        })
    }

    /// Draws its conclusions from how a call went.
    pub(super) fn leave<T>(&self, pass: Pass, clock: &Clock, result: &Result<T, Cause>) {
        match result {
            Err(cause) if cause.is_break() => {
                let Some(rest) = self.breaker.broke(pass, clock()) else { return };
                self.metrics.opened.inc();
                let (plugin, rest) = (&self.file, format!("{rest:?}"));
                tracing::error!(plugin, rest, %cause, "a plugin breaks again and again, and is not run for a while");
            }
            // it has not run
            Err(Cause::Busy { .. } | Cause::Full(_)) => {}
            _ => self.breaker.worked(pass),
        }
    }
}

/// A permit, at once or by a certain time.
pub(super) async fn seat(
    room: &Arc<Semaphore>,
    until: tokio::time::Instant,
) -> Option<OwnedSemaphorePermit> {
    if let Ok(seat) = Arc::clone(room).try_acquire_owned() {
        return Some(seat);
    }
    timeout_at(until, Arc::clone(room).acquire_owned()).await.ok()?.ok()
}
