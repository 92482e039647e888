//! `tidegate.yaml`: read to a tree, expanded, then turned into each part's own config.
mod check;
mod draft;
pub mod expand;
pub mod listeners;
mod load;
mod read;
mod schema;
mod tree;
pub mod wording;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::auth::keys;
use crate::config::listeners::{AdminConfig, ServerConfig};
use crate::models;
use crate::net::egress;
use crate::policy::{PluginsConfig, PoliciesConfig, StageConfig};
use crate::providers::registry;
use crate::telemetry::LogConfig;

pub use load::Partly;
pub use schema::schema;

/// Everything that the user said. It holds together: names that it uses exist, values are in
/// bounds. Whether policies compile and providers can be built is seen later, in the gateway.
#[derive(Debug, Clone, JsonSchema)]
pub struct Config {
    /// Where callers connect.
    #[schemars(with = "String", default = "default_listen")]
    pub listen: SocketAddr,
    /// The admin listener: metrics, health; none if absent.
    pub admin: Option<AdminConfig>,
    /// Bounds on callers.
    #[schemars(default)]
    pub server: ServerConfig,
    /// The upstreams, by the name that models call them.
    pub providers: BTreeMap<String, registry::Config>,
    /// Alias → targets, in the order of the file.
    #[schemars(with = "BTreeMap<String, models::Config>")]
    pub models: Vec<(String, models::Config)>,
    /// The callers' keys; none at all: open, which only a loopback address may be.
    #[schemars(default)]
    pub keys: Vec<keys::Config>,
    /// The provider that serves the `/v1/*` routes that the gateway does not know; none: 404.
    pub passthrough: Option<String>,
    /// Where the policies are.
    #[schemars(default)]
    pub policies: PoliciesConfig,
    /// Where the plugins are, and what they read as their config.
    #[schemars(default)]
    pub plugins: PluginsConfig,
    /// What plugins may reach.
    #[schemars(default)]
    pub egress: egress::Config,
    /// The stages in their order; if absent, every policy of the folder in name order.
    pub pipeline: Option<Vec<StageConfig>>,
    /// Bounds on the server tools of one request.
    #[schemars(default)]
    pub tools: ToolsConfig,
    /// How long streams may take to finish after `SIGTERM`.
    #[schemars(with = "String", default = "default_drain_text")]
    pub drain: Duration,
    /// Logs, on standard error.
    #[schemars(default)]
    pub log: LogConfig,
    /// The folder of the file. The paths above have it in front already, except those of providers.
    #[schemars(skip)]
    pub base_dir: PathBuf,
    /// The file itself, every file named by `${file:…}`, TLS files: what a reload watches.
    #[schemars(skip)]
    pub files: Vec<PathBuf>,
}

/// `tools:`, bounds on the server tools of one request.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ToolsConfig {
    /// How often the model may be asked; then the turn pauses.
    pub max_turns: u32,
    /// How many calls all turns together may make.
    pub max_calls: u32,
    /// How long all of it may take.
    #[serde(with = "crate::wire::duration")]
    #[schemars(with = "String")]
    pub timeout: Duration,
}

impl Default for ToolsConfig {
    fn default() -> Self {
        Self { max_turns: 10, max_calls: 30, timeout: Duration::from_secs(5 * 60) }
    }
}

#[derive(Deserialize, Serialize)]
#[serde(transparent)]
struct Span(#[serde(with = "crate::wire::duration")] Duration);

fn default_listen() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 4000).into()
}

fn default_drain_text() -> Span {
    Span(Duration::from_secs(30))
}

#[cfg(test)]
mod tests;
