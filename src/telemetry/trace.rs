//! `x-tidegate-trace`: describes the attempts of an exchange, if the client requests it.
use std::time::Duration;

use http::HeaderValue;
use serde_json::{Value, json};

use crate::net::headers;
use crate::telemetry::record::{Attempt, PassedOver, Record};

/// The most entries in the header: it has to stay small, even with many retries.
const MAX_NOTES: usize = 48;
const MAX_NAME: usize = 128;

/// Returns one line of JSON: attempts and passed-over targets in order, and the stages that edited the
/// request. It holds names of the config, statuses and times only.
pub(super) fn header(record: &Record, took: Duration) -> HeaderValue {
    let mut notes = Vec::new();
    for (n, attempt) in record.attempts.iter().enumerate() {
        notes.extend(record.passed_over.iter().filter(|over| over.after == n).map(skipped));
        notes.push(called(attempt));
    }
    let end = record.attempts.len();
    notes.extend(record.passed_over.iter().filter(|over| over.after >= end).map(skipped));
    let omitted = notes.len().saturating_sub(MAX_NOTES);
    notes.truncate(MAX_NOTES);
    let mut trace = json!({"attempts": notes, "ms": millis(took)});
    let editors = record.editors();
    if !editors.is_empty() {
        let names = editors.iter().take(MAX_NOTES);
        trace["edited_by"] = names.map(|name| cut(name)).collect();
    }
    if let Some(continuity) = &record.continuity {
        trace["prefix"] = continuity.note();
    }
    if omitted > 0 {
        trace["omitted"] = omitted.into();
    }
    headers::value(&ascii(&trace.to_string()))
}

fn called(attempt: &Attempt) -> Value {
    let mut note = json!({
        "target": name(&attempt.target),
        "status": attempt.status,
    });
    if let Some(error) = attempt.error {
        note["error"] = error.into();
    }
    let took = attempt.first_event.or(attempt.duration);
    note["ms"] = took.map(millis).into();
    if attempt.turn > 1 {
        note["turn"] = attempt.turn.into();
    }
    note
}

fn skipped(over: &PassedOver) -> Value {
    json!({"target": name(&over.target), "skipped": cut(over.why.as_str())})
}

fn millis(took: Duration) -> u64 {
    took.as_millis() as u64
}

fn name(target: &HeaderValue) -> String {
    cut(target.to_str().unwrap_or_default())
}

fn cut(name: &str) -> String {
    name.chars().take(MAX_NAME).collect()
}

/// Writes characters outside of ASCII as JSON escapes, since headers cannot carry them.
fn ascii(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c.is_ascii() {
            true => out.push(c),
            false => c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| {
                out.push_str(&format!("\\u{unit:04x}"));
            }),
        }
    }
    out
}
