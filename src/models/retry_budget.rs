//! `RetryBudget`: bounds the extra load of retries and failovers, so that a fault of an upstream does not multiply the
//! requests that it and the other targets get.
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::models::slots::Slots;

/// The window.
pub(crate) const WINDOW: Duration = Duration::from_secs(10);
const SLOT: Duration = Duration::from_secs(1);
/// One extra attempt for this many requests of the window: 20 %.
const REQUESTS: u64 = 5;
/// The extra attempts of a window that are always allowed, so that quiet gateways retry.
const LEAST: u64 = 30;

/// The budget of one alias. It outlives generations.
#[derive(Debug)]
pub(crate) struct RetryBudget(Mutex<Slots<Slot>>);

#[derive(Debug, Clone, Copy, Default)]
struct Slot {
    requests: u64,
    extra: u64,
}

impl Default for RetryBudget {
    fn default() -> Self {
        Self(Mutex::new(Slots::new(WINDOW, SLOT)))
    }
}

/// The state of a budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RetryLevel {
    /// The requests of the window. Each turn of a tool loop is one.
    pub(crate) requests: u64,
    /// The retries and failovers of the window.
    pub(crate) extra: u64,
    /// The most retries and failovers for these requests.
    pub(crate) most: u64,
}

impl RetryBudget {
    /// Counts a request.
    pub(crate) fn request(&self, now: Instant) {
        self.0.lock().current(now).requests += 1;
    }

    /// Takes one extra attempt. Returns `false` if the budget is used up.
    pub(crate) fn take(&self, now: Instant) -> bool {
        let mut slots = self.0.lock();
        let level = level(&slots, now);
        let has_left = level.extra < level.most;
        if has_left {
            slots.current(now).extra += 1;
        }
        has_left
    }

    /// Returns the state.
    pub(crate) fn level(&self, now: Instant) -> RetryLevel {
        level(&self.0.lock(), now)
    }
}

fn level(slots: &Slots<Slot>, now: Instant) -> RetryLevel {
    let requests = slots.recent(now).map(|slot| slot.requests).sum::<u64>();
    let extra = slots.recent(now).map(|slot| slot.extra).sum();
    RetryLevel { requests, extra, most: (requests / REQUESTS).max(LEAST) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(budget: &RetryBudget, tries: usize, now: Instant) -> usize {
        (0..tries).filter(|_| budget.take(now)).count()
    }

    #[test]
    fn a_quiet_gateway_may_retry() {
        let (budget, now) = (RetryBudget::default(), Instant::now());
        budget.request(now);
        assert_eq!(taken(&budget, 1000, now), LEAST as usize);
        assert_eq!(taken(&budget, 1000, now + WINDOW / 2), 0);
        assert_eq!(taken(&budget, 1000, now + WINDOW), LEAST as usize);
    }

    #[test]
    fn the_extra_load_of_a_busy_gateway_is_at_most_a_fifth() {
        let (budget, start) = (RetryBudget::default(), Instant::now());
        let (mut requests, mut extra) = (0_u64, 0_u64);
        // a minute in which every attempt fails and would be tried twice again
        for milli in 0..60_000 {
            let now = start + Duration::from_millis(milli);
            budget.request(now);
            requests += 1;
            extra += taken(&budget, 2, now) as u64;
            let RetryLevel { extra, most, .. } = budget.level(now);
            assert!(extra <= most, "{extra} of {most} at {milli}");
        }
        assert!(extra * REQUESTS <= requests + LEAST * REQUESTS, "{extra} of {requests}");
        assert!(extra * REQUESTS >= requests * 8 / 10, "{extra} of {requests}");
    }

    #[test]
    fn the_budget_of_old_requests_is_gone() {
        let (budget, now) = (RetryBudget::default(), Instant::now());
        (0..1000).for_each(|_| budget.request(now));
        assert_eq!(budget.level(now), RetryLevel { requests: 1000, extra: 0, most: 200 });
        let later = now + WINDOW;
        assert_eq!(budget.level(later), RetryLevel { requests: 0, extra: 0, most: LEAST });
    }
}
