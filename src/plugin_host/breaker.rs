//! `Breaker`: a plugin that breaks again and again is left alone for a while, and tried once before it is trusted.
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};

/// One bad request may be tried again by its client, twice as a rule: five are no coincidence.
pub(super) const BREAKS: usize = 5;
/// Breaks that lie further apart are single requests' own.
pub(super) const WITHIN: Duration = Duration::from_secs(30);
/// Long enough to spare the worker threads most of the broken runs, short enough that nobody waits for
/// a plugin that works again.
const REST: Duration = Duration::from_secs(10);

/// One a plugin file, through all generations that have the same file.
#[derive(Default)]
pub(super) struct Breaker {
    /// Read at each call: only a breaker that is open takes the lock.
    is_open: AtomicBool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The last breaks, at most [`BREAKS`].
    broke: VecDeque<Instant>,
    /// When the next trial may begin; none while it is closed.
    trial: Option<Instant>,
}

/// How a call was let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pass {
    Usual,
    /// The one call that finds out whether the plugin works again.
    Trial,
}

impl Breaker {
    /// Lets a call in, or tells how long none will be. Nobody asks for the time while it is closed.
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
                // a trial whose caller leaves never comes back: another may follow then
                state.trial = Some(now + REST);
                Ok(Pass::Trial)
            }
        }
    }

    /// A call came to an end of its own.
    pub(super) fn worked(&self, pass: Pass) {
        if pass == Pass::Trial {
            let mut state = self.state();
            *state = State::default();
            self.is_open.store(false, Ordering::Relaxed);
        }
    }

    /// A call broke; tells for how long no other is let in, if it is this one that opens the breaker.
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
