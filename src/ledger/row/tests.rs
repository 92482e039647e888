//! Tests of rows: bounds, sums of attempts, and the cost of forwarded requests.
use std::time::Instant;

use http::HeaderValue;

use crate::ledger::batch::{Batch, Rows};
use crate::ledger::queue::Held;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::outcome::Ending;
use crate::telemetry::story::{AttemptStart, Story};

use super::*;

/// A record with this many attempts, at two targets in turn.
fn record(operation: Operation, attempts: usize) -> Record {
    let story = Story::begin("req_1", Instant::now(), operation);
    for n in 0..attempts {
        let target = HeaderValue::from_static(if n % 2 == 0 { "up/a" } else { "up/b" });
        let (metrics, tariff) = (None, None);
        let start = AttemptStart { turn: 1, model: "m", target, metrics, tariff };
        let _ = story.attempt(start);
    }
    story.end(Ending::Whole, &Metrics::new());
    story.read(Record::clone)
}

#[test]
fn sums_count_every_attempt_and_only_the_first_ones_are_stored() {
    const ATTEMPTS: usize = 2 * CHILDREN + 1;
    let mut record = record(Operation::Messages, ATTEMPTS);
    for attempt in &mut record.attempts {
        attempt.spent.tokens.output = 3;
        attempt.cost = Some(Cost { nano_dollars: 7, unpriced: 2, is_estimated: false });
    }
    let row = Row::of(&record, SystemTime::now());
    let all = ATTEMPTS as i64;
    let exchange = &row.exchange;
    assert_eq!((exchange.tokens.output, exchange.unpriced_tokens), (3 * all, 2 * all));
    assert_eq!((exchange.cost_nano, exchange.attempts), (Some(7 * all), all));
    let batch = Batch { rows: vec![row], held: Held::default() };
    let read = |kind| -> Vec<serde_json::Value> {
        serde_json::from_str(&batch.all().of_kind(kind, |_| true).unwrap()).unwrap()
    };
    assert_eq!(read(Rows::Attempts).len(), CHILDREN);
    let quarters = read(Rows::Quarters);
    let sum = |name| quarters.iter().map(|row| row[name].as_i64().unwrap()).sum::<i64>();
    assert_eq!(quarters.len(), 2);
    assert_eq!((sum("output"), sum("cost_nano"), sum("requests")), (3 * all, 7 * all, 1));
    assert_eq!((sum("unpriced_tokens"), sum("unpriced")), (2 * all, 1));
}

#[test]
fn sums_beyond_reason_are_bounded() {
    let mut record = record(Operation::Messages, 2000);
    for attempt in &mut record.attempts {
        attempt.cost = Some(Cost { nano_dollars: i64::MAX, ..Cost::default() });
    }
    let row = Row::of(&record, SystemTime::now());
    assert_eq!(row.exchange.cost_nano, Some(i64::MAX));
    let batch = Batch { rows: vec![row], held: Held::default() };
    assert!(batch.all().of_kind(Rows::Quarters, |_| true).is_some());
}

#[test]
fn the_cost_of_a_forwarded_request_is_unknown_if_it_may_have_been_accepted() {
    let unknown = ("unmetered", None, true);
    let free = ("priced", Some(0), false);
    for (route, answer, upstream, expected) in [
        ("POST /v1/messages/batches", 200, Some(200), unknown),
        ("POST /v1/messages/batches", 201, Some(201), unknown),
        ("PUT /v1/other", 204, Some(204), unknown),
        // the client left before the upstream's answer, or in the middle of it
        ("POST /v1/messages/batches", 499, None, unknown),
        ("POST /v1/messages/batches", 499, Some(200), unknown),
        ("POST /v1/messages/batches", 400, Some(400), free),
        ("POST /v1/messages/batches", 502, Some(502), free),
        ("GET /v1/files", 200, Some(200), free),
        ("HEAD /v1/files", 200, Some(200), free),
        ("GET /v1/files", 499, None, free),
    ] {
        let operation = Operation::Forward { route: route.into(), provider: "up".into() };
        let mut record = record(operation, 1);
        record.status = answer;
        record.attempts[0].status = upstream;
        let exchange = Row::of(&record, SystemTime::now()).exchange;
        let found = (exchange.cost_state, exchange.cost_nano, exchange.is_unpriced());
        assert_eq!(found, expected, "{route} {answer}");
    }
    // a request that the gateway rejected itself
    let route = "POST /v1/messages/batches".into();
    let mut record = record(Operation::Forward { route, provider: "".into() }, 0);
    record.status = 404;
    assert_eq!(Row::of(&record, SystemTime::now()).exchange.cost_state, "priced");
}

#[test]
fn a_text_is_bounded_and_changes_neither_lines_nor_direction() {
    assert_eq!(text("claude-opus-5-5"), "claude-opus-5-5");
    assert_eq!(text("a\0b\u{202e}c\u{1b}[2J\n\u{2066}\u{200f}"), "a�b�c�[2J���");
    let long = text(&"é".repeat(5000));
    assert_eq!((long.len(), long.chars().all(|c| c == 'é')), (TEXT, true));
    assert_eq!(text(&format!("{}é", "a".repeat(TEXT - 1))).len(), TEXT - 1);
}

#[test]
fn an_id_is_a_uuid_of_version_7_that_begins_with_its_time() {
    let id = uuid_v7(0x0123_4567_89ab);
    assert_eq!((&id[..12], &id[12..13], id.len()), ("0123456789ab", "7", 32));
    assert!(matches!(&id[16..17], "8" | "9" | "a" | "b"), "{id}");
    assert_ne!(id, uuid_v7(0x0123_4567_89ab));
}

#[test]
fn a_count_beyond_reason_is_bounded() {
    let usage = Usage { input: u64::MAX, cache_creation: 9, cache_write_1h: 4, ..Usage::default() };
    let tokens = Tokens::of(usage);
    assert_eq!((tokens.uncached, tokens.write_5m, tokens.write_1h), (1_000_000_000_000, 5, 4));
}
