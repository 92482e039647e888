//! `Row`: an exchange as the ledger stores it, without bodies and credentials, with bounded texts.
pub(super) mod columns;
pub(super) mod value;

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::ledger::row::value::Value;
use crate::telemetry::continuity::{Break, Continuity};
use crate::telemetry::record::{Attempt, Cost, Operation, Record, StageRun};
use crate::wire::Usage;

/// The most bytes of a text. Clients choose some of them.
const TEXT: usize = 256;
/// The most children of one kind that are stored.
pub(super) const CHILDREN: usize = 256;
/// The most tokens of one count. Sums of such counts stay in 63 bits.
const TOKENS: u64 = 1_000_000_000_000;
/// The most nano-dollars of an attempt: ten million dollars.
const NANO: i64 = 10_000_000_000_000_000;
/// The state of a cost that the gateway cannot see. Queries know the word as well.
const UNMETERED: &str = "unmetered";
/// A quarter of an hour.
pub(crate) const QUARTER: i64 = 15 * 60 * 1000;

/// A row of `exchange` with its children.
pub(super) struct Row {
    pub(super) exchange: Exchange,
    /// All attempts, since the sums count all of them. Only the first [`CHILDREN`] are stored.
    pub(super) attempts: Vec<AttemptRow>,
    pub(super) stages: Vec<StageRow>,
    pub(super) tool_calls: Vec<ToolCallRow>,
    pub(super) tags: Vec<TagRow>,
    pub(super) notes: Vec<NoteRow>,
}

/// A row of `exchange`. The names of the fields are those of the columns.
#[derive(Serialize)]
pub(super) struct Exchange {
    /// The gateway's own UUID (version 7) in hexadecimal digits.
    pub(super) id: String,
    /// The start in milliseconds since 1970.
    pub(super) at: i64,
    operation: &'static str,
    pub(super) key: String,
    user_id: Option<String>,
    session: Option<String>,
    request_id: String,
    parent: Option<String>,
    pub(super) model: String,
    pub(super) target: String,
    route: Option<String>,
    is_stream: i64,
    pub(super) status: i64,
    ending: &'static str,
    error: Option<&'static str>,
    #[serde(flatten)]
    pub(super) tokens: Tokens,
    /// `None` if no token has a price, or if the gateway cannot see the cost.
    cost_nano: Option<i64>,
    cost_state: &'static str,
    pub(super) unpriced_tokens: i64,
    ttft_ms: Option<i64>,
    pub(super) ms: i64,
    attempts: i64,
    /// The stop reason of the last upstream's answer.
    stop: Option<String>,
    /// The trace in hexadecimal digits.
    trace_id: Option<String>,
    /// The id of the last upstream's response.
    upstream_request_id: Option<String>,
    #[serde(flatten)]
    prefix: Prefix,
}

/// Whether the prompt goes on where the session's previous one ended.
#[derive(Default, Serialize)]
struct Prefix {
    /// `first`, `continues` or `broken`; `None` without a session, or without a breakpoint.
    prefix: Option<&'static str>,
    /// The first place that is not in the cache: `model`, `tools`, `system` or `messages.N`.
    broken_at: Option<String>,
    /// `client`, `stage`, `budget`, `gateway`, `failover` or `timeout`.
    broken_by: Option<&'static str>,
    /// The name of the policy or plugin.
    broken_stage: Option<String>,
    /// The tokens that were in the cache before and were not read from it.
    lost_tokens: Option<i64>,
    /// The nano-dollars that they cost more; `None` without a price.
    lost_nano: Option<i64>,
}

/// Tokens by kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Tokens {
    /// Input outside of the cache.
    pub(crate) uncached: i64,
    /// Writes to the cache for 5 minutes.
    pub(crate) write_5m: i64,
    /// Writes to the cache for an hour.
    pub(crate) write_1h: i64,
    /// Reads from the cache.
    pub(crate) read: i64,
    /// Output.
    pub(crate) output: i64,
}

/// A row of `attempt`.
#[derive(Serialize)]
pub(super) struct AttemptRow {
    exchange: String,
    n: usize,
    turn: u32,
    pub(super) model: String,
    pub(super) target: String,
    status: Option<u16>,
    outcome: Option<&'static str>,
    error: Option<&'static str>,
    upstream_request_id: Option<String>,
    begun_ms: i64,
    ttft_ms: Option<i64>,
    ms: Option<i64>,
    #[serde(flatten)]
    pub(super) tokens: Tokens,
    pub(super) cost_nano: i64,
    pub(super) unpriced_tokens: i64,
}

/// A row of `stage`.
#[derive(Serialize)]
pub(super) struct StageRow {
    exchange: String,
    n: usize,
    name: String,
    hook: &'static str,
    runs: u32,
    us: i64,
    outcome: &'static str,
}

/// A row of `tool_call`.
#[derive(Serialize)]
pub(super) struct ToolCallRow {
    exchange: String,
    n: usize,
    turn: u32,
    tool: String,
    is_error: i64,
    ms: i64,
}

/// A row of `tag`.
#[derive(Serialize)]
pub(super) struct TagRow {
    exchange: String,
    tag: String,
    value: String,
}

impl TagRow {
    /// Returns the values of the columns `exchange`, `tag` and `value`.
    pub(super) fn values(&self) -> [Value<'_>; 3] {
        [Value::Id(&self.exchange), Value::Text(&self.tag), Value::Text(&self.value)]
    }
}

/// A row of `note`: a target that was passed over, a part that was dropped, or the alias that a budget chose.
#[derive(Serialize)]
pub(super) struct NoteRow {
    exchange: String,
    n: usize,
    kind: &'static str,
    /// The number of earlier attempts.
    attempts: usize,
    name: String,
    detail: Option<String>,
}

impl Row {
    /// Returns the row of an exchange that ended at a time.
    pub(super) fn of(record: &Record, ended: SystemTime) -> Self {
        let ended = ended.duration_since(UNIX_EPOCH).unwrap_or_default();
        let at = millis(ended.saturating_sub(record.duration));
        let id = uuid_v7(at);
        let attempts = record.attempts.iter().enumerate();
        let attempts: Vec<_> = attempts.map(|(n, one)| attempt(&id, n, one)).collect();
        let tool_calls = first(&record.tool_calls).map(|(n, call)| ToolCallRow {
            exchange: id.clone(),
            n,
            turn: call.turn,
            tool: text(&call.tool),
            is_error: i64::from(call.is_error),
            ms: millis(call.took),
        });
        let tags: BTreeMap<String, String> = record
            .tags
            .iter()
            .chain(&record.policy_tags)
            .map(|(tag, value)| (text(tag), text(value)))
            .collect();
        let tags = tags.into_iter().take(CHILDREN);
        Self {
            stages: first(&record.stages).map(|(n, run)| stage(&id, n, run)).collect(),
            tool_calls: tool_calls.collect(),
            tags: tags.map(|(tag, value)| TagRow { exchange: id.clone(), tag, value }).collect(),
            notes: notes(&id, record),
            exchange: exchange(record, id, at, &attempts),
            attempts,
        }
    }
}

impl Exchange {
    /// Returns whether the cost is not known, or is only a part.
    pub(super) fn is_unpriced(&self) -> bool {
        self.unpriced_tokens > 0 || self.cost_state == UNMETERED
    }
}

/// Returns whether an exchange has a row. A client that was rejected before the gateway knew it has none.
pub(super) fn is_recorded(record: &Record) -> bool {
    const UNAUTHORIZED: u16 = 401;
    record.status != UNAUTHORIZED || record.is_identified
}

fn exchange(record: &Record, id: String, at: i64, attempts: &[AttemptRow]) -> Exchange {
    let (operation, route) = match &record.operation {
        Operation::Messages => ("messages", None),
        Operation::CountTokens => ("count_tokens", None),
        Operation::Forward { route, .. } => ("forward", Some(text(route))),
    };
    let (last, tried) = (attempts.last(), record.attempts.last());
    let cost = record.cost.unwrap_or_default();
    let cost_nano = attempts.iter().map(|attempt| attempt.cost_nano).fold(0, i64::saturating_add);
    let unpriced = attempts.iter().map(|attempt| attempt.unpriced_tokens);
    let unpriced_tokens = unpriced.fold(0, i64::saturating_add);
    let cost_state = if is_unmetered(record) { UNMETERED } else { state(cost) };
    let is_known = unpriced_tokens == 0 && cost_state != UNMETERED;
    Exchange {
        id,
        at,
        operation,
        key: text(&record.key),
        user_id: record.user.as_deref().map(text),
        session: record.session.as_deref().map(text),
        request_id: text(&record.request_id),
        parent: record.parent.as_deref().map(text),
        model: last.map_or_else(|| text(&record.model), |last| last.model.clone()),
        target: last.map(|last| last.target.clone()).unwrap_or_default(),
        route,
        is_stream: i64::from(record.is_stream),
        status: i64::from(record.status),
        ending: record.ending.as_str(),
        error: record.error,
        tokens: attempts.iter().map(|attempt| attempt.tokens).fold(Tokens::default(), Tokens::plus),
        cost_nano: (cost_nano > 0 || is_known).then_some(cost_nano),
        cost_state,
        unpriced_tokens,
        ttft_ms: record.first_event.map(millis),
        ms: millis(record.duration),
        attempts: record.attempts.len() as i64,
        stop: tried.and_then(|last| last.spent.stop.as_deref()).map(text),
        trace_id: record.trace.as_ref().map(|trace| hex::encode(trace.id.bytes())),
        upstream_request_id: tried.and_then(|last| last.upstream_id.as_deref()).map(text),
        prefix: record.continuity.as_ref().map(|found| prefix(found, is_known)).unwrap_or_default(),
    }
}

fn prefix(found: &Continuity, is_priced: bool) -> Prefix {
    let prefix = Some(found.verdict.as_str());
    let Some(Break { at, by }) = found.verdict.broken() else {
        return Prefix { prefix, ..Prefix::default() };
    };
    Prefix {
        prefix,
        broken_at: Some(at.to_string()),
        broken_by: Some(by.as_str()),
        broken_stage: by.stage().map(text),
        lost_tokens: Some(count(found.lost)),
        lost_nano: is_priced.then(|| found.cost_nano.clamp(0, NANO)),
    }
}

/// Returns whether an upstream may have accepted a forwarded request that costs money, such as a batch: its answer does
/// not name the cost.
fn is_unmetered(record: &Record) -> bool {
    let Operation::Forward { route, .. } = &record.operation else { return false };
    let is_reading = route.starts_with("GET ") || route.starts_with("HEAD ");
    let is_accepted = |status: u16| (200..300).contains(&status);
    // an upstream may accept a request whose client left before the answer
    let mut attempts = record.attempts.iter().map(|attempt| attempt.status);
    let is_accepted = is_accepted(record.status) || attempts.any(|it| it.is_none_or(is_accepted));
    !is_reading && is_accepted
}

fn state(cost: Cost) -> &'static str {
    match cost {
        Cost { unpriced: 1.., .. } => "unpriced",
        Cost { is_estimated: true, .. } => "estimated",
        _ => "priced",
    }
}

fn attempt(exchange: &str, n: usize, attempt: &Attempt) -> AttemptRow {
    let cost = attempt.cost.unwrap_or_default();
    AttemptRow {
        exchange: exchange.to_owned(),
        n,
        turn: attempt.turn,
        model: text(&attempt.model),
        target: text(&String::from_utf8_lossy(attempt.target.as_bytes())),
        status: attempt.status,
        outcome: attempt.outcome.map(|outcome| outcome.as_str()),
        error: attempt.error,
        upstream_request_id: attempt.upstream_id.as_deref().map(text),
        begun_ms: millis(attempt.begun),
        ttft_ms: attempt.first_event.map(millis),
        ms: attempt.duration.map(millis),
        tokens: Tokens::of(attempt.spent.billed()),
        cost_nano: cost.nano_dollars.clamp(0, NANO),
        unpriced_tokens: count(cost.unpriced),
    }
}

fn stage(exchange: &str, n: usize, run: &StageRun) -> StageRow {
    StageRow {
        exchange: exchange.to_owned(),
        n,
        name: text(&run.stage),
        hook: run.hook,
        runs: run.runs,
        us: i64::try_from(run.took.as_micros()).unwrap_or(i64::MAX),
        outcome: match (run.failed, run.denied, run.edited) {
            (true, _, _) => "failed",
            (_, true, _) => "denied",
            (_, _, true) => "edited",
            _ => "ran",
        },
    }
}

fn notes(exchange: &str, record: &Record) -> Vec<NoteRow> {
    let row = |kind, attempts, name: &str, detail| NoteRow {
        exchange: exchange.to_owned(),
        n: 0,
        kind,
        attempts,
        name: text(name),
        detail,
    };
    let passed_over = record.passed_over.iter().map(|over| {
        let target = String::from_utf8_lossy(over.target.as_bytes());
        row("passed_over", over.after, &target, Some(text(over.why.as_str())))
    });
    let dropped = record.dropped.iter().map(|name| row("dropped", 0, name, None));
    let rerouted = record.rerouted.iter().map(|alias| row("rerouted", 0, alias, None));
    let all = rerouted.chain(dropped).chain(passed_over).take(CHILDREN).enumerate();
    all.map(|(n, note)| NoteRow { n, ..note }).collect()
}

impl Tokens {
    fn of(usage: Usage) -> Self {
        let hour = usage.cache_write_1h;
        Self {
            uncached: count(usage.input),
            // a write without a duration is one for minutes
            write_5m: count(usage.written().saturating_sub(hour)),
            write_1h: count(hour),
            read: count(usage.cache_read),
            output: count(usage.output),
        }
    }

    /// Returns the sum.
    pub(crate) fn plus(self, other: Self) -> Self {
        Self {
            uncached: self.uncached.saturating_add(other.uncached),
            write_5m: self.write_5m.saturating_add(other.write_5m),
            write_1h: self.write_1h.saturating_add(other.write_1h),
            read: self.read.saturating_add(other.read),
            output: self.output.saturating_add(other.output),
        }
    }
}

fn first<T>(list: &[T]) -> impl Iterator<Item = (usize, &T)> {
    list.iter().take(CHILDREN).enumerate()
}

fn count(tokens: u64) -> i64 {
    tokens.min(TOKENS).cast_signed()
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

/// Returns a text of bounded length. Control characters, and those that change the direction of what follows, are
/// replaced: rows are shown in terminals and on pages, and PostgreSQL accepts no NUL.
pub(crate) fn text(text: &str) -> String {
    bounded(text, TEXT)
}

/// Does the same for a length in bytes.
pub(crate) fn bounded(text: &str, most: usize) -> String {
    let text = &text[..text.floor_char_boundary(most)];
    if text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return text.to_owned();
    }
    text.chars().map(|c| if is_harmful(c) { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

fn is_harmful(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
        || matches!(c, '\u{2028}' | '\u{2029}')
}

/// Returns a UUID of version 7 in hexadecimal digits: milliseconds since 1970, then random bits.
pub(super) fn uuid_v7(at: i64) -> String {
    let mut bytes = [0; 16];
    fastrand::fill(&mut bytes[6..]);
    bytes[..6].copy_from_slice(&at.cast_unsigned().to_be_bytes()[2..]);
    bytes[6] = 0x70 | (bytes[6] & 0x0f);
    bytes[8] = 0x80 | (bytes[8] & 0x3f);
    hex::encode(bytes)
}

#[cfg(test)]
mod tests;
