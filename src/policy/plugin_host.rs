//! tmp
/// tmp
pub struct PluginHost;
