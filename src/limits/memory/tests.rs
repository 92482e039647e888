//! Tests of the counters in memory: exact under threads, all or nothing, settled once, bounded.
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use super::*;
use crate::limits::budget::Period;

const MINUTE: u64 = 60_000;

fn at(millis: u64) -> Now {
    Now { millis, second: (millis / 1000) as i64 }
}

fn claim(rule: &str, subject: &str, amount: u64, limit: u64) -> Claim {
    let id = CounterId { rule: rule.into(), subject: subject.into() };
    Claim { id, kind: Kind::Window(MINUTE), amount, limit, is_exempt: false, warn_at: None }
}

fn concurrent(limit: u64) -> Claim {
    Claim { kind: Kind::Concurrent, ..claim("concurrent", "ci", 1, limit) }
}

fn used(store: &Memory, claim: &Claim, millis: u64) -> u64 {
    store.level(claim, at(millis)).used
}

#[test]
fn exactly_the_limit_passes_however_many_threads_try() {
    let (store, passed) = (Memory::default(), AtomicU64::new(0));
    let claims = [claim("requests", "ci", 1, 1000), concurrent(u64::MAX)];
    let tries = || {
        let passes = (0..300).filter(|_| store.reserve(&claims, at(5)).is_ok());
        passed.fetch_add(passes.count() as u64, Ordering::Relaxed);
    };
    thread::scope(|scope| (0..8).for_each(|_| drop(scope.spawn(tries))));
    assert_eq!(passed.into_inner(), 1000);
    assert_eq!(used(&store, &claims[1], 5), 1000);
}

/// Reserves and settles random amounts. Returns the sum of the true ones.
fn random_requests(store: &Memory, seed: u64, limit: u64) -> u64 {
    let (mut random, mut truth) = (fastrand::Rng::with_seed(seed), 0);
    for n in 0..400 {
        let claims = [claim("tokens", "ci", random.u64(1..900), limit), concurrent(3)];
        let Ok(marks) = store.reserve(&claims, at(n)) else { continue };
        let spent = random.u64(0..1500);
        truth += spent;
        let all = claims.iter().zip(marks).zip([spent, 0]);
        let all = all.map(|((claim, mark), used)| Settled { id: &claim.id, mark, used });
        store.settle(all, at(n));
    }
    truth
}

#[test]
fn settlements_of_many_threads_lose_and_gain_nothing() {
    let (store, limit) = (Memory::default(), 10_000_000);
    let store = &store;
    let truth: u64 = thread::scope(|scope| {
        let threads = (0..8).map(|seed| scope.spawn(move || random_requests(store, seed, limit)));
        let threads: Vec<_> = threads.collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert!(truth > 0);
    assert_eq!(used(store, &claim("tokens", "ci", 0, limit), 400), truth);
    assert_eq!(used(store, &concurrent(3), 400), 0);
}

#[test]
fn a_refusal_by_one_limit_charges_none() {
    let store = Memory::default();
    let claims = [claim("requests", "ci", 1, 10), claim("tokens", "ci", 60, 100), concurrent(5)];
    store.reserve(&claims, at(0)).unwrap();
    let over = store.reserve(&claims, at(30_000)).unwrap_err();
    assert_eq!(over, [Over { claim: 1, cause: Cause::UsedUp, wait: Duration::from_secs(30) }]);
    let levels = claims.each_ref().map(|claim| used(&store, claim, 30_000));
    assert_eq!(levels, [1, 60, 1]);
}

#[test]
fn parallel_requests_reserve_before_they_are_sent() {
    let store = Memory::default();
    let passed = (0..5).filter(|_| store.reserve(&[claim("tokens", "ci", 40, 100)], at(0)).is_ok());
    assert_eq!(passed.count(), 2);
}

#[test]
fn a_settlement_frees_what_was_not_used() {
    let store = Memory::default();
    let claims = [claim("tokens", "ci", 900, 1000)];
    let marks = store.reserve(&claims, at(0)).unwrap();
    let next = claim("tokens", "ci", 200, 1000);
    assert!(store.reserve(std::slice::from_ref(&next), at(1)).is_err());
    store.settle([Settled { id: &claims[0].id, mark: marks[0], used: 100 }], at(2));
    assert!(store.reserve(&[next], at(3)).is_ok());
}

#[test]
fn an_overrun_is_remembered() {
    let store = Memory::default();
    let claims = [claim("tokens", "ci", 10, 1000)];
    let marks = store.reserve(&claims, at(0)).unwrap();
    store.settle([Settled { id: &claims[0].id, mark: marks[0], used: 5000 }], at(1));
    let over = store.reserve(&claims, at(2)).unwrap_err();
    assert_eq!(over[0].wait, Duration::from_millis(MINUTE - 2));
}

#[test]
fn owners_have_counters_of_their_own() {
    let store = Memory::default();
    for subject in ["a", "b"] {
        assert!(store.reserve(&[claim("requests", subject, 1, 1)], at(0)).is_ok());
        assert!(store.reserve(&[claim("requests", subject, 1, 1)], at(0)).is_err());
    }
}

#[test]
fn a_sum_starts_again_with_its_period_only() {
    let store = Memory::default();
    let sum = |period, amount| Claim { kind: Kind::Sum(period), ..claim("usd", "ci", amount, 100) };
    let [first, second] = [Period { start: 0, end: 60 }, Period { start: 60, end: 120 }];
    let marks = store.reserve(&[sum(first, 70)], at(0)).unwrap();
    assert_eq!(used(&store, &sum(first, 0), 10_000), 70);
    store.reserve(&[sum(second, 100)], at(60_000)).unwrap();
    // the money of the first period is charged in no other
    store.settle([Settled { id: &sum(first, 70).id, mark: marks[0], used: 90 }], at(61_000));
    assert_eq!(used(&store, &sum(second, 0), 61_000), 100);
}

#[test]
fn a_budget_serves_while_something_is_left_and_no_running_request_holds_it() {
    let store = Memory::default();
    let period = Period { start: 0, end: 60 };
    let sum = |amount| Claim { kind: Kind::Sum(period), ..claim("usd", "ci", amount, 100) };
    // an estimate above the whole budget reserves what is left, again and again
    for (n, left) in [(1, 99), (2, 98), (3, 97)] {
        let marks = store.reserve(&[sum(160)], at(0)).unwrap();
        assert_eq!(used(&store, &sum(0), 0), 100);
        // running requests hold the rest for seconds, not to the end of the period
        let over = store.reserve(&[sum(1)], at(0)).unwrap_err();
        assert_eq!(over, [Over { claim: 0, cause: Cause::Held, wait: HELD_WAIT }]);
        // what costs nothing fits
        let free = store.reserve(&[sum(0)], at(0)).unwrap();
        store.settle([Settled { id: &sum(0).id, mark: free[0], used: 0 }], at(0));
        store.settle([Settled { id: &sum(160).id, mark: marks[0], used: 1 }], at(0));
        assert_eq!(used(&store, &sum(0), 0), 100 - left, "{n}");
    }
    // near the end of the period no wait is longer than the period
    let marks = store.reserve(&[sum(160)], at(58_000)).unwrap();
    let over = store.reserve(&[sum(1)], at(58_000)).unwrap_err();
    assert_eq!((over[0].cause, over[0].wait), (Cause::Held, Duration::from_secs(2)));
    store.settle([Settled { id: &sum(160).id, mark: marks[0], used: 97 }], at(59_000));
    // used up, it refuses also a request that costs nothing
    let over = store.reserve(&[sum(0)], at(50_000)).unwrap_err();
    assert_eq!(over, [Over { claim: 0, cause: Cause::UsedUp, wait: Duration::from_secs(10) }]);
}

#[test]
fn the_first_requests_of_an_owner_share_the_budget_however_many_come_at_once() {
    let (store, passed) = (Memory::default(), AtomicU64::new(0));
    let period = Period { start: 0, end: 60 };
    let claims = [Claim { kind: Kind::Sum(period), ..claim("usd", "new", 40, 100) }];
    let tries = || {
        let passes = (0..50).filter(|_| store.reserve(&claims, at(5)).is_ok());
        passed.fetch_add(passes.count() as u64, Ordering::Relaxed);
    };
    thread::scope(|scope| (0..8).for_each(|_| drop(scope.spawn(tries))));
    // 40, 40 and the last 20
    assert_eq!(passed.into_inner(), 3);
    assert_eq!(used(&store, &claims[0], 5), 100);
}

#[test]
fn a_restored_sum_counts_in_its_own_period_only() {
    let sum_of = |store: &Memory| store.changed_sums().unwrap();
    let first = Period { start: 0, end: 60 };
    let sum = |period| Claim { kind: Kind::Sum(period), ..claim("usd", "ci", 70, 100) };
    let before = Memory::default();
    let marks = before.reserve(&[sum(first)], at(0)).unwrap();
    before.settle([Settled { id: &sum(first).id, mark: marks[0], used: 100 }], at(1));
    for (period, second, is_over) in [
        (first, 59, true),
        (Period { start: 60, end: 120 }, 60, false),
        (Period { start: 600, end: 660 }, 600, false),
    ] {
        let store = Memory::default();
        store.restore(sum_of(&before));
        before.sums_are_unsaved();
        // the level that is shown and the refusal read one counter, as often as they like
        for _ in 0..3 {
            let expected = if is_over { 100 } else { 0 };
            assert_eq!(used(&store, &sum(period), second * 1000), expected, "{second}");
            assert_eq!(!store.over(&[sum(period)], at(second * 1000)).is_empty(), is_over);
        }
        assert_eq!(store.reserve(&[sum(period)], at(second * 1000)).is_err(), is_over);
    }
}

#[test]
fn a_reservation_is_settled_though_the_start_of_its_period_moves() {
    for (moved, second) in [
        // another zone: the day of the same moment begins earlier or later
        (Period { start: 40, end: 126 }, 100),
        (Period { start: 70, end: 156 }, 100),
        // the clock steps back over the start
        (Period { start: -26, end: 60 }, 59),
    ] {
        let store = Memory::default();
        let now = at(second * 1000);
        let own = Period { start: 60, end: 146 };
        let sum = |period, amount| {
            let kind = Kind::Sum(period);
            Claim { kind, ..claim("usd", "ci", amount, 100) }
        };
        let before = store.reserve(&[sum(own, 30)], now).unwrap();
        let after = store.reserve(&[sum(moved, 40)], now).unwrap();
        assert_eq!(used(&store, &sum(moved, 0), second * 1000), 70, "{moved:?}");
        store.settle([Settled { id: &sum(own, 30).id, mark: before[0], used: 3 }], now);
        store.settle([Settled { id: &sum(moved, 40).id, mark: after[0], used: 4 }], now);
        assert_eq!(used(&store, &sum(moved, 0), second * 1000), 7, "{moved:?}");
        // a budget that was used up stays so
        let rest = store.reserve(&[sum(moved, 93)], now).unwrap();
        store.settle([Settled { id: &sum(moved, 93).id, mark: rest[0], used: 93 }], now);
        assert_eq!(store.over(&[sum(moved, 1)], now)[0].cause, Cause::UsedUp, "{moved:?}");
    }
}

#[test]
fn a_sum_of_a_clock_that_was_far_ahead_does_not_block() {
    let store = Memory::default();
    let sum = |period| Claim { kind: Kind::Sum(period), ..claim("usd", "ci", 100, 100) };
    let (wrong, right) = (Period { start: 6000, end: 6060 }, Period { start: 0, end: 60 });
    let marks = store.reserve(&[sum(wrong)], at(6_000_000)).unwrap();
    store.settle([Settled { id: &sum(wrong).id, mark: marks[0], used: 100 }], at(6_001_000));
    assert!(store.over(&[sum(wrong)], at(6_002_000)).len() == 1);
    assert!(store.over(&[sum(right)], at(1000)).is_empty());
    store.reserve(&[sum(right)], at(1000)).unwrap();
}

#[test]
fn a_budget_warns_once_a_period_from_settled_and_reserved_money() {
    let store = Memory::default();
    let sum = |period, amount| Claim { kind: Kind::Sum(period), ..claim("usd", "ci", amount, 100) };
    let [first, second] = [Period { start: 0, end: 60 }, Period { start: 60, end: 120 }];
    let warns = |claim: &Claim| store.warns(&Claim { warn_at: Some(80), ..claim.clone() });
    let small = sum(first, 79);
    let marks = store.reserve(std::slice::from_ref(&small), at(0)).unwrap();
    assert!(!warns(&small));
    store.settle([Settled { id: &small.id, mark: marks[0], used: 40 }], at(1));
    assert!(!warns(&small));
    store.reserve(&[sum(first, 40)], at(2)).unwrap();
    assert_eq!((warns(&small), warns(&small)), (true, false));
    store.reserve(&[sum(second, 90)], at(60_000)).unwrap();
    assert_eq!((warns(&sum(second, 0)), warns(&sum(second, 0))), (true, false));
}

#[test]
fn idle_counters_are_removed_and_those_in_use_stay() {
    let store = Memory::default();
    store.reserve(&[concurrent(5)], at(0)).unwrap();
    for n in 0..20_000_u64 {
        store.reserve(&[claim("requests", &n.to_string(), 1, 5)], at(n * 100)).unwrap();
    }
    // 600 counters are within a minute
    assert!(store.len() < 4 * FIRST_SWEEP, "{}", store.len());
    assert_eq!(used(&store, &concurrent(5), 2_000_000), 1);
}

#[test]
fn there_are_never_more_counters_than_the_bound() {
    let store = Memory::default();
    let sum = Claim { kind: Kind::Sum(Period { start: 0, end: 60 }), ..claim("usd", "ci", 7, 100) };
    store.reserve(std::slice::from_ref(&sum), at(0)).unwrap();
    for n in 0..MAX_COUNTERS as u64 + 5_000 {
        store.reserve(&[claim("requests", &n.to_string(), 1, 5)], at(n / 100)).unwrap();
    }
    assert!(store.len() <= MAX_COUNTERS, "{}", store.len());
    assert_eq!(used(&store, &sum, 1000), 7);
    // the newest are there
    let newest = claim("requests", &(MAX_COUNTERS + 4_999).to_string(), 1, 5);
    assert_eq!(used(&store, &newest, 1100), 1);
}
