//! Metrics of plugins, in addition to those of their hooks and tools.
use prometheus_client::metrics::counter::Counter;

/// The counters of one plugin. Cloning shares them; the default ones are not exported.
#[derive(Clone, Default, Debug)]
pub struct PluginMetrics {
    /// `tidegate_plugin_breaker_openings_total{plugin}`
    pub opened: Counter,
    /// `tidegate_plugin_refused_calls_total{plugin}`: calls rejected while the plugin is suspended.
    pub refused: Counter,
}
