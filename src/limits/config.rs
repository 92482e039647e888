//! The config of `limits:`.
use std::fmt;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::auth::WhenConfig;
use crate::auth::allowance::{OwnLimit, Rate};
use crate::error::Secret;
use crate::telemetry::limits::Mode;
use crate::wire::duration;

/// `limits:`, the most that clients may use per time.
#[derive(Debug, Clone, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The place of the counters: `memory` (this process), or `redis://…` for several gateways that share them.
    #[schemars(with = "String")]
    pub store: StoreUrl,
    /// The counting while the shared store does not answer: `local` (each gateway counts its own requests), `open` (no
    /// limit applies), `closed` (requests with a limit get a 503).
    pub away: Away,
    /// The rules. A request must be within all that apply to it.
    pub rules: Vec<RuleConfig>,
}

/// A place for counters.
#[derive(Clone, Default, PartialEq, Eq)]
pub enum StoreUrl {
    /// This process.
    #[default]
    Memory,
    /// Redis or Valkey. The URL may have a password.
    Redis(Secret),
}

/// The counting while the shared store does not answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Away {
    /// Each gateway applies the full limits to its own requests.
    #[default]
    Local,
    /// No limit applies.
    Open,
    /// Requests with a limit are rejected.
    Closed,
}

impl Away {
    /// Returns the mode of a gateway whose store does not answer.
    pub(super) fn mode(self) -> Mode {
        match self {
            Self::Local => Mode::Local,
            Self::Open => Mode::Open,
            Self::Closed => Mode::Closed,
        }
    }
}

impl fmt::Debug for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory => f.write_str("memory"),
            Self::Redis(_) => f.write_str("redis://***"),
        }
    }
}

impl Serialize for StoreUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{self:?}"))
    }
}

impl<'de> Deserialize<'de> for StoreUrl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let schemes = ["redis://", "rediss://", "valkey://", "valkeys://"];
        match text.as_str() {
            "memory" => Ok(Self::Memory),
            url if schemes.iter().any(|scheme| url.starts_with(scheme)) => {
                // the crate knows the schemes of Redis only
                let url = match url.strip_prefix("valkey") {
                    Some(rest) => format!("redis{rest}"),
                    None => text,
                };
                Ok(Self::Redis(Secret::new(url)))
            }
            // the text may be a URL with a password, so it is not repeated
            _ => Err(de::Error::custom("expected `memory` or `redis://HOST:PORT`")),
        }
    }
}

/// An entry of `limits.rules`, with at least one limit.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RuleConfig {
    /// The owner of each counter: `key`, `model` (the alias), `target`, or `tag:NAME` for a tag of the key.
    #[schemars(with = "String")]
    pub per: Per,
    /// The requests that the rule applies to; all if absent. `model` is the model that the request is sent to.
    #[serde(default)]
    pub when: WhenConfig,
    /// Requests, as a number and a time: `60/1m`.
    #[schemars(with = "Option<String>")]
    pub requests: Option<Rate>,
    /// Tokens without reads from the cache: uncached input, cache writes and output.
    #[schemars(with = "Option<String>")]
    pub tokens: Option<Rate>,
    /// Input tokens without reads from the cache: uncached input and cache writes.
    #[schemars(with = "Option<String>")]
    pub input_tokens: Option<Rate>,
    /// Output tokens.
    #[schemars(with = "Option<String>")]
    pub output_tokens: Option<Rate>,
    /// Requests at the same time, streams to their end.
    pub concurrent: Option<u64>,
    /// The longest time for which a request waits for the limit instead of being rejected, such as `10s`.
    #[serde(default, with = "duration::optional")]
    #[schemars(with = "Option<String>")]
    pub wait: Option<Duration>,
}

impl RuleConfig {
    /// Returns the rule of a key's own limit.
    pub(super) fn own(limit: &OwnLimit) -> Self {
        let OwnLimit { when, requests, tokens, input_tokens, output_tokens, concurrent, wait } =
            limit.clone();
        let per = Per::Own;
        Self { per, when, requests, tokens, input_tokens, output_tokens, concurrent, wait }
    }
}

/// The owner of a counter.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub enum Per {
    /// The client's key.
    Key,
    /// The client's key, by a rule of the key itself. No entry of `rules` names it.
    Own,
    /// The alias.
    Model,
    /// The target: a provider and its model.
    Target,
    /// The value of a tag of the client's key.
    Tag(String),
}

impl TryFrom<String> for Per {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.as_str() {
            "key" => Ok(Self::Key),
            "model" => Ok(Self::Model),
            "target" => Ok(Self::Target),
            other => match other.strip_prefix("tag:") {
                Some(tag) if !tag.is_empty() => Ok(Self::Tag(tag.to_owned())),
                _ => Err(format!(
                    "expected `key`, `model`, `target` or `tag:` and a tag's name, found `{other}`"
                )),
            },
        }
    }
}

impl fmt::Display for Per {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key => f.write_str("key"),
            Self::Own => f.write_str("own"),
            Self::Model => f.write_str("model"),
            Self::Target => f.write_str("target"),
            Self::Tag(tag) => write!(f, "tag:{tag}"),
        }
    }
}

impl From<Per> for String {
    fn from(per: Per) -> Self {
        per.to_string()
    }
}
