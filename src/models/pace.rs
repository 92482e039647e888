//! The pace of a target: how soon it begins to answer, and how fast it writes; learnt from its answers.
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::wire::Endpoint;

/// The weight of the newest answer in the average.
const NEWEST: f64 = 0.25;
/// The age at which an average says nothing about the present.
const STALE: Duration = Duration::from_secs(5 * 60);
/// The time in which one request measures a target, and others do not.
const TRIAL: Duration = Duration::from_secs(10);
/// The least output that says something about the throughput.
const MIN_OUTPUT: u64 = 16;

/// The averages of one target. They outlive generations, like its health.
#[derive(Debug, Default)]
pub(crate) struct Pace(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Seconds to the first content of a stream.
    latency: Option<Average>,
    /// Output tokens for each second of an answer.
    throughput: Option<Average>,
    /// The last time that a request was sent to measure the target.
    trial: Option<Instant>,
}

#[derive(Debug, Clone, Copy)]
struct Average {
    value: f64,
    at: Instant,
}

/// One of the averages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Measure {
    /// The time to the first content of a stream.
    Latency,
    /// The output tokens for each second.
    Throughput,
}

/// The place of a target in an order by pace; the least is the first.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Standing {
    /// No recent answer tells the pace: this request measures it.
    Due,
    /// The pace is known; less is better.
    Known(f64),
    /// No answer tells the pace, and another request measures it.
    Unknown,
}

impl Standing {
    /// Returns a number to sort by.
    pub(super) fn rank(self) -> f64 {
        match self {
            Self::Due => f64::NEG_INFINITY,
            Self::Known(value) => value,
            Self::Unknown => f64::INFINITY,
        }
    }
}

impl Pace {
    /// Adds the time to the first content of a stream.
    pub(crate) fn began(&self, latency: Duration, now: Instant) {
        add(&mut self.0.lock().latency, latency.as_secs_f64(), now);
    }

    /// Adds a whole answer.
    pub(crate) fn wrote(&self, output_tokens: u64, took: Duration, now: Instant) {
        if output_tokens >= MIN_OUTPUT && !took.is_zero() {
            let rate = output_tokens as f64 / took.as_secs_f64();
            add(&mut self.0.lock().throughput, rate, now);
        }
    }

    /// Returns the seconds to the first content and the output tokens for each second; `None` without a recent answer.
    pub(crate) fn averages(&self, now: Instant) -> [Option<f64>; 2] {
        let state = self.0.lock();
        let is_fresh = |it: &Average| now.saturating_duration_since(it.at) < STALE;
        [state.latency, state.throughput].map(|it| it.filter(is_fresh).map(|it| it.value))
    }

    /// Returns the place of the target for a request to an endpoint. Counts of tokens measure nothing.
    pub(super) fn standing(&self, by: Measure, endpoint: Endpoint, now: Instant) -> Standing {
        let state = self.0.lock();
        let average = match by {
            Measure::Latency => state.latency,
            Measure::Throughput => state.throughput,
        };
        let is_recent = |at: Instant, limit| now.saturating_duration_since(at) < limit;
        let is_fresh = average.is_some_and(|average| is_recent(average.at, STALE));
        let is_tried = state.trial.is_some_and(|at| is_recent(at, TRIAL));
        match average {
            _ if !is_fresh && !is_tried && endpoint == Endpoint::Messages => Standing::Due,
            None => Standing::Unknown,
            Some(Average { value, .. }) => Standing::Known(match by {
                Measure::Latency => value,
                Measure::Throughput => -value,
            }),
        }
    }

    /// Records that a request is sent to measure the target.
    pub(super) fn try_out(&self, now: Instant) {
        self.0.lock().trial = Some(now);
    }
}

/// Adds a value to an average. A stale average is replaced.
fn add(average: &mut Option<Average>, value: f64, now: Instant) {
    let value = match *average {
        Some(old) if now.saturating_duration_since(old.at) < STALE => {
            old.value + NEWEST * (value - old.value)
        }
        _ => value,
    };
    *average = Some(Average { value, at: now });
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn latency(pace: &Pace, now: Instant) -> Standing {
        pace.standing(Measure::Latency, Endpoint::Messages, now)
    }

    #[test]
    fn one_request_measures_a_target_and_the_others_wait_for_its_answer() {
        let (pace, now) = (Pace::default(), Instant::now());
        assert_eq!(latency(&pace, now), Standing::Due);
        let count = pace.standing(Measure::Latency, Endpoint::CountTokens, now);
        assert_eq!(count, Standing::Unknown);
        pace.try_out(now);
        assert_eq!(latency(&pace, now + SECOND), Standing::Unknown);
        pace.began(2 * SECOND, now + 2 * SECOND);
        assert_eq!(latency(&pace, now + 2 * SECOND), Standing::Known(2.0));
        // the request that was to measure it failed
        let pace = Pace::default();
        pace.try_out(now);
        assert_eq!(latency(&pace, now + TRIAL), Standing::Due);
    }

    #[test]
    fn the_newest_answers_count_most_and_old_ones_are_measured_again() {
        let (pace, now) = (Pace::default(), Instant::now());
        pace.began(SECOND, now);
        pace.began(5 * SECOND, now);
        assert_eq!(latency(&pace, now), Standing::Known(2.0));
        assert_eq!(latency(&pace, now + STALE), Standing::Due);
        pace.try_out(now + STALE);
        assert_eq!(latency(&pace, now + STALE), Standing::Known(2.0));
        pace.began(7 * SECOND, now + STALE);
        assert_eq!(latency(&pace, now + STALE), Standing::Known(7.0));
    }

    #[test]
    fn more_throughput_is_better_and_short_answers_say_nothing() {
        let (pace, now) = (Pace::default(), Instant::now());
        let standing = || pace.standing(Measure::Throughput, Endpoint::Messages, now);
        pace.wrote(MIN_OUTPUT - 1, SECOND, now);
        pace.wrote(1000, Duration::ZERO, now);
        assert_eq!(standing(), Standing::Due);
        pace.wrote(100, 2 * SECOND, now);
        assert_eq!(standing(), Standing::Known(-50.0));
        assert_eq!(latency(&pace, now), Standing::Due);
    }

    #[test]
    fn targets_that_are_to_be_measured_come_first_and_unknown_ones_last() {
        let mut all =
            [Standing::Unknown, Standing::Known(2.0), Standing::Due, Standing::Known(-1.0)];
        all.sort_by(|a, b| a.rank().total_cmp(&b.rank()));
        let expected =
            [Standing::Due, Standing::Known(-1.0), Standing::Known(2.0), Standing::Unknown];
        assert_eq!(all, expected);
    }
}
