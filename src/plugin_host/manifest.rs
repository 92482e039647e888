//! `Manifest`: a plugin's description of itself, from `describe` and from a section of its file.
use serde_json::Value;
use tidegate_builder::section;

/// The custom section of a component that holds its manifest: the JSON text that `describe`
/// returns.
pub(crate) const SECTION: &str = section::MANIFEST;

/// The hook name for `on-upstream-request` that runs only if the target does not support the whole
/// request.
pub(super) const ON_UNSUPPORTED: &str = "on-unsupported";

/// A plugin's description of itself.
#[derive(Debug, Clone, PartialEq, serde::Deserialize)]
pub struct Manifest {
    /// The plugin's name, for messages and logs.
    pub name: String,
    /// The plugin's own version.
    #[serde(default)]
    pub version: String,
    /// The plugin's hooks: `on-request`, `on-upstream-request`, `on-response`.
    #[serde(default)]
    pub hooks: Vec<String>,
    /// The plugin's server tools.
    #[serde(default)]
    pub tools: Vec<ToolManifest>,
    /// The requested capabilities: the operator grants them, or not.
    #[serde(default)]
    pub wants: Wants,
    /// A JSON Schema of the plugin's config, without the gateway's own keys.
    #[serde(default)]
    pub config_schema: Option<Value>,
}

/// A server tool, as the upstream receives it.
#[derive(Debug, Clone, PartialEq, serde::Deserialize)]
pub struct ToolManifest {
    /// The name: callers declare it as `gateway:<name>`.
    pub name: String,
    /// The description, for the model.
    pub description: String,
    /// The JSON Schema of the input, of type `object`.
    pub input_schema: Value,
    /// The JSON Schema of a declaration's options. Without one, the plugin checks them at the call.
    #[serde(default)]
    pub options_schema: Option<Value>,
}

/// The capabilities that a plugin requests from the host.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(default)]
pub struct Wants {
    /// The host names, with `*` as wildcard.
    pub hosts: Vec<String>,
    /// The aliases, with `*` as wildcard.
    pub models: Vec<String>,
    /// The size of the plugin's own store in bytes, keys included.
    pub kv_bytes: u64,
    /// Whether the plugin publishes files at addresses of the gateway.
    pub publish: bool,
}

impl Manifest {
    /// Returns the first part in which another manifest of the same plugin differs.
    pub(super) fn differs_in(&self, other: &Self) -> Option<&'static str> {
        let has_hooks = other.hooks.iter().all(|hook| self.hooks.contains(hook));
        let parts = [
            ("name", self.name == other.name),
            ("version", self.version == other.version),
            ("hooks", has_hooks),
            ("tools", self.tools == other.tools),
            ("wants", self.wants == other.wants),
        ];
        parts.into_iter().find(|(_, is_same)| !is_same).map(|(part, _)| part)
    }
}

/// Returns the manifest of a component without running it; `None` if it has no such section.
///
/// Fails if the section holds no manifest.
pub(crate) fn manifest_of(wasm: &[u8]) -> Result<Option<Manifest>, serde_json::Error> {
    section::read(wasm, SECTION).map(serde_json::from_slice).transpose()
}
