//! Hidden calls and the store that keeps them for their callers.
use std::time::{Duration, Instant};

use prometheus_client::metrics::counter::Counter;

use crate::server_tools::hidden::{Carried, Hidden, HiddenBlock, Shape};

fn shown(kind: &str) -> HiddenBlock {
    HiddenBlock::Shown(Shape { kind: kind.to_owned(), ..Shape::default() })
}

/// Returns a message of two turns with results of this size.
fn hidden(earlier: usize, last: usize) -> Hidden {
    let mut hidden = Hidden::default();
    let result = |size: usize| HiddenBlock::Result("x".repeat(size).into());
    hidden.push(vec![shown("text"), HiddenBlock::Call("{}".into()), result(earlier)]);
    hidden.push(vec![shown("tool_use"), result(last)]);
    hidden
}

/// A little less than a sixteenth of the room.
const LARGE: usize = (1 << 20) - 1024;

#[test]
fn hidden_calls_are_kept_per_caller_and_bounded() {
    let carried = Carried::default();
    carried.keep("one", "toolu_1", hidden(1, 1));
    assert_eq!(*carried.find("one", "toolu_1").unwrap(), hidden(1, 1));
    assert_eq!(carried.find("two", "toolu_1"), None);
    assert_eq!(carried.find("one", "toolu_2"), None);
    for n in 2..30 {
        carried.keep("one", &format!("toolu_{n}"), hidden(1, LARGE));
    }
    assert_eq!(carried.find("one", "toolu_1"), None, "the oldest made room");
    assert!(carried.find("one", "toolu_29").is_some());
}

#[test]
fn a_message_that_is_too_large_keeps_its_last_turn_if_that_fits() {
    let dropped = Counter::default();
    let carried = Carried::new(dropped.clone());
    carried.keep("one", "toolu_1", hidden(4 << 20, 1));
    let kept = carried.find("one", "toolu_1").unwrap();
    assert_eq!(kept.blocks(), hidden(1, 1).last_turn());
    assert_eq!(kept.last_turn(), kept.blocks());
    carried.keep("one", "toolu_2", hidden(1, 4 << 20));
    assert_eq!(carried.find("one", "toolu_2"), None);
    assert_eq!(dropped.get(), 1);
}

#[test]
fn a_message_without_hidden_calls_is_not_kept() {
    let carried = Carried::default();
    let hides_nothing = || {
        let mut hidden = Hidden::default();
        hidden.push(vec![shown("text"), shown("tool_use")]);
        hidden
    };
    carried.keep("one", "toolu_1", hides_nothing());
    assert!(!carried.has("one", Instant::now()));
    carried.keep("one", "toolu_1", hidden(1, 1));
    carried.keep("one", "toolu_1", hides_nothing());
    assert_eq!(carried.find("one", "toolu_1"), None, "of another conversation");
}

#[test]
fn a_history_is_searched_only_while_something_is_kept_for_its_caller() {
    let dropped = Counter::default();
    let carried = Carried::new(dropped.clone());
    let now = Instant::now();
    assert!(!carried.has("one", now));
    carried.keep("one", "toolu_1", hidden(1, 1));
    assert!(carried.has("one", now) && !carried.has("two", now));
    let later = |minutes: u64| now + Duration::from_secs(60 * minutes);
    assert!(carried.has("one", later(59)));
    assert!(!carried.has("one", later(61)));
    assert_eq!(carried.find("one", "toolu_1"), None, "and it is gone");
    assert_eq!(dropped.get(), 0, "its time was over");
}

#[test]
fn the_least_recently_used_hidden_calls_are_dropped_first() {
    let dropped = Counter::default();
    let carried = Carried::new(dropped.clone());
    for n in 1..=16 {
        carried.keep("one", &format!("toolu_{n}"), hidden(1, LARGE));
    }
    assert!(carried.find("one", "toolu_1").is_some());
    carried.keep("one", "toolu_17", hidden(1, LARGE));
    assert!(carried.find("one", "toolu_1").is_some());
    assert_eq!(carried.find("one", "toolu_2"), None);
    assert_eq!(dropped.get(), 1);
}
