//! `Memory`: the counters of limits and budgets in this process. All counters of a request change in one step.
use std::collections::HashMap;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use parking_lot::Mutex;

use crate::limits::claim::{
    CONCURRENT_WAIT, Cause, Claim, CounterId, HELD_WAIT, Kind, Level, Mark, Now, Over,
};
use crate::limits::sums::Sum;
use crate::limits::window::{Change, Window};

/// The most counters; beyond it, those that were unused for the longest time are removed.
const MAX_COUNTERS: usize = 100_000;
/// The number of counters at which idle ones are removed for the first time.
const FIRST_SWEEP: usize = 1024;

/// All counters of the process.
#[derive(Debug)]
pub(crate) struct Memory {
    started: Instant,
    counters: Mutex<Counters>,
}

/// A reservation, and the amount that it really used.
#[derive(Debug)]
pub(crate) struct Settled<'a> {
    /// The counter.
    pub(crate) id: &'a CounterId,
    /// The mark that the reservation returned.
    pub(crate) mark: Mark,
    /// The true amount.
    pub(crate) used: u64,
}

#[derive(Debug, Default)]
struct Counters {
    by_id: HashMap<CounterId, Counter>,
    sweep_at: usize,
    /// Whether a sum changed since the last [`Memory::changed_sums`].
    is_changed: bool,
}

#[derive(Debug)]
enum Counter {
    Window(Window, u64),
    Concurrent(u64),
    Sum(Sum),
}

impl Default for Memory {
    fn default() -> Self {
        Self { started: Instant::now(), counters: Mutex::default() }
    }
}

impl Memory {
    /// Returns the current time.
    pub(crate) fn now(&self) -> Now {
        let millis = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        Now { millis, second: Timestamp::now().as_second() }
    }

    /// Reserves all claims, or none of them. Exempt claims always fit. Returns a mark for each.
    ///
    /// Fails with the claims that do not fit.
    pub(crate) fn reserve(&self, claims: &[Claim], now: Now) -> Result<Vec<Mark>, Vec<Over>> {
        let mut counters = self.counters.lock();
        let over = counters.over(claims, now);
        match over.is_empty() {
            true => Ok(claims.iter().map(|claim| counters.add(claim, now)).collect()),
            false => Err(over),
        }
    }

    /// Returns the claims that do not fit, and reserves nothing.
    pub(crate) fn over(&self, claims: &[Claim], now: Now) -> Vec<Over> {
        self.counters.lock().over(claims, now)
    }

    /// Reserves all claims, whether they fit or not. Returns a mark for each.
    pub(crate) fn charge(&self, claims: &[Claim], now: Now) -> Vec<Mark> {
        let mut counters = self.counters.lock();
        claims.iter().map(|claim| counters.add(claim, now)).collect()
    }

    /// Replaces reserved amounts by the true ones.
    pub(crate) fn settle<'a>(&self, settlements: impl IntoIterator<Item = Settled<'a>>, now: Now) {
        let mut counters = self.counters.lock();
        for Settled { id, mark, used } in settlements {
            let Some(counter) = counters.by_id.get_mut(id) else { continue };
            let Mark { place, amount } = mark;
            match counter {
                Counter::Window(window, length) => {
                    let change = Change { slot: place, reserved: amount, used };
                    window.settle(now.millis, *length, change);
                }
                Counter::Concurrent(number) => {
                    *number = number.saturating_sub(amount).saturating_add(used);
                }
                Counter::Sum(sum) => {
                    sum.settle(mark, used);
                    counters.is_changed = true;
                }
            }
        }
    }

    /// Returns the state of a claim's counter.
    pub(crate) fn level(&self, claim: &Claim, now: Now) -> Level {
        let counters = self.counters.lock();
        counters.by_id.get(&claim.id).map_or_else(Level::default, |it| it.level(claim, now))
    }

    /// Returns the amount of a sum that ended requests used.
    pub(super) fn spent(&self, claim: &Claim) -> u64 {
        let counters = self.counters.lock();
        match (counters.by_id.get(&claim.id), claim.kind) {
            (Some(Counter::Sum(sum)), Kind::Sum(period)) => sum.spent(period),
            _ => 0,
        }
    }

    /// Returns the state of each counter of a rule, with its owner.
    pub(super) fn levels(&self, rule: &str, kind: Kind, now: Now) -> Vec<(Box<str>, Level)> {
        let counters = self.counters.lock();
        let of_rule = counters.by_id.iter().filter(|(id, _)| *id.rule == *rule);
        let level = |(id, counter): (&CounterId, &Counter)| {
            let (id, subject) = (id.clone(), id.subject.clone());
            let claim = Claim { id, kind, amount: 0, limit: 0, is_exempt: false, warn_at: None };
            (subject, counter.level(&claim, now))
        };
        of_rule.map(level).collect()
    }

    /// Returns whether a sum reaches its threshold for the first time in its period.
    pub(crate) fn warns(&self, claim: &Claim) -> bool {
        let (Kind::Sum(period), Some(threshold)) = (claim.kind, claim.warn_at) else {
            return false;
        };
        let mut counters = self.counters.lock();
        let warns = match counters.by_id.get_mut(&claim.id) {
            Some(Counter::Sum(sum)) => sum.warns(period, threshold),
            _ => false,
        };
        counters.is_changed |= warns;
        warns
    }

    /// Returns whether ended requests have used up a sum, for the first time in its period.
    pub(crate) fn is_newly_spent(&self, claim: &Claim) -> bool {
        let Kind::Sum(period) = claim.kind else { return false };
        let mut counters = self.counters.lock();
        let is_new = match counters.by_id.get_mut(&claim.id) {
            Some(Counter::Sum(sum)) if sum.spent(period) >= claim.limit => {
                sum.is_newly_used_up(period)
            }
            _ => false,
        };
        counters.is_changed |= is_new;
        is_new
    }

    /// Returns whether a sum that is used up refuses for the first time in its period. Others may have used it up.
    pub(crate) fn is_newly_refused(&self, claim: &Claim) -> bool {
        let Kind::Sum(period) = claim.kind else { return false };
        let mut counters = self.counters.lock();
        let counter = counters.by_id.entry(claim.id.clone());
        let is_new = match counter.or_insert_with(|| Counter::new(claim.kind)) {
            Counter::Sum(sum) => sum.is_newly_used_up(period),
            Counter::Window(..) | Counter::Concurrent(_) => false,
        };
        counters.is_changed |= is_new;
        is_new
    }

    /// Returns all sums of current periods if one changed since the last call.
    pub(crate) fn changed_sums(&self) -> Option<Vec<(CounterId, Sum)>> {
        let mut counters = self.counters.lock();
        if !std::mem::take(&mut counters.is_changed) {
            return None;
        }
        let sums = counters.by_id.iter().filter_map(|(id, counter)| match counter {
            Counter::Sum(sum) => Some((id.clone(), sum.clone())),
            Counter::Window(..) | Counter::Concurrent(_) => None,
        });
        Some(sums.collect())
    }

    /// Notes that the sums are not on the disk.
    pub(crate) fn sums_are_unsaved(&self) {
        self.counters.lock().is_changed = true;
    }

    /// Adds sums of an earlier process. Sums that exist already stay.
    pub(crate) fn restore(&self, sums: Vec<(CounterId, Sum)>) {
        let mut counters = self.counters.lock();
        for (id, sum) in sums {
            counters.by_id.entry(id).or_insert(Counter::Sum(sum));
        }
    }

    /// Returns the number of counters.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.counters.lock().by_id.len()
    }
}

impl Counters {
    fn over(&self, claims: &[Claim], now: Now) -> Vec<Over> {
        let checked = claims.iter().enumerate().filter(|(_, claim)| !claim.is_exempt);
        let over = checked.filter_map(|(n, claim)| {
            let (cause, wait) = self.by_id.get(&claim.id)?.refusal(claim, now)?;
            Some(Over { claim: n, cause, wait })
        });
        over.collect()
    }

    fn add(&mut self, claim: &Claim, now: Now) -> Mark {
        if self.by_id.len() >= self.sweep_at.max(FIRST_SWEEP) && !self.by_id.contains_key(&claim.id)
        {
            self.sweep(now);
        }
        let counter =
            self.by_id.entry(claim.id.clone()).or_insert_with(|| Counter::new(claim.kind));
        self.is_changed |= matches!(counter, Counter::Sum(_));
        counter.add(claim, now)
    }

    /// Removes idle counters. If all are in use and there are too many, removes the windows that were unused for the
    /// longest time; sums and running requests stay.
    fn sweep(&mut self, now: Now) {
        self.by_id.retain(|_, counter| !counter.is_idle(now));
        if self.by_id.len() >= MAX_COUNTERS {
            let mut windows: Vec<(u64, CounterId)> = self
                .by_id
                .iter()
                .filter_map(|(id, counter)| match counter {
                    Counter::Window(window, _) => Some((window.last(), id.clone())),
                    Counter::Concurrent(_) | Counter::Sum(_) => None,
                })
                .collect();
            windows.sort_unstable_by_key(|(last, _)| *last);
            for (_, id) in windows.into_iter().take(MAX_COUNTERS / 10) {
                self.by_id.remove(&id);
            }
        }
        self.sweep_at = (self.by_id.len() * 2).min(MAX_COUNTERS);
    }
}

impl Counter {
    fn new(kind: Kind) -> Self {
        match kind {
            Kind::Window(length) => Self::Window(Window::default(), length),
            Kind::Concurrent => Self::Concurrent(0),
            Kind::Sum(period) => Self::Sum(Sum::new(period)),
        }
    }

    /// Returns the reason for a refusal, and the time after which the claim fits; `None` if it fits now.
    ///
    /// Money fits while some is left: the estimate is an upper bound that few requests reach.
    fn refusal(&self, claim: &Claim, now: Now) -> Option<(Cause, Duration)> {
        match (self, claim.kind) {
            (Self::Window(window, length), _) => {
                let wait = window.wait(now.millis, *length, claim.amount, claim.limit);
                (wait > 0).then(|| (Cause::UsedUp, Duration::from_millis(wait)))
            }
            (Self::Concurrent(number), _) => (number.saturating_add(claim.amount) > claim.limit)
                .then_some((Cause::Held, CONCURRENT_WAIT)),
            (Self::Sum(sum), Kind::Sum(period)) => {
                let left = u64::try_from(period.end - now.second).unwrap_or(0);
                let left = Duration::from_secs(left.max(1));
                if sum.spent(period) >= claim.limit {
                    return Some((Cause::UsedUp, left));
                }
                let is_held = claim.amount > 0 && sum.used(period) >= claim.limit;
                is_held.then(|| (Cause::Held, HELD_WAIT.min(left)))
            }
            (Self::Sum(_), _) => None,
        }
    }

    fn add(&mut self, claim: &Claim, now: Now) -> Mark {
        let amount = claim.amount;
        match (self, claim.kind) {
            (Self::Window(window, length), _) => {
                Mark { place: window.add(now.millis, *length, amount), amount }
            }
            (Self::Concurrent(number), _) => {
                *number = number.saturating_add(amount);
                Mark { place: 0, amount }
            }
            (Self::Sum(sum), Kind::Sum(period)) => sum.reserve(period, amount, claim.limit),
            (Self::Sum(_), _) => Mark { place: 0, amount: 0 },
        }
    }

    fn level(&self, claim: &Claim, now: Now) -> Level {
        match (self, claim.kind) {
            (Self::Window(window, length), _) => Level {
                used: window.used(now.millis, *length),
                full_in: Duration::from_millis(window.until_empty(now.millis, *length)),
            },
            (Self::Concurrent(number), _) => Level { used: *number, full_in: Duration::ZERO },
            (Self::Sum(sum), Kind::Sum(period)) => {
                Level { used: sum.used(period), full_in: Duration::ZERO }
            }
            (Self::Sum(_), _) => Level::default(),
        }
    }

    fn is_idle(&self, now: Now) -> bool {
        match self {
            Self::Window(window, length) => window.is_idle(now.millis, *length),
            Self::Concurrent(number) => *number == 0,
            Self::Sum(sum) => sum.is_over(now.second),
        }
    }
}

#[cfg(test)]
mod tests;
