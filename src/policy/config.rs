//! The config of `policies:`, `plugins:` and the entries of `pipeline:`.
use std::time::Duration;

use crate::auth::WhenConfig;
use crate::plugin_host::{FilesConfig, PluginConfig};
use crate::policy::script::Limits;

/// The reaction to a failing stage (error, trap or deadline). The host decides, never the stage.
#[derive(
    Debug,
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    serde::Deserialize,
    serde::Serialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum OnError {
    /// Fail closed: the caller gets a 500 that names the stage.
    #[default]
    Deny,
    /// Continue without the stage, undo its edits, and report the failure.
    Skip,
}

/// `policies:`.
#[derive(Debug, Clone, serde::Deserialize, serde::Serialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PoliciesConfig {
    /// The folder of the policies: every `*.rhai` directly in it. Relative to the config file.
    pub dir: std::path::PathBuf,
    /// Whether the config names the folder. The default folder may be absent, a named one may not.
    #[serde(skip)]
    pub is_dir_named: bool,
    /// The time of one call of a hook. It is wall-clock time: a busy machine needs reserves.
    #[serde(with = "crate::wire::duration")]
    #[schemars(with = "String")]
    pub time_limit: Duration,
    /// The time that is added to `time_limit` for each MiB of the request, message or text.
    #[serde(with = "crate::wire::duration")]
    #[schemars(with = "String")]
    pub time_limit_per_mib: Duration,
    /// The silence of a streamed answer after which buffered text passes through `on_text` and is sent,
    /// although its window has not ended.
    #[serde(with = "crate::wire::duration")]
    #[schemars(with = "String")]
    pub text_timeout: Duration,
}

/// `plugins:`.
#[derive(Debug, Clone, serde::Deserialize, serde::Serialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PluginsConfig {
    /// The folder of the plugins: every `*.wasm` directly in it. Relative to the config file.
    pub dir: std::path::PathBuf,
    /// Whether the config names the folder. The default folder may be absent, a named one may not.
    #[serde(skip)]
    pub is_dir_named: bool,
    /// Per plugin name: its permissions, how it runs, and its own config.
    #[schemars(with = "std::collections::BTreeMap<String, PluginConfig>")]
    pub config: std::collections::BTreeMap<String, serde_json::Value>,
    /// How the gateway keeps files that plugins publish.
    pub files: FilesConfig,
}

/// An entry of `pipeline:`, with exactly one of `policy` and `plugin`.
#[derive(Debug, Clone, serde::Deserialize, serde::Serialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StageConfig {
    /// The name of a policy: its file name without `.rhai`.
    pub policy: Option<String>,
    /// The name of a plugin: its file name without `.wasm`.
    pub plugin: Option<String>,
    /// The stage's own parameters: `ctx.with`.
    #[serde(default)]
    pub with: serde_json::Map<String, serde_json::Value>,
    /// The time of one call of a hook of this policy, instead of `policies.time_limit`.
    #[serde(default, with = "crate::wire::duration::optional")]
    #[schemars(with = "Option<String>")]
    pub time_limit: Option<Duration>,
    /// The time that is added for each MiB, instead of `policies.time_limit_per_mib`.
    #[serde(default, with = "crate::wire::duration::optional")]
    #[schemars(with = "Option<String>")]
    pub time_limit_per_mib: Option<Duration>,
    /// The requests that the stage runs for; all if absent.
    #[serde(default)]
    pub when: WhenConfig,
    /// The reaction if the stage fails.
    #[serde(default)]
    pub on_error: OnError,
}

/// The requests that a stage runs for, and the reaction if it fails.
#[derive(Default, Clone)]
pub(super) struct StageRules {
    pub(super) when: WhenConfig,
    pub(super) on_error: OnError,
}

impl Default for PoliciesConfig {
    fn default() -> Self {
        let Limits { time, time_per_mib, .. } = Limits::default();
        Self {
            dir: "policies".into(),
            is_dir_named: false,
            time_limit: time,
            time_limit_per_mib: time_per_mib,
            text_timeout: Duration::from_secs(10),
        }
    }
}

impl Default for PluginsConfig {
    fn default() -> Self {
        Self {
            dir: "plugins".into(),
            is_dir_named: false,
            config: std::collections::BTreeMap::new(),
            files: FilesConfig::default(),
        }
    }
}
