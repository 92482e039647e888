//! The data of `exchange.ended`, made from the record. It has no body, no credential and no user.
use std::collections::BTreeMap;

use serde::Serialize;

use crate::telemetry::record::{Operation, Record};
use crate::telemetry::traced::bounded;

/// The most tags and names of a list.
const MAX_LISTED: usize = 64;

/// The data. The names of the fields are stable; a value that is not known is `null`.
#[derive(Serialize)]
pub(super) struct Exchange<'a> {
    request_id: &'a str,
    parent_request_id: Option<&'a str>,
    operation: &'static str,
    route: Option<&'a str>,
    key: &'a str,
    model: &'a str,
    rerouted_to: Option<&'a str>,
    target: Option<&'a str>,
    status: u16,
    ending: &'static str,
    error: Option<&'static str>,
    stop_reason: Option<&'a str>,
    stream: bool,
    attempts: usize,
    turns: u32,
    tool_calls: usize,
    duration_ms: u128,
    first_event_ms: Option<u128>,
    tokens: Tokens,
    cost: Cost,
    tags: BTreeMap<&'a str, &'a str>,
    edited_by: Vec<&'a str>,
    trace_id: Option<String>,
    upstream_request_id: Option<&'a str>,
}

/// The tokens of all attempts.
#[derive(Serialize)]
struct Tokens {
    input: u64,
    output: u64,
    cache_read: u64,
    cache_write_5m: u64,
    cache_write_1h: u64,
}

#[derive(Serialize)]
struct Cost {
    nano_usd: i64,
    unpriced_tokens: u64,
    estimated: bool,
}

impl<'a> Exchange<'a> {
    /// Reads a record that has ended.
    pub(super) fn of(record: &'a Record) -> Self {
        let last = record.attempts.last();
        let (operation, route) = match &record.operation {
            Operation::Messages => ("messages", None),
            Operation::CountTokens => ("count_tokens", None),
            Operation::Forward { route, .. } => ("forward", Some(bounded(route))),
        };
        // a policy's tag comes before one of the same name
        let tags = record.tags.iter().chain(&record.policy_tags);
        let tags: BTreeMap<&str, &str> =
            tags.map(|(name, value)| (bounded(name), bounded(value))).collect();
        let editors = record.editors().into_iter().take(MAX_LISTED);
        Self {
            request_id: bounded(&record.request_id),
            parent_request_id: record.parent.as_deref().map(bounded),
            operation,
            route,
            key: bounded(&record.key),
            model: bounded(&record.model),
            rerouted_to: record.rerouted.as_deref().map(bounded),
            target: last.and_then(|last| last.target.to_str().ok()).map(bounded),
            status: record.status,
            ending: record.ending.as_str(),
            error: record.error,
            stop_reason: last.and_then(|last| last.spent.stop.as_deref()).map(bounded),
            stream: record.is_stream,
            attempts: record.attempts.len(),
            turns: last.map_or(0, |last| last.turn),
            tool_calls: record.tool_calls.len(),
            duration_ms: record.duration.as_millis(),
            first_event_ms: record.first_event.map(|time| time.as_millis()),
            tokens: Tokens::of(record),
            cost: Cost::of(record),
            tags: tags.into_iter().take(MAX_LISTED).collect(),
            edited_by: editors.map(|name| &**name).collect(),
            trace_id: record.trace.as_ref().map(|trace| trace.id.to_string()),
            upstream_request_id: last.and_then(|last| last.upstream_id.as_deref()).map(bounded),
        }
    }
}

impl Tokens {
    fn of(record: &Record) -> Self {
        let usage = record.usage();
        let hour = usage.cache_write_1h;
        Self {
            input: usage.input,
            output: usage.output,
            cache_read: usage.cache_read,
            // a write without a duration is one for minutes
            cache_write_5m: usage.written().saturating_sub(hour),
            cache_write_1h: hour,
        }
    }
}

impl Cost {
    fn of(record: &Record) -> Self {
        let cost = record.cost.unwrap_or_default();
        Self {
            nano_usd: cost.nano_dollars,
            unpriced_tokens: cost.unpriced,
            estimated: cost.is_estimated,
        }
    }
}
