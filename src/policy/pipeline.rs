//! tmp
use crate::context::Context;
use crate::error::{Problem, Result};
use crate::policy::{
    Hooks, PluginsConfig, PoliciesConfig, StageConfig, Verdict, plugin_host::PluginHost,
};
use crate::wire::MessagesRequest;
use std::sync::Arc;
/// tmp
pub struct Pipeline {
    hooks: Hooks,
}
impl Pipeline {
    /// tmp
    pub async fn build(
        _: &PoliciesConfig,
        _: &PluginsConfig,
        _: Option<&[StageConfig]>,
        _: &Arc<PluginHost>,
    ) -> Result<Self, Vec<Problem>> {
        Ok(Self { hooks: Hooks::default() })
    }
    /// tmp
    pub async fn on_request(
        &self,
        _ctx: &Context,
        request: MessagesRequest,
    ) -> Result<(MessagesRequest, Verdict)> {
        if !self.hooks.request {
            return Ok((request, Verdict::Continue));
        }
        Ok((request, Verdict::Continue))
    }
}
