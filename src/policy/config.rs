//! `policies:`, `plugins:` and the entries of `pipeline:`, as the config has them.
use crate::plugin_host::{FilesConfig, PluginConfig};

/// What to do when a stage breaks: an error, a trap, a deadline. Always the host's decision.
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
    /// Go on without the stage, its edits undone, and report it.
    Skip,
}

/// `policies:`.
#[derive(Debug, Clone, serde::Deserialize, serde::Serialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PoliciesConfig {
    /// Every `*.rhai` directly in it is a policy; relative to the config file.
    pub dir: std::path::PathBuf,
}

/// `plugins:`.
#[derive(Debug, Clone, serde::Deserialize, serde::Serialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PluginsConfig {
    /// Every `*.wasm` directly in it is a plugin; relative to the config file.
    pub dir: std::path::PathBuf,
    /// What each plugin may reach, how it runs, and what it reads as its config, by plugin name.
    #[schemars(with = "std::collections::BTreeMap<String, PluginConfig>")]
    pub config: std::collections::BTreeMap<String, serde_json::Value>,
    /// What becomes of files that plugins publish.
    pub files: FilesConfig,
}

/// An entry of `pipeline:`; exactly one of `policy` and `plugin`.
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
    /// For which requests it runs; all if absent.
    #[serde(default)]
    pub when: WhenConfig,
    /// What happens when it breaks.
    #[serde(default)]
    pub on_error: OnError,
}

/// Which requests a stage is for, each with `*` as wildcard; what is absent matches.
#[derive(Debug, Clone, Default, serde::Deserialize, serde::Serialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct WhenConfig {
    /// The model that the caller asked for.
    pub model: Option<String>,
    /// The name of the caller's key.
    pub key: Option<String>,
    /// Tags of the key.
    pub tags: std::collections::BTreeMap<String, String>,
}

/// For which requests a stage runs, and what happens when it breaks.
#[derive(Default, Clone)]
pub(super) struct StageRules {
    pub(super) when: WhenConfig,
    pub(super) on_error: OnError,
}

impl Default for PoliciesConfig {
    fn default() -> Self {
        Self { dir: "policies".into() }
    }
}

impl Default for PluginsConfig {
    fn default() -> Self {
        Self {
            dir: "plugins".into(),
            config: std::collections::BTreeMap::new(),
            files: FilesConfig::default(),
        }
    }
}
