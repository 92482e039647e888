//! `Pipeline`: the stages and server tools of a generation.
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::context::Context;
use crate::plugin_host::{Plugin, ToolManifest};
use crate::policy::Hooks;
use crate::policy::config::{PoliciesConfig, StageRules};
use crate::policy::script::Script;
use crate::policy::script::api::With;
use crate::policy::stage::{Stage, Work};
use crate::telemetry::events::Events;
use crate::telemetry::lives::Life;
use crate::telemetry::metrics::{Metrics, PolicyMetrics, ToolMetrics};

/// The stages of a generation in order, and its server tools.
pub struct Pipeline {
    pub(super) stages: Vec<Stage>,
    pub(super) hooks: Hooks,
    /// The server tools by name, without the prefix `gateway:`.
    pub(super) tools: BTreeMap<String, ServedTool>,
    pub(super) metrics: PolicyMetrics,
    /// The entrance for the events of policies and targets.
    pub(super) events: Events,
    /// The silence of a stream after which buffered text is released.
    pub(super) text_timeout: Duration,
}

/// A server tool, the plugin that provides it, and the metrics of its calls.
#[derive(Clone)]
pub(crate) struct ServedTool {
    pub(super) plugin: Plugin,
    pub(super) manifest: ToolManifest,
    pub(super) metrics: ToolMetrics,
    pub(super) life: Arc<Life>,
}

impl Pipeline {
    pub(super) fn new(
        stages: Vec<Stage>,
        tools: BTreeMap<String, ServedTool>,
        metrics: &Metrics,
    ) -> Self {
        let hooks = stages.iter().map(Stage::hooks).fold(Hooks::default(), Hooks::or);
        let text_timeout = PoliciesConfig::default().text_timeout;
        let (metrics, events) = (metrics.policies(), Events::default());
        Self { stages, hooks, tools, metrics, events, text_timeout }
    }

    /// Sets the entrance for events.
    pub(super) fn with_events(self, events: &Events) -> Self {
        Self { events: events.clone(), ..self }
    }

    /// Sets the silence of a stream after which buffered text is released.
    pub(super) fn with_text_timeout(self, text_timeout: Duration) -> Self {
        Self { text_timeout, ..self }
    }

    /// Returns a pipeline of one policy only, for the policy's cases.
    pub fn of(script: &Script, with: With, metrics: &Metrics) -> Self {
        let work = Work::Script(script.clone(), with);
        let stage = Stage::new(script.name(), work, &StageRules::default(), metrics);
        Self::new(vec![stage], BTreeMap::new(), metrics)
    }

    /// Returns the hooks that any stage defines.
    pub fn hooks(&self) -> Hooks {
        self.hooks
    }

    /// Returns whether the same stages would run if the caller had named another model.
    pub fn treats_alike(&self, ctx: &Context, model: &str) -> bool {
        self.stages.iter().all(|stage| stage.is_for_model(&ctx.model) == stage.is_for_model(model))
    }

    /// Returns the names of the stages in order.
    pub fn stage_names(&self) -> Vec<&str> {
        self.stages.iter().map(Stage::name).collect()
    }

    /// Returns whether any plugin may call models.
    pub fn wants_models(&self) -> bool {
        self.plugins().any(Plugin::may_ask_models)
    }

    /// Returns whether any plugin may publish files under addresses of the gateway.
    pub fn wants_to_publish(&self) -> bool {
        self.plugins().any(Plugin::may_publish)
    }

    pub(super) fn plugins(&self) -> impl Iterator<Item = &Plugin> {
        self.stages.iter().filter_map(Stage::plugin).chain(self.tools.values().map(|t| &t.plugin))
    }

    /// Returns whether there are any server tools.
    pub fn has_tools(&self) -> bool {
        !self.tools.is_empty()
    }

    /// Returns the tool names that callers may declare, without the prefix `gateway:`.
    pub fn tool_names(&self) -> Vec<&str> {
        self.tools.keys().map(String::as_str).collect()
    }

    /// Returns the manifest of a tool, from which the upstream's declaration is made.
    pub fn tool(&self, name: &str) -> Option<&ToolManifest> {
        self.tools.get(name).map(|tool| &tool.manifest)
    }
}
