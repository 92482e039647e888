//! What outlives generations: connections, compiled plugins, health, metrics.
use std::path::PathBuf;
use std::sync::Arc;

use crate::error::Problem;
use crate::models::HealthBook;
use crate::net::client::Client;
use crate::net::egress;
use crate::plugin_host::PluginHost;
use crate::plugin_host::published::Published;
use crate::server_tools::hidden::Carried;
use crate::telemetry::metrics::Metrics;

/// Made once at the start.
pub struct Shared {
    /// Connections to upstreams.
    pub client: Client,
    /// The way out for plugins.
    pub egress: Arc<egress::Client>,
    /// The wasm engine and what it has compiled.
    pub plugins: Arc<PluginHost>,
    /// What plugins published.
    pub published: Published,
    /// Which targets are cooling down.
    pub health: HealthBook,
    /// What callers will need and do not hold.
    pub carried: Carried,
    /// What `/metrics` tells.
    pub metrics: Metrics,
}

impl Shared {
    /// For so many worker threads; `cache_dir` keeps compiled plugins between runs.
    ///
    /// Fails if wasm cannot be set up on this machine.
    pub fn new(workers: usize, cache_dir: Option<PathBuf>) -> Result<Self, Vec<Problem>> {
        Ok(Self {
            client: Client::new(workers),
            egress: Arc::new(egress::Client::new()),
            plugins: plugin_host(cache_dir).map_err(|problem| vec![problem])?,
            published: Published::default(),
            health: HealthBook::new(),
            carried: Carried::default(),
            metrics: Metrics::new(),
        })
    }
}

/// A folder that cannot be written (a read-only container) costs time at the start, nothing else.
fn plugin_host(cache_dir: Option<PathBuf>) -> Result<Arc<PluginHost>, Problem> {
    PluginHost::new(cache_dir).or_else(|problem| {
        tracing::warn!(problem = %problem, "every start compiles the plugins anew");
        PluginHost::new(None)
    })
}
