//! `Settings`: the keys of a plugin's config that are the gateway's own: what it may reach, and how it runs.
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::error::Problem;
use crate::plugin_host::means::Limits;
use crate::plugin_host::pattern::{AliasPattern, HostPattern};
use crate::wire::duration;

/// How many calls of one plugin's tools run at once if nothing is said, and how many of its hooks.
pub(super) const USUAL_CALLS: u32 = 64;
/// How many calls of tools run at once at the most, of all plugins together, and how many of hooks.
pub(super) const MOST_CALLS: u32 = 256;
/// The hard ceiling of one linear memory; `Limits::memory` is the one in force.
pub(super) const MAX_MEMORY: usize = 256 << 20;
/// What model calls of one request may use if nothing is said.
const USUAL_MODEL_TOKENS: u64 = 100_000;
/// A hook holds up its request: what takes longer belongs into a tool.
const LONGEST_HOOK: Duration = Duration::from_secs(30);
/// Below this no toolchain's guest starts.
const LEAST_MEMORY: u64 = 1 << 20;

/// Whether calls share instances.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, serde::Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Instances {
    /// Every call has one of its own: nothing that one call does can spoil the next.
    #[default]
    Fresh,
    /// Calls of one caller key follow each other in one instance, and see what the plugin left there.
    Reuse,
}

/// `plugins.config.<name>`: these keys are the gateway's, all others the plugin's own.
#[derive(Debug, Clone, Default, JsonSchema)]
#[expect(
    dead_code,
    reason = "it is what the schema shows: `Settings::take` reads the keys one by one"
)]
pub struct PluginConfig {
    /// Hosts that `fetch` may reach: `example.com`, `*.example.com` for subdomains, `*`; with a port
    /// (`example.com:8080`, `*:*`) for others than 80 and 443.
    allow_hosts: Option<Vec<String>>,
    /// Aliases that `model-call` may ask, with `*` as wildcard.
    allow_models: Option<Vec<String>>,
    /// Tokens, input and output, that the model calls of one request may use; 100000 if left out.
    max_model_tokens: Option<u64>,
    /// Bytes of the plugin's own store, keys counted.
    max_kv_bytes: Option<u64>,
    /// Whether it may keep files under addresses of the gateway.
    publish: Option<bool>,
    /// `fresh` (an instance for each call) or `reuse` (calls of one key share one).
    instances: Option<Instances>,
    /// How many calls of its tools run at once, and as many of its hooks beside them, 1 to 256; 64 if
    /// left out. Further ones wait.
    max_concurrent_calls: Option<u32>,
    /// How long a call of one of its tools may take, such as `30s`.
    deadline: Option<String>,
    /// How long one of its hooks may take, `30s` at the most; `50ms` if left out. One that fetches or asks
    /// a model needs more.
    hook_deadline: Option<String>,
    /// Bytes of memory that one call may have in all, at most 256 MiB.
    memory: Option<u64>,
}

/// Every key of the gateway's own.
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

/// What the operator wrote for one plugin.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    pub(super) hosts: Vec<HostPattern>,
    pub(super) models: Vec<AliasPattern>,
    pub(super) model_tokens: u64,
    pub(super) kv_bytes: u64,
    pub(super) publish: bool,
    pub(super) instances: Instances,
    pub(super) calls: u32,
    /// How long a tool may take.
    pub(super) deadline: Duration,
    /// How long a hook may take.
    pub(super) hook_deadline: Duration,
    /// Bytes of memory that one call may have.
    pub(super) memory: usize,
}

impl Settings {
    /// Takes the gateway's keys out of a config; what is left is the plugin's. `usual` stands for the
    /// limits that the config leaves out.
    ///
    /// Fails with everything that is wrong, each with its path.
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

/// How many calls of a plugin's tools run at once, and of its hooks, as far as its config can be read.
pub(super) fn calls_of(config: Option<&Value>) -> u32 {
    let calls = config.and_then(|config| config.get("max_concurrent_calls"));
    let calls = calls.and_then(Value::as_u64).and_then(|calls| u32::try_from(calls).ok());
    calls.unwrap_or(USUAL_CALLS)
}

/// Where the config of a plugin stands.
pub(super) fn place(file: &str) -> String {
    format!("plugins.config.{file}")
}

struct Taker {
    place: String,
    members: Map<String, Value>,
    problems: Vec<Problem>,
}

impl Taker {
    /// The value of a key, which is no longer there then.
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
                self.wrong(key, "nothing is done in no time: give at least `1ms`");
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

/// Never the value itself: it may be a secret in a wrong place.
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
