//! The stages, plugins and server tools of a generation with their numbers, for operators.
use std::collections::BTreeMap;
use std::time::Duration;

use crate::plugin_host::Plugin;
use crate::policy::pipeline::Pipeline;
use crate::policy::stage::Stage;
use crate::policy::{Hook, OnError};
use crate::telemetry::lives::LifeNumbers;

/// A stage.
#[derive(Debug)]
pub(crate) struct StageOverview<'a> {
    /// Its name.
    pub(crate) name: &'a str,
    /// Whether it is a plugin.
    pub(crate) is_plugin: bool,
    /// The reaction if it fails.
    pub(crate) on_error: OnError,
    /// Its hooks with their numbers since the start of the process.
    pub(crate) hooks: Vec<(Hook, LifeNumbers)>,
}

/// A plugin.
#[derive(Debug)]
pub(crate) struct PluginOverview<'a> {
    /// Its file name without the ending.
    pub(crate) file: &'a str,
    /// The plugin.
    pub(crate) plugin: &'a Plugin,
    /// The granted capabilities in words.
    pub(crate) granted: String,
    /// The config keys of the capabilities that it requests and does not get, in words.
    pub(crate) lacking: String,
    /// The rest of a suspension after repeated failures; `None` if it is called.
    pub(crate) suspended: Option<Duration>,
    /// The stages that it is.
    pub(crate) stages: Vec<&'a str>,
    /// Its server tools with their numbers since the start of the process.
    pub(crate) tools: Vec<(&'a str, LifeNumbers)>,
}

impl Pipeline {
    /// Returns the stages in their order.
    pub(crate) fn stages_overview(&self) -> Vec<StageOverview<'_>> {
        self.stages.iter().map(StageOverview::of).collect()
    }

    /// Returns the plugins in the order of their files.
    pub(crate) fn plugins_overview(&self) -> Vec<PluginOverview<'_>> {
        let mut found: BTreeMap<&str, PluginOverview<'_>> = BTreeMap::new();
        for plugin in self.plugins() {
            found.entry(plugin.file()).or_insert_with(|| PluginOverview::of(plugin));
        }
        for stage in &self.stages {
            let file = stage.plugin().map(Plugin::file);
            if let Some(overview) = file.and_then(|file| found.get_mut(file)) {
                overview.stages.push(stage.name());
            }
        }
        for (name, tool) in &self.tools {
            if let Some(overview) = found.get_mut(tool.plugin.file()) {
                overview.tools.push((name, tool.life.numbers()));
            }
        }
        found.into_values().collect()
    }
}

impl<'a> StageOverview<'a> {
    fn of(stage: &'a Stage) -> Self {
        Self {
            name: stage.name(),
            is_plugin: stage.plugin().is_some(),
            on_error: stage.on_error(),
            hooks: stage.lives().map(|(hook, life)| (hook, life.numbers())).collect(),
        }
    }
}

impl<'a> PluginOverview<'a> {
    fn of(plugin: &'a Plugin) -> Self {
        let (granted, lacking) = plugin.granted();
        Self {
            file: plugin.file(),
            plugin,
            granted,
            lacking,
            suspended: plugin.suspended(),
            stages: Vec::new(),
            tools: Vec::new(),
        }
    }
}
