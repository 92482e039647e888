//! `Sum`: the money of one calendar period.
use serde::{Deserialize, Serialize};

use crate::limits::budget::Period;
use crate::limits::claim::Mark;

/// The nano-dollars of one owner in one period.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Sum {
    /// The first second of the period.
    start: i64,
    /// The first second after it.
    end: i64,
    /// The money of ended requests.
    spent: i64,
    /// The estimates of running requests.
    #[serde(skip)]
    reserved: i64,
    /// Whether the operator was warned in this period.
    is_warned: bool,
    /// Whether it was reported that the money of this period is used up.
    #[serde(default)]
    is_used_up: bool,
}

impl Sum {
    /// Starts a period at zero.
    pub(super) fn new(period: Period) -> Self {
        let Period { start, end } = period;
        Self { start, end, spent: 0, reserved: 0, is_warned: false, is_used_up: false }
    }

    /// Returns the money of a period, settled and reserved.
    pub(super) fn used(&self, period: Period) -> u64 {
        match self.is_of_another(period) {
            true => 0,
            false => unsigned(self.spent.saturating_add(self.reserved)),
        }
    }

    /// Returns the money of ended requests in a period.
    pub(super) fn spent(&self, period: Period) -> u64 {
        match self.is_of_another(period) {
            true => 0,
            false => unsigned(self.spent),
        }
    }

    /// Adds the estimate of a request, but no more than is left of the limit. Another period starts at zero.
    pub(super) fn reserve(&mut self, period: Period, amount: u64, limit: u64) -> Mark {
        if self.is_of_another(period) {
            *self = Self::new(period);
        }
        let amount = amount.min(limit.saturating_sub(self.used(period)));
        self.reserved = self.reserved.saturating_add(signed(amount));
        Mark { place: self.start.cast_unsigned(), amount }
    }

    /// Replaces an estimate by the true cost, unless the period that has the estimate is over.
    pub(super) fn settle(&mut self, mark: Mark, used: u64) {
        if mark.place != self.start.cast_unsigned() {
            return;
        }
        self.reserved = self.reserved.saturating_sub(signed(mark.amount)).max(0);
        self.spent = self.spent.saturating_add(signed(used));
    }

    /// Returns whether the sum does not count for a period, which starts at zero then.
    ///
    /// Start and end of a period move when a reload changes the time zone or when the wall clock is set. A period with
    /// most of the sum's time is the same one, and a clock that steps back over the start leaves the sum as it is.
    fn is_of_another(&self, period: Period) -> bool {
        let Period { start, end } = period;
        let shared = self.end.saturating_sub(start);
        match start > self.start {
            true => shared.saturating_mul(2) < end.saturating_sub(start),
            // the sum's own start was never reached
            false => end < self.start,
        }
    }

    /// Returns whether the period reaches a threshold for the first time.
    pub(super) fn warns(&mut self, period: Period, threshold: u64) -> bool {
        let warns = !self.is_warned && self.used(period) >= threshold;
        self.is_warned |= warns;
        warns
    }

    /// Notes that the money of a period is used up. Returns whether that is new.
    pub(super) fn is_newly_used_up(&mut self, period: Period) -> bool {
        if self.is_of_another(period) {
            *self = Self::new(period);
        }
        !std::mem::replace(&mut self.is_used_up, true)
    }

    /// Returns whether the period is over and nothing of it is reserved.
    pub(super) fn is_over(&self, second: i64) -> bool {
        self.end <= second && self.reserved == 0
    }
}

fn unsigned(amount: i64) -> u64 {
    u64::try_from(amount).unwrap_or(0)
}

fn signed(amount: u64) -> i64 {
    i64::try_from(amount).unwrap_or(i64::MAX)
}
