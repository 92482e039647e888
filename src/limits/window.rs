//! A counter over a sliding window: twelve slots, each of which leaves as one.
use std::time::Duration;

/// The slots of a window.
pub(super) const SLOTS: u64 = 12;

/// The counter of one window.
///
/// A slot leaves a whole window after its last reservation, so no window of this length ever holds more than the
/// limit; a reservation leaves at most one slot late.
#[derive(Debug, Default)]
pub(super) struct Window {
    /// The slots in use, oldest first.
    slots: Vec<Slot>,
}

#[derive(Debug)]
struct Slot {
    /// The number of the slot since the start of the clock.
    number: u64,
    /// The time of the last reservation, in milliseconds.
    last: u64,
    amount: u64,
}

impl Slot {
    fn leaves(&self, length: u64) -> u64 {
        self.last.saturating_add(length)
    }
}

/// Returns the length of a window for the counters, in milliseconds.
pub(super) fn millis(length: Duration) -> u64 {
    u64::try_from(length.as_millis()).unwrap_or(u64::MAX).max(1)
}

/// Returns the length of a slot.
fn grain(length: u64) -> u64 {
    (length / SLOTS).max(1)
}

impl Window {
    /// Returns the amount in the window that ends now.
    pub(super) fn used(&self, now: u64, length: u64) -> u64 {
        self.live(now, length).fold(0, |sum, slot| sum.saturating_add(slot.amount))
    }

    /// Returns the milliseconds until the window is empty.
    pub(super) fn until_empty(&self, now: u64, length: u64) -> u64 {
        let used = self.live(now, length).filter(|slot| slot.amount > 0);
        used.last().map_or(0, |slot| slot.leaves(length) - now)
    }

    /// Returns the milliseconds until an amount fits; 0 if it fits now. An amount above the limit waits for an empty
    /// window.
    pub(super) fn wait(&self, now: u64, length: u64, amount: u64, limit: u64) -> u64 {
        let mut used = self.used(now, length);
        let mut wait = 0;
        for slot in self.live(now, length) {
            if used.saturating_add(amount) <= limit {
                break;
            }
            used = used.saturating_sub(slot.amount);
            wait = slot.leaves(length) - now;
        }
        wait
    }

    /// Adds an amount. Returns the number of its slot. Nothing, added to a slot, does not keep it longer.
    pub(super) fn add(&mut self, now: u64, length: u64, amount: u64) -> u64 {
        self.slots.retain(|slot| slot.leaves(length) > now);
        let number = now / grain(length);
        match self.slots.last_mut() {
            // a clock that stands still or goes back stays in the newest slot
            Some(slot) if slot.number >= number => {
                if amount > 0 {
                    slot.last = slot.last.max(now);
                }
                slot.amount = slot.amount.saturating_add(amount);
                slot.number
            }
            _ => {
                self.slots.push(Slot { number, last: now, amount });
                number
            }
        }
    }

    /// Replaces an amount in its slot by the true one. Does nothing if the slot has left.
    pub(super) fn settle(&mut self, now: u64, length: u64, change: Change) {
        let of = |slot: &&mut Slot| slot.number == change.slot && slot.leaves(length) > now;
        if let Some(slot) = self.slots.iter_mut().find(of) {
            slot.amount = slot.amount.saturating_sub(change.reserved).saturating_add(change.used);
            // a reservation of nothing did not note its time, which is in the slot
            if change.reserved == 0 && change.used > 0 {
                slot.last = slot.last.max(now.min((slot.number + 1) * grain(length)));
            }
        }
    }

    /// Returns whether nothing is in the window.
    pub(super) fn is_idle(&self, now: u64, length: u64) -> bool {
        self.live(now, length).next().is_none()
    }

    /// Returns the time of the last reservation.
    pub(super) fn last(&self) -> u64 {
        self.slots.last().map_or(0, |slot| slot.last)
    }

    fn live(&self, now: u64, length: u64) -> impl Iterator<Item = &Slot> {
        self.slots.iter().filter(move |slot| slot.leaves(length) > now)
    }
}

/// A reserved amount and the true one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Change {
    /// The slot of the reservation.
    pub(super) slot: u64,
    /// The reserved amount.
    pub(super) reserved: u64,
    /// The true amount.
    pub(super) used: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: u64 = 60_000;

    #[test]
    fn no_window_ever_holds_more_than_the_limit() {
        let (limit, mut window, mut passed) = (10, Window::default(), Vec::new());
        let mut random = fastrand::Rng::with_seed(7);
        let mut now = 0;
        while now < 40 * MINUTE {
            now += random.u64(0..4_000);
            if window.wait(now, MINUTE, 1, limit) == 0 {
                window.add(now, MINUTE, 1);
                passed.push(now);
            }
            let within = passed.iter().filter(|time| **time + MINUTE > now).count();
            assert!(within <= limit as usize, "{within} at {now}");
        }
        // a slot may leave late by its own length only
        assert!(passed.len() as u64 > 40 * limit * 11 / 13, "{}", passed.len());
    }

    #[test]
    fn the_wait_is_the_time_until_enough_slots_have_left() {
        let mut window = Window::default();
        for (now, amount) in [(0, 3), (10_000, 3), (20_000, 4)] {
            window.add(now, MINUTE, amount);
        }
        for (amount, wait) in [(1, 35_000), (3, 35_000), (4, 45_000), (7, 55_000), (10, 55_000)] {
            assert_eq!(window.wait(25_000, MINUTE, amount, 10), wait, "{amount}");
            assert_eq!(window.wait(25_000 + wait, MINUTE, amount, 10), 0, "{amount}");
            assert!(window.wait(25_000 + wait - 1, MINUTE, amount, 10) > 0, "{amount}");
        }
        assert_eq!(window.wait(25_000, MINUTE, 0, 10), 0);
        assert_eq!(window.until_empty(25_000, MINUTE), 55_000);
        assert_eq!(Window::default().until_empty(25_000, MINUTE), 0);
    }

    #[test]
    fn a_settlement_changes_the_slot_of_its_reservation_only() {
        let mut window = Window::default();
        let slot = window.add(0, MINUTE, 900);
        window.add(30_000, MINUTE, 50);
        window.settle(40_000, MINUTE, Change { slot, reserved: 900, used: 100 });
        assert_eq!(window.used(40_000, MINUTE), 150);
        window.settle(41_000, MINUTE, Change { slot, reserved: 100, used: 700 });
        assert_eq!(window.used(41_000, MINUTE), 750);
        // the first slot has left: what it used is charged nowhere, and nothing becomes negative
        window.settle(60_000, MINUTE, Change { slot, reserved: 700, used: 5_000 });
        assert_eq!(window.used(60_000, MINUTE), 50);
        window.add(61_000, MINUTE, 1);
        window.settle(61_000, MINUTE, Change { slot, reserved: 700, used: 0 });
        assert_eq!(window.used(61_000, MINUTE), 51);
    }

    #[test]
    fn a_reservation_of_nothing_keeps_no_slot_and_its_true_amount_counts_for_a_whole_window() {
        let mut window = Window::default();
        window.add(0, MINUTE, 5);
        let slot = window.add(4_000, MINUTE, 0);
        assert_eq!(window.until_empty(4_000, MINUTE), 56_000);
        assert_eq!(window.used(MINUTE, MINUTE), 0);
        window.settle(20_000, MINUTE, Change { slot, reserved: 0, used: 3 });
        assert_eq!(window.used(MINUTE + 3_999, MINUTE), 8);
        assert_eq!(window.used(MINUTE + 5_000, MINUTE), 0);
        // a window of nothing is empty
        window.add(70_000, MINUTE, 0);
        assert_eq!(window.until_empty(70_000, MINUTE), 0);
    }

    #[test]
    fn a_clock_that_goes_back_loses_nothing() {
        let mut window = Window::default();
        window.add(50_000, MINUTE, 1);
        window.add(10_000, MINUTE, 1);
        assert_eq!(window.used(50_000, MINUTE), 2);
    }
}
