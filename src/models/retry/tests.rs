//! Tests of the wait before a retry.
use std::time::Duration;

use super::Backoff;

const BACKOFF: Backoff = Backoff { first: Duration::from_secs(4), most: Duration::from_secs(10) };

#[test]
fn each_wait_is_twice_the_one_before_up_to_the_most_and_half_of_it_is_chance() {
    for (tries, whole) in [(1, 4.0), (2, 8.0), (3, 10.0), (40, 10.0)] {
        for _ in 0..100 {
            let pause = BACKOFF.pause(tries, None, None).unwrap().as_secs_f64();
            assert!((whole / 2.0..=whole).contains(&pause), "{tries}: {pause}");
        }
    }
}

#[test]
fn the_retry_after_of_an_upstream_is_followed_up_to_the_maximum() {
    let second = Duration::from_secs(1);
    for tries in [1, 5] {
        assert_eq!(BACKOFF.pause(tries, Some(second), None), Some(second));
        assert_eq!(BACKOFF.pause(tries, Some(11 * second), None), None);
    }
}

#[test]
fn a_wait_that_the_caller_has_no_time_for_is_none() {
    let second = Duration::from_secs(1);
    assert_eq!(BACKOFF.pause(1, Some(3 * second), Some(4 * second)), Some(3 * second));
    assert_eq!(BACKOFF.pause(1, Some(4 * second), Some(4 * second)), None);
    assert_eq!(BACKOFF.pause(3, None, Some(4 * second)), None);
}
