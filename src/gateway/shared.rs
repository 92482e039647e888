//! What outlives generations: connections, compiled plugins, health, metrics.
use std::sync::Arc;

use crate::models::HealthBook;
use crate::net::client::Client;
use crate::policy::plugin_host::PluginHost;
use crate::telemetry::metrics::Metrics;

/// Made once at the start.
pub struct Shared {
    /// Connections to upstreams.
    pub client: Client,
    /// The wasm engine and what it has compiled.
    pub plugins: Arc<PluginHost>,
    /// Which targets are cooling down.
    pub health: HealthBook,
    /// What `/metrics` tells.
    pub metrics: Metrics,
}
