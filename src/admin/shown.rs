//! The forms of an exchange in the admin API: a line of a list, its story, and one in progress.
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use crate::admin::failure::Failure;
use crate::admin::{queried, time};
use crate::ledger::stories::Told;
use crate::telemetry::money::dollars;

/// An exchange.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Exchange {
    /// The id in the ledger; `null` if the exchange is not there yet.
    pub(crate) id: Option<String>,
    /// The time at which it began.
    #[serde(serialize_with = "moment")]
    #[schemars(with = "String")]
    pub(crate) at: i64,
    /// The kind: `messages`, `count_tokens` or `forward`.
    operation: String,
    /// The client's key; empty without one.
    key: String,
    /// The client's user, if the ledger keeps it.
    user_id: Option<String>,
    /// The session that the client names.
    session: Option<String>,
    /// The gateway's id of the request.
    request_id: String,
    /// The upstream's id, if one answered. The client received it as `request-id`.
    upstream_request_id: Option<String>,
    /// The request that caused this one, such as that of a plugin's model call.
    parent: Option<String>,
    /// The model's name that was looked up in the config.
    model: String,
    /// The target of the last attempt; empty without one.
    target: String,
    /// The method and path of a forwarded route.
    route: Option<String>,
    /// Whether the answer was a stream.
    #[serde(deserialize_with = "flag")]
    is_stream: bool,
    /// The status that the client received.
    status: u16,
    /// The end: `whole`, `caller_left` or `broken`.
    ending: String,
    /// The kind of the error that the client received.
    error: Option<String>,
    /// Input tokens outside of the cache.
    uncached: i64,
    /// Tokens written to the cache for 5 minutes.
    write_5m: i64,
    /// Tokens written to the cache for an hour.
    write_1h: i64,
    /// Tokens read from the cache.
    read: i64,
    /// Output tokens.
    output: i64,
    /// The cost in dollars; `null` if it is not known.
    #[serde(rename(serialize = "cost_usd"), serialize_with = "maybe_money")]
    #[schemars(with = "Option<String>")]
    cost_nano: Option<i64>,
    /// The state of the cost: `priced`, `estimated`, `unpriced` or `unmetered`.
    cost_state: String,
    /// The tokens of models without a price.
    unpriced_tokens: i64,
    /// The milliseconds to the first event of a stream.
    ttft_ms: Option<i64>,
    /// The duration in milliseconds.
    ms: i64,
    /// The number of attempts.
    attempts: i64,
    /// The stop reason of the last upstream's answer.
    stop: Option<String>,
    /// The trace in hexadecimal digits, if the gateway exports traces.
    trace_id: Option<String>,
    /// Whether the prompt goes on where the session's previous one ended: `first`, `continues` or `broken`; `null` without
    /// a session or without a breakpoint.
    prefix: Option<String>,
    /// The first place that is not in the cache: `model`, `tools`, `system` or `messages.N`.
    broken_at: Option<String>,
    /// The cause: `client`, `stage`, `budget`, `gateway`, `failover` or `timeout`.
    broken_by: Option<String>,
    /// The policy or plugin that broke the prefix.
    broken_stage: Option<String>,
    /// The tokens that were in the cache before and were not read from it.
    lost_tokens: Option<i64>,
    /// The dollars that they cost more; `null` without a price.
    #[serde(rename(serialize = "lost_usd"), serialize_with = "maybe_money")]
    #[schemars(with = "Option<String>")]
    lost_nano: Option<i64>,
}

/// An exchange with all that is known about it.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Story {
    /// The exchange.
    exchange: Exchange,
    /// The calls of upstreams, in order; at most 256.
    attempts: Vec<Attempt>,
    /// The hooks of the stages that ran, in order.
    stages: Vec<Stage>,
    /// The calls of server tools, in order.
    tool_calls: Vec<ToolCall>,
    /// The tags of the client and of policies.
    tags: Vec<Tag>,
    /// The targets that were passed over, the parts that were dropped, and the alias that a budget chose.
    notes: Vec<Note>,
}

/// A call of an upstream.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
struct Attempt {
    /// The number in the exchange, from 0.
    n: u32,
    /// The turn of the tool loop, from 1.
    turn: u32,
    /// The model's name that was looked up in the config.
    model: String,
    /// The target.
    target: String,
    /// The upstream's status, or the gateway's own if the upstream sent none.
    status: Option<u16>,
    /// The outcome: `success`, `refused`, `failed` or `timed_out`; `null` if the client left before it.
    outcome: Option<String>,
    /// The kind of the error.
    error: Option<String>,
    /// The upstream's id of the answer.
    upstream_request_id: Option<String>,
    /// The milliseconds from the beginning of the exchange to this call.
    begun_ms: i64,
    /// The milliseconds from the call to its first event, or to its whole answer.
    ttft_ms: Option<i64>,
    /// The duration in milliseconds.
    ms: Option<i64>,
    /// Input tokens outside of the cache.
    uncached: i64,
    /// Tokens written to the cache for 5 minutes.
    write_5m: i64,
    /// Tokens written to the cache for an hour.
    write_1h: i64,
    /// Tokens read from the cache.
    read: i64,
    /// Output tokens.
    output: i64,
    /// The cost in dollars of the tokens that have a price.
    #[serde(rename(serialize = "cost_usd"), serialize_with = "money")]
    #[schemars(with = "String")]
    cost_nano: i64,
    /// The tokens without a price.
    unpriced_tokens: i64,
}

/// All runs of one hook of a stage.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
struct Stage {
    /// The place in the order of the first runs, from 0.
    n: u32,
    /// The stage's name.
    name: String,
    /// The hook.
    hook: String,
    /// The number of runs.
    runs: u32,
    /// The time of all runs in microseconds.
    us: i64,
    /// The outcome: `ran`, `edited`, `denied` or `failed`.
    outcome: String,
}

/// A call of a server tool.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
struct ToolCall {
    /// The number in the exchange, from 0.
    n: u32,
    /// The turn of the tool loop, from 1.
    turn: u32,
    /// The tool's name after `gateway:`.
    tool: String,
    /// Whether the result is an error for the model.
    #[serde(deserialize_with = "flag")]
    is_error: bool,
    /// The duration in milliseconds.
    ms: i64,
}

/// A tag.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
struct Tag {
    /// The name.
    tag: String,
    /// The value.
    value: String,
}

/// A decision of the gateway about an exchange.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
struct Note {
    /// The number in the exchange, from 0.
    n: u32,
    /// The kind: `passed_over`, `dropped` or `rerouted`.
    kind: String,
    /// The number of earlier attempts.
    attempts: u32,
    /// The target that was passed over, the part that was dropped, or the alias that a budget chose.
    name: String,
    /// The reason for passing a target over: `cooling`, `limit`, `retry_budget`, or the name of a stage.
    detail: Option<String>,
}

impl Story {
    /// Reads the rows of an exchange.
    pub(crate) fn of(told: Told) -> Result<Self, Failure> {
        Ok(Self {
            exchange: exchange(told.exchange)?,
            attempts: queried::rows(told.attempts)?,
            stages: queried::rows(told.stages)?,
            tool_calls: queried::rows(told.tool_calls)?,
            tags: queried::rows(told.tags)?,
            notes: queried::rows(told.notes)?,
        })
    }
}

impl Story {
    /// Removes the id, which is not that of the ledger yet.
    pub(crate) fn unwritten(mut self) -> Self {
        self.exchange.id = None;
        self
    }
}

/// Reads a row of the table of exchanges.
pub(crate) fn exchange(row: Value) -> Result<Exchange, Failure> {
    let mut rows: Vec<Exchange> = queried::rows(vec![row])?;
    rows.pop().ok_or_else(|| Failure::not_found("the exchange is not in the ledger"))
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes fields by reference")]
fn moment<S: Serializer>(at: &i64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&time::of_millis(*at))
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes fields by reference")]
fn money<S: Serializer>(nano: &i64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&dollars(*nano))
}

fn maybe_money<S: Serializer>(nano: &Option<i64>, serializer: S) -> Result<S::Ok, S::Error> {
    nano.map(dollars).serialize(serializer)
}

fn flag<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    Ok(i64::deserialize(deserializer)? != 0)
}
