//! `models:`: the config of an alias, in its short and its long form.
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::providers::Timeouts;

/// An entry of `models:`. Either the short form (one target, named in the entry itself) or `targets`.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Short form: the one provider.
    pub provider: Option<String>,
    /// Short form: the upstream's model; if absent, the model that the client requested.
    pub model: Option<String>,
    /// Short form: the parts of the Messages API that the target does not support.
    #[serde(default)]
    pub unsupported: Vec<String>,
    /// The targets, in order of preference.
    #[serde(default)]
    pub targets: Vec<TargetConfig>,
    /// The choice of the first target.
    #[serde(default)]
    pub strategy: Strategy,
    /// The order of the targets by what they cost or how fast they are, instead of the order of the list.
    pub sort: Option<Sort>,
    /// The side that runs the API's own server tools (`web_search_…`, `web_fetch_…`).
    #[serde(default)]
    pub server_tools: ServerTools,
    /// The treatment of a parameter that a target does not support, if the plugin `strictness` is a stage
    /// and the request does not decide it.
    #[serde(default)]
    pub strictness: Strictness,
    /// The retries of the same target.
    #[serde(default)]
    pub retry: RetryConfig,
    /// The time limits of an attempt.
    #[serde(default)]
    pub timeouts: TimeoutsConfig,
    /// The cooldown of a failed target, unless its response names a wait (`retry-after`).
    #[serde(default = "default_cooldown", with = "crate::wire::duration")]
    #[schemars(with = "String")]
    pub cooldown: Duration,
}

/// One target of an alias.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TargetConfig {
    /// A name under `providers:`.
    pub provider: String,
    /// The upstream's model; if absent, the model that the client requested.
    pub model: Option<String>,
    /// The share of sessions under `strategy: weighted`; 1 if absent.
    #[serde(default = "default_weight")]
    pub weight: u32,
    /// The parts of the Messages API that the target does not support: fields of a request (`top_k`),
    /// content blocks (`block:image`), tools by type, `*` as wildcard (`tool:web_search_*`).
    #[serde(default)]
    pub unsupported: Vec<String>,
}

/// The treatment of a parameter that a target does not support.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Strictness {
    /// The parameter is sent unchanged, or dropped without notice if it cannot be sent.
    Off,
    /// Targets that support more are tried first; dropped parameters are named in the response.
    #[default]
    Warn,
    /// The target is passed over.
    Error,
}

impl Strictness {
    /// Returns the name in the config and in requests.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }
}

/// The choice of the first target; failover to the others follows in any case.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Strategy {
    /// The first healthy target in the order of the list.
    #[default]
    Failover,
    /// By weight; a session always gets the same target while it is healthy.
    Weighted,
}

/// An order of targets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Sort {
    /// The lowest price of the request first; targets without a price in the table of models last.
    Cost,
    /// The shortest time to the first content of a stream first, as the gateway measured it.
    Latency,
    /// The most output tokens for each second first, as the gateway measured it.
    Throughput,
}

/// The side that runs the API's own server tools that a client declares.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ServerTools {
    /// The upstream if every target of the request supports them, else the gateway's plugins.
    #[default]
    Auto,
    /// The upstream; declarations are sent unchanged.
    Native,
    /// The gateway's plugins; a declaration that no plugin supports is rejected.
    Gateway,
}

/// Retries of the same target before failover.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RetryConfig {
    /// The number of retries of the same target; clients retry on their own.
    pub attempts: u32,
    /// The wait before the first retry, reduced by jitter; it doubles with each retry.
    #[serde(with = "crate::wire::duration")]
    #[schemars(with = "String")]
    pub backoff: Duration,
    /// The longest wait; if a target asks for more (`retry-after`), the gateway fails over.
    #[serde(with = "crate::wire::duration")]
    #[schemars(with = "String")]
    pub max_backoff: Duration,
    /// The upstream statuses that are retried, or failed over.
    pub on: Vec<u16>,
}

/// The time limits of one attempt.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TimeoutsConfig {
    /// The time to open a connection.
    #[serde(with = "crate::wire::duration")]
    #[schemars(with = "String")]
    pub connect: Duration,
    /// The time to the first event of a stream.
    #[serde(with = "crate::wire::duration")]
    #[schemars(with = "String")]
    pub first_event: Duration,
    /// The time between two events.
    #[serde(with = "crate::wire::duration")]
    #[schemars(with = "String")]
    pub idle: Duration,
    /// The time of the whole attempt; without a stream, the only limit for the response.
    #[serde(with = "crate::wire::duration")]
    #[schemars(with = "String")]
    pub total: Duration,
}

impl TimeoutsConfig {
    /// Returns the keys of the time limits that are zero.
    pub fn zeros(&self) -> Vec<&'static str> {
        let all = [
            ("connect", self.connect),
            ("first_event", self.first_event),
            ("idle", self.idle),
            ("total", self.total),
        ];
        all.into_iter().filter(|(_, time)| time.is_zero()).map(|(key, _)| key).collect()
    }
}

impl Default for RetryConfig {
    fn default() -> Self {
        Self {
            attempts: 0,
            backoff: Duration::from_millis(250),
            max_backoff: Duration::from_secs(4),
            on: vec![408, 429, 500, 502, 503, 504, 529],
        }
    }
}

impl Default for TimeoutsConfig {
    fn default() -> Self {
        let Timeouts { connect, first_event, idle, total } = Timeouts::default();
        Self { connect, first_event, idle, total }
    }
}

fn default_cooldown() -> Duration {
    Duration::from_secs(10)
}

fn default_weight() -> u32 {
    1
}

impl Config {
    /// Returns the targets of either form, each with its path in the config.
    pub fn all_targets(&self, name: &str) -> Vec<(String, TargetConfig)> {
        let path = format!("models.{name}");
        let short = self.provider.iter().map(|provider| {
            let target = TargetConfig {
                provider: provider.clone(),
                model: self.model.clone(),
                weight: 1,
                unsupported: self.unsupported.clone(),
            };
            (path.clone(), target)
        });
        let long = self.targets.iter().enumerate();
        let long = long.map(|(n, target)| (format!("{path}.targets[{n}]"), target.clone()));
        short.chain(long).collect()
    }
}
