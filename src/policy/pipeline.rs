//! `Pipeline`: which stages and server tools a generation has.
use std::collections::BTreeMap;

use crate::context::Context;
use crate::plugin_host::{Plugin, ToolManifest};
use crate::policy::Hooks;
use crate::policy::config::StageRules;
use crate::policy::script::Script;
use crate::policy::script::api::With;
use crate::policy::stage::{Stage, Work};
use crate::telemetry::metrics::{Metrics, PolicyMetrics, ToolMetrics};

/// The stages of a generation in their order, and its server tools.
pub struct Pipeline {
    pub(super) stages: Vec<Stage>,
    pub(super) hooks: Hooks,
    /// By the name that callers declare behind `gateway:`.
    pub(super) tools: BTreeMap<String, ServedTool>,
    pub(super) metrics: PolicyMetrics,
}

/// A server tool, the plugin that has it, and what its calls add to.
pub struct ServedTool {
    pub(super) plugin: Plugin,
    pub(super) manifest: ToolManifest,
    pub(super) metrics: ToolMetrics,
}

impl Pipeline {
    pub(super) fn new(
        stages: Vec<Stage>,
        tools: BTreeMap<String, ServedTool>,
        metrics: &Metrics,
    ) -> Self {
        let hooks = stages.iter().map(Stage::hooks).fold(Hooks::default(), Hooks::or);
        Self { stages, hooks, tools, metrics: metrics.policies() }
    }

    /// One policy and nothing else, as its cases run it.
    pub fn of(script: &Script, with: With, metrics: &Metrics) -> Self {
        let work = Work::Script(script.clone(), with);
        let stage = Stage::new(script.name(), work, &StageRules::default(), metrics);
        Self::new(vec![stage], BTreeMap::new(), metrics)
    }

    /// Which hooks some stage defines.
    pub fn hooks(&self) -> Hooks {
        self.hooks
    }

    /// Whether the same stages are for a request of this caller's, were it for another model.
    pub fn treats_alike(&self, ctx: &Context, model: &str) -> bool {
        self.stages.iter().all(|stage| stage.is_for_model(&ctx.model) == stage.is_for_model(model))
    }

    /// The names of the stages in their order.
    pub fn stage_names(&self) -> Vec<&str> {
        self.stages.iter().map(Stage::name).collect()
    }

    /// Whether some plugin may ask models.
    pub fn wants_models(&self) -> bool {
        self.plugins().any(Plugin::may_ask_models)
    }

    /// Whether some plugin may keep files under addresses of the gateway.
    pub fn wants_to_publish(&self) -> bool {
        self.plugins().any(Plugin::may_publish)
    }

    fn plugins(&self) -> impl Iterator<Item = &Plugin> {
        self.stages.iter().filter_map(Stage::plugin).chain(self.tools.values().map(|t| &t.plugin))
    }

    /// There are server tools at all.
    pub fn has_tools(&self) -> bool {
        !self.tools.is_empty()
    }

    /// The names that callers may declare behind `gateway:`.
    pub fn tool_names(&self) -> Vec<&str> {
        self.tools.keys().map(String::as_str).collect()
    }

    /// What the upstream is told of a tool.
    pub fn tool(&self, name: &str) -> Option<&ToolManifest> {
        self.tools.get(name).map(|tool| &tool.manifest)
    }
}
