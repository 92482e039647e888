//! `Settings`: the gateway's own keys in a plugin's config: its grants and its limits.
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::error::Problem;
use crate::net::egress::pattern::HostPattern;
use crate::plugin_host::means::Limits;
use crate::plugin_host::pattern::AliasPattern;
use crate::wire::duration;

/// The default number of concurrent tool calls of one plugin, and of its hook calls.
pub(super) const USUAL_CALLS: u32 = 64;
/// The highest number of concurrent tool calls of all plugins together, and of hook calls.
pub(super) const MOST_CALLS: u32 = 256;
/// The upper limit of one linear memory; `Limits::memory` is the limit in force.
pub(super) const MAX_MEMORY: usize = 256 << 20;
/// The default token budget for model calls of one request.
const USUAL_MODEL_TOKENS: u64 = 100_000;
/// The longest time limit of a hook. A hook delays its request, so longer work belongs in a tool.
const LONGEST_HOOK: Duration = Duration::from_secs(30);
/// The smallest memory with which a toolchain's guest starts.
const LEAST_MEMORY: u64 = 1 << 20;

/// Whether calls share instances.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, serde::Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Instances {
    /// Every call has its own instance, so no call can spoil the next.
    #[default]
    Fresh,
    /// Calls of one caller key use the same instance one after the other, and see the state that
    /// the plugin left.
    Reuse,
}

/// `plugins.config.<name>`: the gateway reads these keys, the plugin all others.
#[derive(Debug, Clone, Default, JsonSchema)]
#[expect(
    dead_code,
    reason = "the schema is made of it; `Settings::take` reads the keys one by one"
)]
pub(crate) struct PluginConfig {
    /// The hosts that `fetch` may reach: `example.com`, `*.example.com` for subdomains, `*`. Ports
    /// other than 80 and 443 are named: `example.com:8080`, `*:*`.
    allow_hosts: Option<Vec<String>>,
    /// The aliases that `model-call` may use, with `*` as wildcard.
    allow_models: Option<Vec<String>>,
    /// The input and output tokens that the model calls of one request may use; 100000 if left out.
    max_model_tokens: Option<u64>,
    /// The size of the plugin's own store in bytes, keys included.
    max_kv_bytes: Option<u64>,
    /// Whether the plugin may publish files at addresses of the gateway.
    publish: Option<bool>,
    /// `fresh` (an instance for each call) or `reuse` (calls of one key share one).
    instances: Option<Instances>,
    /// The number of concurrent tool calls, and also of concurrent hook calls, 1 to 256; 64 if left
    /// out. Further calls wait.
    max_concurrent_calls: Option<u32>,
    /// The time limit of a tool call, such as `30s`.
    deadline: Option<String>,
    /// The time limit of a hook call, at most `30s`; `50ms` if left out. A hook that fetches or
    /// calls a model needs more.
    hook_deadline: Option<String>,
    /// The bytes of memory that one call may use in all, at most 256 MiB.
    memory: Option<u64>,
}

/// The names of the gateway's own keys.
pub(super) const RESERVED: [&str; 10] = [
    "allow_hosts",
    "allow_models",
    "max_model_tokens",
    "max_kv_bytes",
    "publish",
    "instances",
    "max_concurrent_calls",
    "deadline",
    "hook_deadline",
    "memory",
];

/// The operator's settings for one plugin.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    pub(super) hosts: Vec<HostPattern>,
    pub(super) models: Vec<AliasPattern>,
    pub(super) model_tokens: u64,
    pub(super) kv_bytes: u64,
    pub(super) publish: bool,
    pub(super) instances: Instances,
    pub(super) calls: u32,
    /// The time limit of a tool.
    pub(super) deadline: Duration,
    /// The time limit of a hook.
    pub(super) hook_deadline: Duration,
    /// The bytes of memory that one call may use.
    pub(super) memory: usize,
}

impl Settings {
    /// Takes the gateway's keys out of a config and returns the rest, which is the plugin's.
    /// `usual` holds the limits for missing keys.
    ///
    /// Fails with every problem, each with its path.
    pub(super) fn take(
        file: &str,
        config: Value,
        usual: &Limits,
    ) -> Result<(Self, Map<String, Value>), Vec<Problem>> {
        let place = place(file);
        let members = match config {
            Value::Null => Map::new(),
            Value::Object(members) => members,
            _ => return Err(vec![Problem::new(place, "a mapping of keys and values is needed")]),
        };
        let mut taker = Taker { place, members, problems: Vec::new() };
        let settings = Self {
            hosts: taker.patterns("allow_hosts", HostPattern::parse),
            models: taker.patterns("allow_models", AliasPattern::parse),
            model_tokens: taker
                .whole("max_model_tokens", 1, u64::MAX)
                .unwrap_or(USUAL_MODEL_TOKENS),
            kv_bytes: taker.whole("max_kv_bytes", 0, u64::MAX).unwrap_or(0),
            publish: taker.take("publish", "`true` or `false`").unwrap_or(false),
            instances: taker.take("instances", "`fresh` or `reuse`").unwrap_or_default(),
            calls: taker
                .whole("max_concurrent_calls", 1, u64::from(MOST_CALLS))
                .and_then(|calls| u32::try_from(calls).ok())
                .unwrap_or(USUAL_CALLS),
            deadline: taker.deadline("deadline", None).unwrap_or(usual.tool),
            hook_deadline: taker
                .deadline("hook_deadline", Some(LONGEST_HOOK))
                .unwrap_or(usual.hook),
            memory: taker
                .whole("memory", LEAST_MEMORY, MAX_MEMORY as u64)
                .and_then(|memory| usize::try_from(memory).ok())
                .unwrap_or(usual.memory),
        };
        match taker.problems.is_empty() {
            true => Ok((settings, taker.members)),
            false => Err(taker.problems),
        }
    }
}

/// Returns the number of concurrent tool calls in a plugin's config, which is also that of hook
/// calls. An unreadable number counts as missing.
pub(super) fn calls_of(config: Option<&Value>) -> u32 {
    let calls = config.and_then(|config| config.get("max_concurrent_calls"));
    let calls = calls.and_then(Value::as_u64).and_then(|calls| u32::try_from(calls).ok());
    calls.unwrap_or(USUAL_CALLS)
}

/// Returns the path of a plugin's config.
pub(super) fn place(file: &str) -> String {
    format!("plugins.config.{file}")
}

struct Taker {
    place: String,
    members: Map<String, Value>,
    problems: Vec<Problem>,
}

impl Taker {
    /// Removes a key and returns its value.
    fn take<T: DeserializeOwned>(&mut self, key: &str, needed: &str) -> Option<T> {
        let value = self.members.remove(key).filter(|value| !value.is_null())?;
        let found = kind(&value);
        serde_json::from_value(value)
            .map_err(|_| self.wrong(key, format!("{needed} is needed, found {found}")))
            .ok()
    }

    fn whole(&mut self, key: &str, least: u64, most: u64) -> Option<u64> {
        let value: u64 = self.take(key, "a whole number")?;
        if (least..=most).contains(&value) {
            return Some(value);
        }
        let bounds = match most {
            u64::MAX => format!("at least {least}"),
            _ => format!("{least} to {most}"),
        };
        self.wrong(key, format!("is {value}: give {bounds}"));
        None
    }

    fn patterns<T>(&mut self, key: &str, parse: impl Fn(&str) -> Result<T, String>) -> Vec<T> {
        let texts: Vec<String> = self.take(key, "a list of texts").unwrap_or_default();
        let mut patterns = Vec::new();
        for (n, text) in texts.iter().enumerate() {
            match parse(text) {
                Ok(pattern) => patterns.push(pattern),
                Err(message) => self.wrong(&format!("{key}[{n}]"), message),
            }
        }
        patterns
    }

    fn deadline(&mut self, key: &str, most: Option<Duration>) -> Option<Duration> {
        let text: String = self.take(key, "a duration such as `30s`")?;
        match (duration::parse(&text), most) {
            (Ok(Duration::ZERO), _) => {
                self.wrong(key, "must be at least `1ms`");
            }
            (Ok(deadline), Some(most)) if deadline > most => {
                self.wrong(key, format!("is {deadline:?}: give at most `{most:?}`"));
            }
            (Ok(deadline), _) => return Some(deadline),
            (Err(message), _) => self.wrong(key, message),
        }
        None
    }

    fn wrong(&mut self, key: &str, message: impl Into<String>) {
        self.problems.push(Problem::new(format!("{}.{key}", self.place), message));
    }
}

/// Returns the kind of a value. Errors never quote the value itself: it may be a secret in a wrong
/// place.
fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "a truth value",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a mapping",
    }
}
