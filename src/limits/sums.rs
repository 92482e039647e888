//! `Sum`: the money of one calendar period.
use serde::{Deserialize, Serialize};

use crate::limits::budget::Period;

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
}

impl Sum {
    /// Starts a period at zero.
    pub(super) fn new(period: Period) -> Self {
        let Period { start, end } = period;
        Self { start, end, spent: 0, reserved: 0, is_warned: false }
    }

    /// Returns the money of a period, settled and reserved.
    pub(super) fn used(&self, period: Period) -> u64 {
        match period.start > self.start {
            true => 0,
            false => u64::try_from(self.spent.saturating_add(self.reserved)).unwrap_or(0),
        }
    }

    /// Adds the estimate of a request. A later period starts at zero.
    pub(super) fn reserve(&mut self, period: Period, amount: u64) {
        if period.start > self.start {
            *self = Self::new(period);
        }
        self.reserved = self.reserved.saturating_add(signed(amount));
    }

    /// Replaces an estimate by the true cost, unless the period of the estimate is over.
    pub(super) fn settle(&mut self, period: Period, reserved: u64, used: u64) {
        if period.start < self.start {
            return;
        }
        self.reserved = self.reserved.saturating_sub(signed(reserved)).max(0);
        self.spent = self.spent.saturating_add(signed(used));
    }

    /// Returns whether the period reaches a threshold for the first time.
    pub(super) fn warns(&mut self, period: Period, threshold: u64) -> bool {
        let warns = !self.is_warned && self.used(period) >= threshold;
        self.is_warned |= warns;
        warns
    }

    /// Returns whether the period is over and nothing of it is reserved.
    pub(super) fn is_over(&self, second: i64) -> bool {
        self.end <= second && self.reserved == 0
    }
}

fn signed(amount: u64) -> i64 {
    i64::try_from(amount).unwrap_or(i64::MAX)
}
