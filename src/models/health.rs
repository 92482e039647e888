//! Whether a target is worth a try: it cools down after a failure and comes back through one probe.
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};

/// The health of one target; outlives generations, so that a reload does not forget an outage.
#[derive(Debug, Default)]
pub struct Health(Mutex<State>);

#[derive(Debug, Default, Clone, Copy)]
enum State {
    #[default]
    Healthy,
    /// Failed; left alone until then.
    Cooling { until: Instant },
    /// One request is finding out whether it is back.
    Probing,
}

/// The right to try a target. Dropped without a verdict (the caller left), a probe is given back.
#[derive(Debug)]
pub struct Try<'a> {
    health: &'a Health,
    is_probe: bool,
    is_judged: bool,
}

impl Health {
    /// Asks to try the target now; `Err` says how long it should be left alone.
    pub fn enter(&self, now: Instant) -> Result<Try<'_>, Duration> {
        let mut state = self.lock();
        let is_probe = match *state {
            State::Healthy => false,
            State::Cooling { until } if until > now => return Err(until - now),
            State::Cooling { .. } => {
                *state = State::Probing;
                true
            }
            // how long the probe takes nobody knows: a second is a fair guess
            State::Probing => return Err(Duration::from_secs(1)),
        };
        Ok(Try { health: self, is_probe, is_judged: false })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock()
    }
}

impl Try<'_> {
    /// It answered. Says whether it is back with that.
    pub fn succeeded(mut self) -> bool {
        self.is_judged = true;
        // an answer to a request of before the failure says nothing of now
        if self.is_probe {
            *self.health.lock() = State::Healthy;
        }
        self.is_probe
    }

    /// It failed in a way that another target may mend: leave it alone for so long. Says whether it was
    /// thought to be well until now.
    pub fn failed(mut self, cooldown: Duration) -> bool {
        self.is_judged = true;
        let mut until = Instant::now() + cooldown;
        let mut state = self.health.lock();
        if let State::Cooling { until: told } = *state {
            until = until.max(told);
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
