//! `Manifest`: what a plugin says of itself, to whoever loads it and, as a section of its file, to whoever looks.
use serde_json::Value;
use tidegate_builder::section;

/// The custom section of a component that holds its manifest: the JSON text that `describe` gives.
pub const SECTION: &str = section::MANIFEST;

/// Among the hooks: `on-upstream-request`, where the target does not understand all of a request.
pub(super) const ON_UNSUPPORTED: &str = "on-unsupported";

/// What a plugin says of itself.
#[derive(Debug, Clone, PartialEq, serde::Deserialize)]
pub struct Manifest {
    /// Its name, for messages and logs.
    pub name: String,
    /// Its own version.
    #[serde(default)]
    pub version: String,
    /// The hooks that it has: `on-request`, `on-upstream-request`, `on-response`.
    #[serde(default)]
    pub hooks: Vec<String>,
    /// Its server tools.
    #[serde(default)]
    pub tools: Vec<ToolManifest>,
    /// What it needs of the host: the operator grants it, or not.
    #[serde(default)]
    pub wants: Wants,
    /// A JSON Schema of its config, without the keys that are the gateway's own.
    #[serde(default)]
    pub config_schema: Option<Value>,
}

/// A server tool, as the upstream gets to see it.
#[derive(Debug, Clone, PartialEq, serde::Deserialize)]
pub struct ToolManifest {
    /// What callers declare as `gateway:<name>`.
    pub name: String,
    /// For the model.
    pub description: String,
    /// A JSON Schema of type `object`.
    pub input_schema: Value,
    /// The same for the options of a declaration; without one they are checked at the call only.
    #[serde(default)]
    pub options_schema: Option<Value>,
}

/// What a plugin needs of the host.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(default)]
pub struct Wants {
    /// Host names, `*` as wildcard.
    pub hosts: Vec<String>,
    /// Aliases, `*` as wildcard.
    pub models: Vec<String>,
    /// The size of its own store in bytes, keys counted.
    pub kv_bytes: u64,
    /// It keeps files under addresses of the gateway.
    pub publish: bool,
}

impl Manifest {
    /// The first part in which what the plugin says under some config differs.
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

/// The manifest of a component, read without running it; none if it has no such section.
///
/// Fails if the section holds no manifest.
pub fn manifest_of(wasm: &[u8]) -> Result<Option<Manifest>, serde_json::Error> {
    section::read(wasm, SECTION).map(serde_json::from_slice).transpose()
}
