//! Tests of the health of one target, with a clock that the test sets.
use std::time::{Duration, Instant};

use super::Health;

const HOUR: Duration = Duration::from_secs(3600);

#[test]
fn a_failed_target_is_unavailable_until_its_cooldown_ends() {
    let (health, now) = (Health::default(), Instant::now());
    assert!(health.enter(now).unwrap().failed(HOUR), "it was well until now");
    let left = health.enter(now).unwrap_err();
    assert!(left >= HOUR, "{left:?}");
    assert!(health.enter(now + 2 * HOUR).is_ok());
}

#[test]
fn one_probe_at_a_time_brings_it_back() {
    let (health, now) = (Health::default(), Instant::now());
    health.enter(now).unwrap().failed(HOUR);
    let probe = health.enter(now + 2 * HOUR).unwrap();
    assert!(health.enter(now + 2 * HOUR).is_err(), "while the probe is under way");
    assert!(probe.succeeded(), "it is back");
    assert!(!health.enter(now).unwrap().succeeded(), "it was there all the time");
}

#[test]
fn an_abandoned_probe_allows_the_next_one() {
    let (health, now) = (Health::default(), Instant::now());
    health.enter(now).unwrap().failed(HOUR);
    drop(health.enter(now + 2 * HOUR).unwrap());
    assert!(health.enter(now + 2 * HOUR).unwrap().succeeded());
}

#[test]
fn the_longer_cooldown_of_two_failures_applies() {
    let (health, now) = (Health::default(), Instant::now());
    let (one, two) = (health.enter(now).unwrap(), health.enter(now).unwrap());
    assert!(one.failed(3 * HOUR));
    assert!(!two.failed(HOUR), "it was known");
    assert!(health.enter(now + 2 * HOUR).is_err());
}

#[test]
fn an_answer_to_a_request_of_before_a_failure_says_nothing_of_now() {
    let (health, now) = (Health::default(), Instant::now());
    let (old, new) = (health.enter(now).unwrap(), health.enter(now).unwrap());
    new.failed(HOUR);
    assert!(!old.succeeded());
    assert!(health.enter(now).is_err());
}
