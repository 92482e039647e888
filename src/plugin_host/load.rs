//! Loads a plugin from a `.wasm` file: compiles it, checks its config, reads its manifest, grants
//! capabilities.
use std::path::Path;
use std::sync::Arc;

use serde_json::{Map, Value};

use crate::error::Problem;
use crate::plugin_host::call::{PluginCall, Terms};
use crate::plugin_host::check::{self, at};
use crate::plugin_host::compile::read_apart;
use crate::plugin_host::describe::{describe, parse};
use crate::plugin_host::gate::Gate;
use crate::plugin_host::grants::Grants;
use crate::plugin_host::host::PluginHost;
use crate::plugin_host::manifest::Manifest;
use crate::plugin_host::plugin::{Loaded, Plugin};
use crate::plugin_host::settings::Settings;
use crate::plugin_host::way_out::{OwnWayOut, WayOut};
use crate::telemetry::plugins::PluginMetrics;

/// A plugin file, and the resources that the gateway gives to it.
pub struct Installation<'a> {
    /// The component file.
    pub path: &'a Path,
    /// `plugins.config.<name>`, a JSON object with the gateway's own keys and the plugin's. `null`
    /// counts as an empty object.
    pub config: Value,
    /// The metrics of the plugin.
    pub metrics: PluginMetrics,
    /// The network access of the plugin; `None` means no access.
    pub way_out: Option<&'a WayOut>,
}

impl PluginHost {
    /// Loads a `.wasm` file and reads its manifest.
    ///
    /// `config` is `plugins.config.<name>`, a JSON object; `null` counts as an empty one. Compiling
    /// runs on a blocking thread, never on the calling one. Fails with every problem: no component,
    /// an interface of another version, a config that does not fit.
    pub async fn load(
        self: &Arc<Self>,
        path: &Path,
        config: Value,
    ) -> Result<Plugin, Vec<Problem>> {
        let metrics = PluginMetrics::default();
        self.install(Installation { path, config, metrics, way_out: None }).await
    }

    /// Loads a plugin with all resources that a gateway gives to it.
    pub async fn install(
        self: &Arc<Self>,
        installation: Installation<'_>,
    ) -> Result<Plugin, Vec<Problem>> {
        let Installation { path, config, metrics, way_out } = installation;
        let file = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let (settings, config) = Settings::take(&file, config, &self.limits)?;
        let read = read_apart(self, path).await?;
        if let Some(in_section) = &read.in_section {
            check::config(in_section, &file, &config)?;
        }
        let kept = self.kept(&file, read.hash);
        let memory = settings.memory;
        let terms = |name: &str, grants: Arc<Grants>, way_out| Terms {
            name: name.into(),
            config: config_text(&config),
            grants,
            way_out,
            kv: Arc::clone(&kept.kv),
            clock: Arc::clone(&self.clock),
            memory,
        };
        let alone = Arc::new(terms(&file, Arc::default(), None));
        let placed = |message| vec![at(path, message)];
        let said = describe(&read.code, PluginCall::loading(&alone)).await.map_err(placed)?;
        let mut manifest = parse(&said).map_err(placed)?;
        let hooks = manifest.hooks.clone();
        if let Some(in_section) = read.in_section {
            check::agree(&in_section, &manifest, path)?;
            manifest.hooks = in_section.hooks;
        }
        check::manifest(&manifest, &read.code, path)?;
        check::config(&manifest, &file, &config)?;
        let spaces = &read.code.runtime().spaces;
        let gate = Gate::new(&file, &settings, Arc::clone(&kept.breaker), metrics, spaces);
        let grants = Grants::new(&file, &manifest.wants, settings)
            .map_err(|wrong| wrong.into_iter().map(|text| at(path, text)).collect::<Vec<_>>())?;
        report(self, &file, &manifest, &grants);
        let grants = Arc::new(grants);
        let way_out = way_out.map(|way_out| OwnWayOut::new(way_out, &grants));
        let terms = Arc::new(terms(&manifest.name, grants, way_out));
        Ok(Plugin::new(Loaded { code: read.code, gate, terms, manifest }, hooks))
    }

    /// Returns the manifest of a plugin that is being built: the JSON text that `describe` returns
    /// without a config. Fails like [`PluginHost::load`].
    pub async fn manifest_text(self: &Arc<Self>, path: &Path) -> Result<String, Vec<Problem>> {
        let read = read_apart(self, path).await?;
        let file = path.file_stem().unwrap_or_default().to_string_lossy();
        let terms = Arc::new(Terms {
            name: (&*file).into(),
            config: "null".to_owned(),
            grants: Arc::default(),
            way_out: None,
            kv: Arc::clone(&self.kept(&file, read.hash).kv),
            clock: Arc::clone(&self.clock),
            memory: self.limits.memory,
        });
        let placed = |message| vec![at(path, message)];
        let said = describe(&read.code, PluginCall::loading(&terms)).await.map_err(placed)?;
        check::manifest(&parse(&said).map_err(placed)?, &read.code, path)?;
        Ok(said)
    }
}

/// Logs that a plugin was loaded, with the capabilities that it really has.
fn report(host: &PluginHost, file: &str, manifest: &Manifest, grants: &Grants) {
    let (granted, missing) = grants.summary();
    let version = &manifest.version;
    let line = format!("{version} {granted} {missing}");
    if host.note_report(file, &line).as_deref() == Some(&*line) {
        return;
    }
    let (missing, message) = match missing.is_empty() {
        true => (None, "plugin loaded"),
        false => (Some(missing), "plugin loaded, some requested capabilities are not granted"),
    };
    tracing::info!(plugin = file, version, granted, missing, "{message}");
}

fn config_text(config: &Map<String, Value>) -> String {
    serde_json::to_string(config).unwrap_or_else(|_| "{}".to_owned())
}
