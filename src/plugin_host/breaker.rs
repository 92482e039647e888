//! `Breaker`: suspends a plugin that fails repeatedly, and resumes it after one successful trial.
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};

/// The failures that open the breaker. A client may retry one bad request, usually twice: five
/// failures are no coincidence.
pub(super) const BREAKS: usize = 5;
/// The period of these failures. Failures that are further apart belong to single requests.
pub(super) const WITHIN: Duration = Duration::from_secs(30);
/// The time of a suspension. It saves the worker threads most of the failing calls, and is short
/// enough for a plugin that works again.
const REST: Duration = Duration::from_secs(10);

/// The breaker of one plugin file, through all generations with the same file.
#[derive(Default)]
pub(super) struct Breaker {
    /// Whether the breaker is open. Each call reads this flag, and takes the lock only if it is
    /// set.
    is_open: AtomicBool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The times of the last failures, at most [`BREAKS`].
    broke: VecDeque<Instant>,
    /// The time of the next trial; `None` while the breaker is closed.
    trial: Option<Instant>,
}

/// The way in which a call was admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pass {
    Usual,
    /// The one call that tests whether the plugin works again.
    Trial,
}

impl Breaker {
    /// Admits a call, or returns the time until the next trial. Reads the clock only while the
    /// breaker is open.
    pub(super) fn enter(&self, clock: impl Fn() -> Instant) -> Result<Pass, Duration> {
        if !self.is_open.load(Ordering::Relaxed) {
            return Ok(Pass::Usual);
        }
        let now = clock();
        let mut state = self.state();
        match state.trial {
            None => Ok(Pass::Usual),
            Some(trial) if now < trial => Err(trial - now),
            Some(_) => {
                state.trial = Some(now + REST);
                Ok(Pass::Trial)
            }
        }
    }

    /// Returns the rest of a suspension; `None` while the breaker is closed. It admits nothing.
    pub(super) fn rest(&self, now: Instant) -> Option<Duration> {
        self.state().trial.map(|trial| trial.saturating_duration_since(now))
    }

    /// Records a call that ended without a failure. A successful trial closes the breaker.
    pub(super) fn worked(&self, pass: Pass) {
        if pass == Pass::Trial {
            let mut state = self.state();
            *state = State::default();
            self.is_open.store(false, Ordering::Relaxed);
        }
    }

    /// Records a call whose end says nothing about the plugin: its caller has left, or its input was wrong. If
    /// it was the trial, the next call is one.
    pub(super) fn undecided(&self, pass: Pass, now: Instant) {
        let mut state = self.state();
        if pass == Pass::Trial && state.trial.is_some() {
            state.trial = Some(now);
        }
    }

    /// Records a failure. Returns the time of the suspension if this failure opens the breaker.
    pub(super) fn broke(&self, pass: Pass, now: Instant) -> Option<Duration> {
        let mut state = self.state();
        state.broke.push_back(now);
        if state.broke.len() > BREAKS {
            state.broke.pop_front();
        }
        let first = state.broke.front().copied().unwrap_or(now);
        let are_many =
            state.broke.len() == BREAKS && now.saturating_duration_since(first) <= WITHIN;
        if pass == Pass::Usual && (state.trial.is_some() || !are_many) {
            return None;
        }
        state.trial = Some(now + REST);
        self.is_open.store(true, Ordering::Relaxed);
        Some(REST)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }
}

#[cfg(test)]
mod tests;
