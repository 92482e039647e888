//! State that outlives generations: connections, compiled plugins, health, metrics.
use std::path::PathBuf;
use std::sync::Arc;

use crate::auth::jwt::Issuers;
use crate::error::Problem;
use crate::ledger::Ledger;
use crate::ledger::keys::KeyStore;
use crate::limits::Counters;
use crate::models::HealthBook;
use crate::net::client::Client;
use crate::net::egress;
use crate::net::egress::memory::Memory;
use crate::plugin_host::PluginHost;
use crate::plugin_host::published::Published;
use crate::server_tools::hidden::Carried;
use crate::telemetry::events::Events;
use crate::telemetry::intake::Intake;
use crate::telemetry::live::LiveExchanges;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::otlp::Otlp;
use crate::telemetry::prompts::Prompts;
use crate::telemetry::recordings::Recordings;

/// The shared state; created once at the start.
pub struct Shared {
    /// Connections to upstreams.
    pub client: Client,
    /// The client for plugins' requests.
    pub egress: Arc<egress::Client>,
    /// The memory for the images and documents that requests name by URL.
    pub media: Memory,
    /// The wasm engine and its compiled plugins.
    pub plugins: Arc<PluginHost>,
    /// Files that plugins published.
    pub published: Published,
    /// The health of the targets.
    pub health: HealthBook,
    /// Hidden tool calls, kept until the client continues the conversation.
    pub carried: Carried,
    /// The last prompts of each session as hashes.
    pub prompts: Arc<Prompts>,
    /// The entrance of the ledger; takes nothing unless the gateway serves.
    pub ledger: Ledger,
    /// The export of traces; takes nothing unless the gateway serves.
    pub(crate) otlp: Otlp,
    /// The way of clients' telemetry; drops it unless the gateway serves, and the config names a collector.
    pub(crate) intake: Intake,
    /// The entrance for events; takes nothing unless the gateway serves, and the config has sinks.
    pub(crate) events: Events,
    /// The key store, if the gateway serves and the config has one.
    pub(crate) keys: Option<KeyStore>,
    /// The issuers of tokens.
    pub(crate) issuers: Issuers,
    /// The counters of limits and budgets.
    pub(crate) limits: Counters,
    /// The exchanges in progress, for viewers.
    pub(crate) exchanges: Arc<LiveExchanges>,
    /// The last exchanges with their bodies, if the config wants them.
    pub(crate) recordings: Arc<Recordings>,
    /// The metrics of `/metrics`.
    pub metrics: Metrics,
}

impl Shared {
    /// Creates the state for this number of worker threads; `cache_dir` keeps compiled plugins between runs.
    ///
    /// Fails if wasm cannot be set up on this machine.
    pub fn new(workers: usize, cache_dir: Option<PathBuf>) -> Result<Self, Vec<Problem>> {
        let metrics = Metrics::new();
        Ok(Self {
            client: Client::new(workers),
            egress: Arc::new(egress::Client::new()),
            media: Memory::default(),
            plugins: plugin_host(cache_dir).map_err(|problem| vec![problem])?,
            published: Published::new(metrics.losses.published_files.clone()),
            health: HealthBook::default(),
            carried: Carried::new(metrics.losses.hidden_calls.clone()),
            prompts: Arc::default(),
            ledger: Ledger::default(),
            otlp: Otlp::default(),
            intake: Intake::default(),
            events: Events::default(),
            keys: None,
            issuers: Issuers::default(),
            limits: Counters::default(),
            exchanges: Arc::default(),
            recordings: Arc::default(),
            metrics,
        })
    }
}

/// Creates the plugin host. Without a writable folder (a read-only container) it only starts slower.
fn plugin_host(cache_dir: Option<PathBuf>) -> Result<Arc<PluginHost>, Problem> {
    PluginHost::new(cache_dir).or_else(|problem| {
        tracing::warn!(problem = %problem, "plugin cache unavailable: plugins will be recompiled at every start");
        PluginHost::new(None)
    })
}
