//! From a `.wasm` file to a plugin: read, compile, link, ask for the manifest.
use std::fs;
use std::path::Path;
use std::sync::Arc;

use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};
use tidegate_builder::section;
use wasmtime::component::{Component, ComponentExportIndex, Instance, InstancePre};
use wasmtime::{Engine, Store};

use crate::error::Problem;
use crate::plugin_host::bindings;
use crate::plugin_host::call::{Call, DESCRIBE, Terms};
use crate::plugin_host::check;
use crate::plugin_host::engine::Runtime;
use crate::plugin_host::fetch::OwnWayOut;
use crate::plugin_host::gate::Gate;
use crate::plugin_host::grants::Grants;
use crate::plugin_host::manifest::{Manifest, manifest_of};
use crate::plugin_host::plugin::Plugin;
use crate::plugin_host::settings::Settings;
use crate::plugin_host::{Installation, PluginHost};

/// A compiled component, ready for instances; shared by every plugin made of the same bytes.
pub(super) struct Code {
    runtime: Arc<Runtime>,
    pre: InstancePre<Call>,
    describe: ComponentExportIndex,
    call_tool: Option<ComponentExportIndex>,
    on_request: Option<ComponentExportIndex>,
    on_upstream_request: Option<ComponentExportIndex>,
    on_response: Option<ComponentExportIndex>,
}

/// What the host calls in a plugin, besides `describe`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Export {
    /// A server tool.
    CallTool,
    /// Before a request goes anywhere.
    OnRequest,
    /// Before each attempt.
    OnUpstreamRequest,
    /// On the whole message.
    OnResponse,
}

/// What the exports return.
pub(super) type Answer<T> = (Result<T, bindings::Problem>,);

impl Export {
    pub(super) const ALL: [Self; 4] =
        [Self::CallTool, Self::OnRequest, Self::OnUpstreamRequest, Self::OnResponse];

    /// Its name on the border.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::CallTool => "call-tool",
            Self::OnRequest => "on-request",
            Self::OnUpstreamRequest => "on-upstream-request",
            Self::OnResponse => "on-response",
        }
    }
}

impl Code {
    pub(super) fn engine(&self) -> &Engine {
        &self.runtime.engine
    }

    pub(super) fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    /// It runs in this engine, not in one that another has taken the place of.
    pub(super) fn is_of(&self, runtime: &Arc<Runtime>) -> bool {
        Arc::ptr_eq(&self.runtime, runtime)
    }

    pub(super) async fn instantiate(&self, store: &mut Store<Call>) -> wasmtime::Result<Instance> {
        self.pre.instantiate_async(store).await
    }

    pub(super) fn describe(&self) -> &ComponentExportIndex {
        &self.describe
    }

    /// Where an export is, if the component has it.
    pub(super) fn export(&self, export: Export) -> Option<&ComponentExportIndex> {
        match export {
            Export::CallTool => self.call_tool.as_ref(),
            Export::OnRequest => self.on_request.as_ref(),
            Export::OnUpstreamRequest => self.on_upstream_request.as_ref(),
            Export::OnResponse => self.on_response.as_ref(),
        }
    }
}

/// A file, as far as it is known without running it.
struct Read {
    hash: [u8; 32],
    code: Arc<Code>,
    /// What its section says.
    told: Option<Manifest>,
}

pub(super) async fn load(
    host: &Arc<PluginHost>,
    installation: Installation<'_>,
) -> Result<Plugin, Vec<Problem>> {
    let Installation { path, config, metrics, way_out } = installation;
    let file = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let (settings, config) = Settings::take(&file, config)?;
    let read = read_apart(host, path).await?;
    if let Some(told) = &read.told {
        check::config(told, &file, &config)?;
    }
    let kept = host.kept(&file, read.hash);
    let memory = settings.memory.unwrap_or(host.limits.memory);
    let terms = |name: &str, grants: Arc<Grants>, way_out| Terms {
        name: name.into(),
        config: config_text(&config),
        grants,
        way_out,
        kv: Arc::clone(&kept.kv),
        clock: Arc::clone(&host.clock),
        memory,
    };
    let alone = Arc::new(terms(&file, Arc::default(), None));
    let placed = |message| vec![at(path, message)];
    let said = describe(host, &read.code, Call::loading(&alone)).await.map_err(placed)?;
    let mut manifest = parse(&said).map_err(placed)?;
    let hooks = manifest.hooks.clone();
    if let Some(told) = read.told {
        check::agree(&told, &manifest, path)?;
        manifest.hooks = told.hooks;
    }
    check::manifest(&manifest, &read.code, path)?;
    check::config(&manifest, &file, &config)?;
    let breaker = (Arc::clone(&kept.breaker), metrics);
    let gate = Gate::new(&file, &settings, breaker, &read.code.runtime.spaces);
    let grants = Grants::new(&file, &manifest.wants, settings)
        .map_err(|wrong| wrong.into_iter().map(|text| at(path, text)).collect::<Vec<_>>())?;
    report(host, &file, &manifest, &grants);
    let grants = Arc::new(grants);
    let way_out = way_out.map(|way_out| OwnWayOut::new(way_out, &grants));
    let terms = Arc::new(terms(&manifest.name, grants, way_out));
    Ok(Plugin::new(Arc::clone(host), (read.code, gate), terms, (manifest, hooks)))
}

/// The line about a plugin that has been loaded: what it gets, whatever it and its config say.
fn report(host: &PluginHost, file: &str, manifest: &Manifest, grants: &Grants) {
    let (granted, missing) = grants.summary();
    let version = &manifest.version;
    let told = format!("{version} {granted} {missing}");
    if host.note_report(file, &told).as_deref() == Some(&*told) {
        return;
    }
    match missing.is_empty() {
        true => tracing::info!(plugin = file, version, granted, "plugin loaded"),
        false => {
            tracing::info!(
                plugin = file,
                version,
                granted,
                missing,
                "plugin loaded, not all that it wants is granted"
            );
        }
    }
}

fn config_text(config: &Map<String, Value>) -> String {
    serde_json::to_string(config).unwrap_or_else(|_| "{}".to_owned())
}

pub(super) fn at(path: &Path, message: impl Into<String>) -> Problem {
    Problem::new(path.display().to_string(), message)
}

/// Compiling takes seconds: never on the thread that calls.
async fn read_apart(host: &Arc<PluginHost>, path: &Path) -> Result<Read, Vec<Problem>> {
    let (blocking, file) = (Arc::clone(host), path.to_owned());
    let read = tokio::task::spawn_blocking(move || read(&blocking, &file)).await;
    match read {
        Ok(read) => read.map_err(|problem| vec![problem]),
        Err(_) => Err(vec![at(path, "the compiler broke on it")]),
    }
}

fn read(host: &PluginHost, path: &Path) -> Result<Read, Problem> {
    let wasm = fs::read(path).map_err(|e| at(path, format!("cannot read it: {e}")))?;
    let hash = Sha256::digest(&wasm).into();
    let code = compile(host, (&wasm, hash), path)?;
    let told = manifest_of(&wasm)
        .map_err(|e| at(path, format!("its section `tidegate:manifest`: {e}")))?;
    Ok(Read { hash, code, told })
}

fn compile(
    host: &PluginHost,
    (wasm, hash): (&[u8], [u8; 32]),
    path: &Path,
) -> Result<Arc<Code>, Problem> {
    if !wasm.starts_with(b"\0asm") {
        return Err(at(path, "is no WebAssembly file"));
    }
    // the version field of the preamble tells a component from a core module
    if wasm.get(6..8) == Some(&[0, 0]) {
        return Err(at(
            path,
            "is a core module, not a component: build it with `tidegate plugin build`",
        ));
    }
    let runtime = host.runtime()?;
    if let Some(code) = host.known(&hash, &runtime) {
        return Ok(code);
    }
    // so that a plugin that was just built, and described, is in the cache already
    let code = section::before(wasm, section::MANIFEST);
    let component = Component::from_binary(&runtime.engine, code)
        .map_err(|error| at(path, uncompilable(&error)))?;
    let code = Arc::new(link(runtime, &component, path)?);
    host.remember(hash, &code);
    Ok(code)
}

/// Wasmtime has one kind of error for what is no wasm and for what no slot of the pool holds.
fn uncompilable(error: &wasmtime::Error) -> String {
    let text = format!("{error:#}");
    match text.contains("pooling allocator") {
        true => format!("wants more from the start than any plugin may have: {text}"),
        false => format!("is no valid component (was it written to its end?): {text}"),
    }
}

fn link(runtime: Arc<Runtime>, component: &Component, path: &Path) -> Result<Code, Problem> {
    check::border(&runtime.engine, component, path)?;
    let pre = runtime.linker.instantiate_pre(component);
    let pre = pre.map_err(|e| at(path, check::misfit(&e)))?;
    let find = |name| component.get_export_index(None, name);
    let describe =
        find("describe").ok_or_else(|| at(path, "is no plugin: it does not export `describe`"))?;
    let export = |export: Export| find(export.as_str());
    Ok(Code {
        pre,
        describe,
        call_tool: export(Export::CallTool),
        on_request: export(Export::OnRequest),
        on_upstream_request: export(Export::OnUpstreamRequest),
        on_response: export(Export::OnResponse),
        runtime,
    })
}

/// The manifest of a plugin that is being built, as `describe` tells it without a config.
pub(super) async fn manifest_text(
    host: &Arc<PluginHost>,
    path: &Path,
) -> Result<String, Vec<Problem>> {
    let read = read_apart(host, path).await?;
    let file = path.file_stem().unwrap_or_default().to_string_lossy();
    let terms = Arc::new(Terms {
        name: (&*file).into(),
        config: "null".to_owned(),
        grants: Arc::default(),
        way_out: None,
        kv: Arc::clone(&host.kept(&file, read.hash).kv),
        clock: Arc::clone(&host.clock),
        memory: host.limits.memory,
    });
    let placed = |message| vec![at(path, message)];
    let said = describe(host, &read.code, Call::loading(&terms)).await.map_err(placed)?;
    check::manifest(&parse(&said).map_err(placed)?, &read.code, path)?;
    Ok(said)
}

/// The hooks that the parameters of a stage leave something to do for, as `describe` tells them.
///
/// Fails with what the plugin has against the parameters.
pub(super) async fn hooks_of_stage(
    host: &PluginHost,
    code: &Code,
    terms: &Terms,
    with: &Arc<Map<String, Value>>,
) -> Result<Vec<String>, String> {
    let mut call = Call::loading(&Arc::new(terms.bare()));
    call.stage = Some(Arc::clone(with));
    let said = describe(host, code, call).await?;
    let hooks = parse(&said)?.hooks;
    match check::hooks(&hooks, code).into_iter().next() {
        None => Ok(hooks),
        Some(wrong) => Err(wrong),
    }
}

fn parse(manifest: &str) -> Result<Manifest, String> {
    serde_json::from_str(manifest).map_err(|e| format!("its manifest: {e}"))
}

async fn describe(host: &PluginHost, code: &Code, call: Call) -> Result<String, String> {
    let ask = async |store: &mut Store<Call>, instance: Instance| match check::types(
        store, &instance, code,
    ) {
        Ok(describe) => Ok(Ok(describe.call_async(store, ()).await?.0)),
        Err(misfit) => Ok(Err(misfit)),
    };
    let given = if call.stage.is_some() { "parameters" } else { "config" };
    let (call, answer) = host.run_ungated(code, call, DESCRIBE, ask).await;
    match answer {
        Ok(Ok(Ok(manifest))) => Ok(manifest),
        Ok(Ok(Err(problem))) if problem.code == "invalid_config" => {
            Err(format!("refuses its {given}: {}", problem.message))
        }
        Ok(Ok(Err(problem))) => Err(format!("`describe`: {}", problem.message)),
        Ok(Err(misfit)) => Err(misfit),
        Err(cause) => {
            let words = call.last_words.map(|words| format!("; its last words: {words}"));
            let words = words.unwrap_or_default();
            Err(format!("`describe` broke: {cause}{words}"))
        }
    }
}
