//! The breaker by itself: when it opens, for how long, and how it closes.
use std::time::{Duration, Instant};

use super::{BREAKS, Breaker, Pass, REST, WITHIN};

/// Breaks as often as needed, all at once, and returns the time for which the breaker is open.
fn opened(breaker: &Breaker, now: Instant) -> Option<Duration> {
    let breaks = (0..BREAKS).map(|_| breaker.broke(Pass::Usual, now));
    breaks.last().flatten()
}

#[test]
fn the_fifth_break_within_its_time_opens_it() {
    let (breaker, now) = (Breaker::default(), Instant::now());
    let spread = WITHIN / (BREAKS as u32 - 1);
    for n in 0..BREAKS as u32 - 1 {
        assert_eq!(breaker.broke(Pass::Usual, now + spread * n), None);
        assert_eq!(breaker.enter(|| now + spread * n), Ok(Pass::Usual));
    }
    let last = now + WITHIN;
    assert_eq!(breaker.broke(Pass::Usual, last), Some(REST));
    assert_eq!(breaker.enter(|| last + REST / 2), Err(REST / 2));
}

#[test]
fn breaks_that_lie_further_apart_open_nothing() {
    let (breaker, now) = (Breaker::default(), Instant::now());
    let spread = WITHIN / (BREAKS as u32 - 1) + Duration::from_millis(1);
    for n in 0..20 {
        assert_eq!(breaker.broke(Pass::Usual, now + spread * n), None);
    }
    assert_eq!(breaker.enter(|| now + spread * 20), Ok(Pass::Usual));
}

#[test]
fn one_trial_at_a_time_decides() {
    let (breaker, now) = (Breaker::default(), Instant::now());
    assert_eq!(opened(&breaker, now), Some(REST));
    let later = now + REST;
    assert_eq!(breaker.enter(|| later), Ok(Pass::Trial));
    assert_eq!(breaker.enter(|| later), Err(REST), "while the trial runs");
    // it breaks: the suspension begins again
    assert_eq!(breaker.broke(Pass::Trial, later), Some(REST));
    assert_eq!(breaker.enter(|| later + REST), Ok(Pass::Trial));
    breaker.worked(Pass::Trial);
    assert_eq!(breaker.enter(|| later + REST), Ok(Pass::Usual));
    // and the earlier breaks are forgotten
    assert_eq!(breaker.broke(Pass::Usual, later + REST), None);
}

#[test]
fn a_trial_that_never_comes_back_is_followed_by_another() {
    let (breaker, now) = (Breaker::default(), Instant::now());
    opened(&breaker, now);
    assert_eq!(breaker.enter(|| now + REST), Ok(Pass::Trial));
    assert_eq!(breaker.enter(|| now + 2 * REST), Ok(Pass::Trial));
}

#[test]
fn calls_that_began_before_it_opened_change_nothing() {
    let (breaker, now) = (Breaker::default(), Instant::now());
    opened(&breaker, now);
    breaker.worked(Pass::Usual);
    assert_eq!(breaker.broke(Pass::Usual, now + REST / 2), None);
    assert_eq!(breaker.enter(|| now + REST / 2), Err(REST / 2));
}
