//! The health of a target: it cools down after a failure and returns after one successful probe.
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};

use crate::models::outcomes::Outcomes;
use crate::models::pace::Pace;
use crate::wire::Endpoint;

/// The health of one target, for each endpoint: an upstream that rejects counts may answer messages. It
/// outlives generations, so that a reload does not forget an outage.
#[derive(Debug, Default)]
pub struct Healths {
    /// The pace of its answers.
    pub(crate) pace: Pace,
    /// Its recent attempts.
    pub(crate) outcomes: Outcomes,
    messages: Health,
    count_tokens: Health,
}

impl Healths {
    /// Returns the health of the target at an endpoint.
    pub fn at(&self, endpoint: Endpoint) -> &Health {
        match endpoint {
            Endpoint::Messages => &self.messages,
            Endpoint::CountTokens => &self.count_tokens,
        }
    }
}

/// The health of one target at one endpoint.
#[derive(Debug, Default)]
pub struct Health(Mutex<State>);

/// The condition of a target at one endpoint, as an operator sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Condition {
    /// It is tried.
    Healthy,
    /// It failed, and is not tried for this time. With nothing left the next request probes it.
    Cooling(Duration),
    /// One request is testing it.
    Probing,
}

#[derive(Debug, Default, Clone, Copy)]
enum State {
    #[default]
    Healthy,
    /// The target failed; it is not tried before `until`.
    Cooling { until: Instant },
    /// One request is testing the target.
    Probing,
}

/// The permission to try a target. Dropped without a result (the client left), it releases its probe.
#[derive(Debug)]
pub struct Try<'a> {
    health: &'a Health,
    is_probe: bool,
    is_judged: bool,
}

impl Health {
    /// Returns the permission to try the target now; `Err` is the remaining cooldown.
    pub fn enter(&self, now: Instant) -> Result<Try<'_>, Duration> {
        let mut state = self.lock();
        let is_probe = match *state {
            State::Healthy => false,
            State::Cooling { until } if until > now => return Err(until - now),
            State::Cooling { .. } => {
                *state = State::Probing;
                true
            }
            // the duration of the probe is unknown; one second is a guess
            State::Probing => return Err(Duration::from_secs(1)),
        };
        Ok(Try { health: self, is_probe, is_judged: false })
    }

    /// Returns the condition.
    pub(crate) fn condition(&self, now: Instant) -> Condition {
        match *self.lock() {
            State::Healthy => Condition::Healthy,
            State::Cooling { until } => Condition::Cooling(until.saturating_duration_since(now)),
            State::Probing => Condition::Probing,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock()
    }
}

impl Try<'_> {
    /// Records a success. Returns whether the target has recovered with it.
    pub fn succeeded(mut self) -> bool {
        self.is_judged = true;
        // a response to a request from before the failure says nothing about the present
        if self.is_probe {
            *self.health.lock() = State::Healthy;
        }
        self.is_probe
    }

    /// Records a failure that another target may avoid; the target cools down. Returns whether the target
    /// was healthy before.
    pub fn failed(mut self, cooldown: Duration) -> bool {
        self.is_judged = true;
        let mut until = Instant::now() + cooldown;
        let mut state = self.health.lock();
        if let State::Cooling { until: earlier } = *state {
            until = until.max(earlier);
        }
        let was_well = matches!(*state, State::Healthy);
        *state = State::Cooling { until };
        was_well
    }
}

impl Drop for Try<'_> {
    fn drop(&mut self) {
        if self.is_probe && !self.is_judged {
            *self.health.lock() = State::Cooling { until: Instant::now() };
        }
    }
}

#[cfg(test)]
mod tests;
