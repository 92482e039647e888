//! `tidegate.yaml`: parsed to a tree, expanded, then read into each part's config.
mod check;
mod draft;
pub mod expand;
pub mod listeners;
mod load;
mod models_file;
mod read;
mod schema;
mod tree;
mod warnings;
pub mod wording;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::auth::jwt::config::JwtConfig;
use crate::auth::keys;
use crate::auth::stored::KeyStoreConfig;
use crate::catalogue::Catalogue;
use crate::config::listeners::{AdminConfig, DrainConfig, ServerConfig};
use crate::ledger::config::LedgerConfig;
use crate::limits;
use crate::models;
use crate::net::egress;
use crate::policy::{PluginsConfig, PoliciesConfig, StageConfig};
use crate::providers::registry;
use crate::telemetry::LogConfig;
use crate::telemetry::events::config::SinkConfig;
use crate::telemetry::otlp::config::OtlpConfig;

pub use load::Partly;
pub use schema::schema;

/// The whole config after its checks: names that it uses exist, and values are in bounds. The gateway
/// checks later whether policies compile and providers can be built.
#[derive(Debug, Clone, JsonSchema)]
pub struct Config {
    /// The address that clients connect to.
    #[schemars(with = "String", default = "default_listen")]
    pub listen: SocketAddr,
    /// The admin listener for metrics and health; none if absent.
    pub admin: Option<AdminConfig>,
    /// The limits for clients.
    #[schemars(default)]
    pub server: ServerConfig,
    /// The upstreams by name; `models` refers to these names.
    pub providers: BTreeMap<String, registry::Config>,
    /// Alias → targets, in the order of the file.
    #[schemars(with = "BTreeMap<String, models::Config>")]
    pub models: Vec<(String, models::Config)>,
    /// The operator's file of models, which extends and overrides the bundled table of limits, capabilities and prices.
    pub models_file: Option<PathBuf>,
    /// The operator's file of prices, in the same form. It is read after `models_file` and overrides it.
    pub prices_file: Option<PathBuf>,
    /// The clients' keys. Without keys the gateway is open, which is allowed on a loopback address only.
    #[schemars(default)]
    pub keys: Vec<keys::Config>,
    /// The issuers whose tokens (JWT) count instead of a key.
    #[schemars(default)]
    pub jwt: Vec<JwtConfig>,
    /// The keys that are made through the admin API.
    #[schemars(default)]
    pub key_store: KeyStoreConfig,
    /// The provider for `/v1/*` routes that the gateway does not know; if absent, they get a 404.
    pub passthrough: Option<String>,
    /// The folder of the policies.
    #[schemars(default)]
    pub policies: PoliciesConfig,
    /// The folder of the plugins, and their config.
    #[schemars(default)]
    pub plugins: PluginsConfig,
    /// The network access of plugins and of URLs in requests.
    #[schemars(default)]
    pub egress: egress::Config,
    /// The stages in order; if absent, every policy of the folder in the order of names, then every plugin with hooks.
    pub pipeline: Option<Vec<StageConfig>>,
    /// The limits of the server tools in one request.
    #[schemars(default)]
    pub tools: ToolsConfig,
    /// The most that clients may use per time.
    #[schemars(default)]
    pub limits: limits::config::Config,
    /// The most money that clients may spend in calendar periods.
    #[schemars(default)]
    pub budgets: limits::budget::Config,
    /// The steps after `SIGTERM`.
    #[schemars(default)]
    pub drain: DrainConfig,
    /// The folder of the gateway's own state: compiled plugins and the ledger.
    #[schemars(default = "default_state_dir")]
    pub state_dir: PathBuf,
    /// The ledger: a row for every exchange.
    #[schemars(default)]
    pub ledger: LedgerConfig,
    /// The export of traces.
    #[schemars(default)]
    pub otlp: OtlpConfig,
    /// The places that events are sent to, by name.
    #[schemars(with = "BTreeMap<String, SinkConfig>", default)]
    pub sinks: Vec<(String, SinkConfig)>,
    /// The log on standard error.
    #[schemars(default)]
    pub log: LogConfig,
    /// The table of models.
    #[schemars(skip)]
    pub catalogue: Arc<Catalogue>,
    /// The folder of the file. The other paths already start with it, except those of providers.
    #[schemars(skip)]
    pub base_dir: PathBuf,
    /// The files that a reload watches: the file itself, every `${file:…}`, TLS files, `models_file`.
    #[schemars(skip)]
    pub files: Vec<PathBuf>,
}

impl Config {
    /// Returns whether every client has its key in `keys`.
    pub(crate) fn has_only_own_keys(&self) -> bool {
        self.jwt.is_empty() && !self.key_store.is_on()
    }

    /// Returns whether a key of the config, or an issuer, has limits or budgets of its own.
    pub(crate) fn has_own_limits(&self) -> bool {
        let keys = self.keys.iter().map(|key| (&key.limits, &key.budget));
        let issuers = self.jwt.iter().map(|issuer| (&issuer.limits, &issuer.budget));
        keys.chain(issuers).any(|(limits, budget)| !limits.is_empty() || !budget.is_empty())
    }
}

/// `tools:`, the limits of the server tools in one request.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ToolsConfig {
    /// The most calls of the model; after the last one the turn pauses.
    pub max_turns: u32,
    /// The most tool calls in all turns together.
    pub max_calls: u32,
    /// The time limit of all turns and calls together.
    #[serde(with = "crate::wire::duration")]
    #[schemars(with = "String")]
    pub timeout: Duration,
}

impl Default for ToolsConfig {
    fn default() -> Self {
        Self { max_turns: 10, max_calls: 30, timeout: Duration::from_secs(5 * 60) }
    }
}

fn default_listen() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 4000).into()
}

fn default_state_dir() -> PathBuf {
    ".tidegate".into()
}

#[cfg(test)]
mod tests;
