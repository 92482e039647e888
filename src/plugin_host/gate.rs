//! `Gate`: admits calls of one plugin, limits their number and time, and rejects them while it is suspended.
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

/// The gate of one plugin in one generation.
pub(super) struct Gate {
    /// The plugin's file name, for the keys of its config.
    file: String,
    calls: u32,
    seats: Seats,
    breaker: Arc<Breaker>,
    metrics: PluginMetrics,
    /// The shelf of idle instances, if the plugin reuses them.
    pub(super) shelf: Option<Shelf>,
    /// The time limit of a tool.
    deadline: Duration,
    /// The time limit of a hook.
    hook_deadline: Duration,
}

/// The admission of one call. If it is dropped, the call's end says nothing about the plugin.
pub(super) struct Admission<'a> {
    gate: &'a Gate,
    clock: &'a Clock,
    /// The way in which the call was admitted; `None` once its end is recorded.
    pass: Option<Pass>,
}

impl Admission<'_> {
    /// Records the result of the call in the breaker.
    pub(super) fn end<T>(mut self, result: &Result<T, Cause>) {
        // the call has not run
        if let Err(Cause::Busy { .. } | Cause::Full(_)) = result {
            return;
        }
        let Some(pass) = self.pass.take() else { return };
        let Gate { breaker, metrics, file: plugin, .. } = self.gate;
        match result {
            Err(cause) if cause.is_break() => {
                let Some(rest) = breaker.broke(pass, (self.clock)()) else { return };
                metrics.opened.inc();
                let rest = format!("{rest:?}");
                tracing::error!(plugin, rest, %cause, "plugin failed repeatedly, calls suspended");
            }
            Err(cause) if cause.is_of_input() => breaker.undecided(pass, (self.clock)()),
            _ => breaker.worked(pass),
        }
    }
}

impl Drop for Admission<'_> {
    fn drop(&mut self) {
        if let Some(pass) = self.pass {
            self.gate.breaker.undecided(pass, (self.clock)());
        }
    }
}

/// The kind of seat that a call takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seat {
    /// A seat for a tool, which may take half a minute.
    Tool,
    /// A seat for a hook or for `describe`: neither may wait for a slow tool.
    Hook,
}

/// The seats for concurrent calls. Tools and hooks have separate seats, so that a slow tool never
/// delays requests with hooks.
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

    /// Returns the time limit of a call, waiting included.
    pub(super) fn limit(&self, seat: Seat) -> Duration {
        match seat {
            Seat::Tool => self.deadline,
            Seat::Hook => self.hook_deadline,
        }
    }

    /// Returns the plugin's file name without its ending.
    pub(super) fn file(&self) -> &str {
        &self.file
    }

    /// Returns the rest of a suspension after repeated failures.
    pub(super) fn suspended(&self) -> Option<Duration> {
        self.breaker.rest(std::time::Instant::now())
    }

    /// Admits a call, or rejects it while the plugin is suspended.
    pub(super) fn enter<'a>(&'a self, clock: &'a Clock) -> Result<Admission<'a>, Cause> {
        match self.breaker.enter(&**clock) {
            Ok(pass) => Ok(Admission { gate: self, clock, pass: Some(pass) }),
            Err(left) => {
                self.metrics.refused.inc();
                Err(Cause::Resting { breaks: BREAKS, within: WITHIN, left })
            }
        }
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
            of: seat.owner(),
            key: format!("{}.max_concurrent_calls", place(&self.file)),
        })
    }
}

impl Seat {
    /// Returns the kind of seat for an export.
    pub(super) fn of(export: Export) -> Self {
        match export {
            Export::CallTool => Self::Tool,
            Export::OnRequest | Export::OnUpstreamRequest | Export::OnResponse => Self::Hook,
        }
    }

    fn owner(self) -> &'static str {
        match self {
            Self::Tool => "its tools",
            Self::Hook => "its hooks",
        }
    }
}

impl Seats {
    /// Creates the same number of seats for tools and for hooks.
    pub(super) fn new(each: u32) -> Self {
        let seats = || Arc::new(Semaphore::new(each as usize));
        Self { tools: seats(), hooks: seats() }
    }

    /// Takes a seat. Waits until `until` if none is free.
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
