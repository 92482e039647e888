//! `Gate`: how calls of one plugin are let in: how many at once, for how long, and not while it rests.
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

use crate::plugin_host::breaker::{BREAKS, Breaker, Pass, WITHIN};
use crate::plugin_host::export::Export;
use crate::plugin_host::failure::Cause;
use crate::plugin_host::means::Clock;
use crate::plugin_host::settings::{Instances, Settings, place};
use crate::plugin_host::shelf::Shelf;
use crate::telemetry::plugins::PluginMetrics;

/// One a plugin and generation.
pub(super) struct Gate {
    /// The plugin's file name, for the keys of its config.
    file: String,
    calls: u32,
    seats: Seats,
    breaker: Arc<Breaker>,
    metrics: PluginMetrics,
    /// Where instances wait, if they are used again.
    pub(super) shelf: Option<Shelf>,
    /// How long a tool may take.
    deadline: Duration,
    /// How long a hook may take.
    hook_deadline: Duration,
}

/// Which seat a call takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seat {
    /// It is a tool's, which may take half a minute.
    Tool,
    /// It is a hook's, or describes the plugin: neither may wait for a slow tool.
    Hook,
}

/// How many calls run at once: as many of tools, and as many of hooks, so that a slow tool never holds
/// up the requests that hooks look at.
pub(super) struct Seats {
    tools: Arc<Semaphore>,
    hooks: Arc<Semaphore>,
}

impl Gate {
    pub(super) fn new(
        file: &str,
        settings: &Settings,
        breaker: Arc<Breaker>,
        metrics: PluginMetrics,
        spaces: &Arc<Semaphore>,
    ) -> Self {
        Self {
            file: file.to_owned(),
            calls: settings.calls,
            seats: Seats::new(settings.calls),
            breaker,
            metrics,
            shelf: (settings.instances == Instances::Reuse).then(|| Shelf::new(spaces)),
            deadline: settings.deadline,
            hook_deadline: settings.hook_deadline,
        }
    }

    /// How long a call may take, waiting included.
    pub(super) fn limit(&self, seat: Seat) -> Duration {
        match seat {
            Seat::Tool => self.deadline,
            Seat::Hook => self.hook_deadline,
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
    pub(super) async fn take(
        &self,
        seat: Seat,
        until: Instant,
        limit: Duration,
    ) -> Result<OwnedSemaphorePermit, Cause> {
        self.seats.take(seat, until).await.ok_or_else(|| Cause::Busy {
            limit,
            calls: self.calls,
            of: seat.whose(),
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

impl Seat {
    /// The one for a call of this export.
    pub(super) fn of(export: Export) -> Self {
        match export {
            Export::CallTool => Self::Tool,
            Export::OnRequest | Export::OnUpstreamRequest | Export::OnResponse => Self::Hook,
        }
    }

    fn whose(self) -> &'static str {
        match self {
            Self::Tool => "its tools",
            Self::Hook => "its hooks",
        }
    }
}

impl Seats {
    /// So many of each.
    pub(super) fn new(each: u32) -> Self {
        let seats = || Arc::new(Semaphore::new(each as usize));
        Self { tools: seats(), hooks: seats() }
    }

    /// One of them, at once or by a certain time.
    pub(super) async fn take(&self, seat: Seat, until: Instant) -> Option<OwnedSemaphorePermit> {
        let seats = match seat {
            Seat::Tool => &self.tools,
            Seat::Hook => &self.hooks,
        };
        if let Ok(free) = Arc::clone(seats).try_acquire_owned() {
            return Some(free);
        }
        timeout_at(until, Arc::clone(seats).acquire_owned()).await.ok()?.ok()
    }
}
