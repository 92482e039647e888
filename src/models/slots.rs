//! `Slots`: counts of the recent past. They leave slot by slot, so the memory is bounded.
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Counts within a window of time.
#[derive(Debug)]
pub(super) struct Slots<T> {
    window: Duration,
    grain: Duration,
    /// The slots in use with their starts, oldest first.
    slots: VecDeque<(Instant, T)>,
}

impl<T: Default + Copy> Slots<T> {
    /// Returns empty slots of the length `grain`, for a window.
    pub(super) const fn new(window: Duration, grain: Duration) -> Self {
        Self { window, grain, slots: VecDeque::new() }
    }

    /// Returns the slot of the present, and removes the slots that have left the window.
    pub(super) fn current(&mut self, now: Instant) -> &mut T {
        while self.slots.front().is_some_and(|(begun, _)| !self.is_recent(*begun, now)) {
            self.slots.pop_front();
        }
        let is_open =
            |(begun, _): &(Instant, T)| now.saturating_duration_since(*begun) < self.grain;
        if !self.slots.back().is_some_and(is_open) {
            self.slots.push_back((now, T::default()));
        }
        let last = self.slots.len() - 1;
        &mut self.slots[last].1
    }

    /// Returns the counts of the slots in the window.
    pub(super) fn recent(&self, now: Instant) -> impl Iterator<Item = T> {
        let recent = self.slots.iter().filter(move |(begun, _)| self.is_recent(*begun, now));
        recent.map(|(_, counts)| *counts)
    }

    fn is_recent(&self, begun: Instant, now: Instant) -> bool {
        now.saturating_duration_since(begun) < self.window
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_leave_after_the_window_and_the_slots_are_bounded() {
        let (window, grain) = (Duration::from_secs(60), Duration::from_secs(10));
        let (mut slots, start) = (Slots::<u64>::new(window, grain), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        for seconds in [0, 5, 25] {
            *slots.current(at(seconds)) += 1;
        }
        let sum = |slots: &Slots<u64>, seconds| slots.recent(at(seconds)).sum::<u64>();
        assert_eq!([25, 59, 60, 84, 85].map(|seconds| sum(&slots, seconds)), [3, 3, 1, 1, 0]);
        (0..10_000).for_each(|second| *slots.current(at(second)) += 1);
        assert!(slots.slots.len() <= 7, "{}", slots.slots.len());
    }
}
