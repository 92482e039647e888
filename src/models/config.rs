//! `models:`: the config of an alias, in its short and its long form.
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::providers::Timeouts;

/// An entry of `models:`. Either the short form (one target, named beside the alias) or `targets`.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Short form: the one provider.
    pub provider: Option<String>,
    /// Short form: the upstream's model; the name that the caller asked for if absent.
    pub model: Option<String>,
    /// Short form: what of the Messages API the target does not understand.
    #[serde(default)]
    pub unsupported: Vec<String>,
    /// The targets, in order of preference.
    #[serde(default)]
    pub targets: Vec<TargetConfig>,
    /// How a target is chosen.
    #[serde(default)]
    pub strategy: Strategy,
    /// Who runs the API's own server tools (`web_search_…`, `web_fetch_…`).
    #[serde(default)]
    pub server_tools: ServerTools,
    /// What becomes of a parameter that a target does not understand, where the plugin `strictness`
    /// is a stage and the request does not say.
    #[serde(default)]
    pub strictness: Strictness,
    /// Tries of the same target.
    #[serde(default)]
    pub retry: RetryConfig,
    /// How long an attempt may take.
    #[serde(default)]
    pub timeouts: TimeoutsConfig,
    /// How long a target that fails is left alone, unless it says so itself (`retry-after`).
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
    /// The upstream's model; the name that the caller asked for if absent.
    pub model: Option<String>,
    /// The share of sessions under `strategy: weighted`; 1 if absent.
    #[serde(default = "default_weight")]
    pub weight: u32,
    /// What of the Messages API it does not understand: fields of a request (`top_k`), content
    /// blocks (`block:image`), tools by type, `*` as wildcard (`tool:web_search_*`).
    #[serde(default)]
    pub unsupported: Vec<String>,
}

/// What becomes of a parameter that a target does not understand.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Strictness {
    /// It is sent as it is, or dropped without a word where it cannot be.
    Off,
    /// Targets that understand more come first; what is dropped is named.
    #[default]
    Warn,
    /// Such a target is passed over.
    Error,
}

impl Strictness {
    /// As the config and requests spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }
}

/// How the first target is chosen; failover to the others follows in any case.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Strategy {
    /// The first healthy one in the order of the list.
    #[default]
    Failover,
    /// By weight, the same session always to the same target while it is healthy.
    Weighted,
}

/// Who runs the API's own server tools that a caller declares.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ServerTools {
    /// The upstream if every target of the request has them, else the gateway's plugins.
    #[default]
    Auto,
    /// The upstream: declarations pass as they are.
    Native,
    /// The gateway's plugins; a declaration that no plugin can keep to is refused.
    Gateway,
}

/// Tries of the same target before failover.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RetryConfig {
    /// Further tries of the same target; clients make their own.
    pub attempts: u32,
    /// The wait before the first further try, less some jitter; it doubles with each.
    #[serde(with = "crate::wire::duration")]
    #[schemars(with = "String")]
    pub backoff: Duration,
    /// The longest wait; a target that asks for more (`retry-after`) is not tried again.
    #[serde(with = "crate::wire::duration")]
    #[schemars(with = "String")]
    pub max_backoff: Duration,
    /// The upstream statuses that another try, or another target, may mend.
    pub on: Vec<u16>,
}

/// How long one attempt may take.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TimeoutsConfig {
    /// Until the connection stands.
    #[serde(with = "crate::wire::duration")]
    #[schemars(with = "String")]
    pub connect: Duration,
    /// Until the first event of a stream.
    #[serde(with = "crate::wire::duration")]
    #[schemars(with = "String")]
    pub first_event: Duration,
    /// Between two events.
    #[serde(with = "crate::wire::duration")]
    #[schemars(with = "String")]
    pub idle: Duration,
    /// The whole attempt; without a stream, the only bound on the answer.
    #[serde(with = "crate::wire::duration")]
    #[schemars(with = "String")]
    pub total: Duration,
}

impl TimeoutsConfig {
    /// The keys of those that leave no time at all.
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
    /// The targets with the paths under which the config names them, whichever form it has.
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
