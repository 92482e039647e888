//! What is counted of plugins themselves, beside their hooks and tools.
use prometheus_client::metrics::counter::Counter;

/// What one plugin adds to; the default counts for nobody. Cloning shares it.
#[derive(Clone, Default, Debug)]
pub struct PluginMetrics {
    /// `tidegate_plugin_breaker_openings_total{plugin}`
    pub opened: Counter,
    /// `tidegate_plugin_refused_calls_total{plugin}`: not run, since the plugin rests.
    pub refused: Counter,
}
