//! From a `.wasm` file to a plugin: read, compile, link, ask for the manifest.
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use sha2::{Digest as _, Sha256};
use wasmtime::component::{Component, ComponentExportIndex, Instance, InstancePre, Resource};
use wasmtime::{Engine, Store};

use crate::error::Problem;
use crate::policy::plugin::{Manifest, Plugin};
use crate::policy::plugin_host::bindings::{self, Action, Call, Memory, MessageBody, RequestBody};
use crate::policy::plugin_host::{PluginHost, Runtime};

/// How long a plugin may take to describe itself; a start, so it is generous.
const DESCRIBE: Duration = Duration::from_secs(5);

/// A compiled component, ready for instances; shared by every plugin made of the same bytes.
pub(in crate::policy) struct Code {
    pre: InstancePre<Call>,
    describe: ComponentExportIndex,
    call_tool: Option<ComponentExportIndex>,
    on_request: Option<ComponentExportIndex>,
    on_upstream_request: Option<ComponentExportIndex>,
    on_response: Option<ComponentExportIndex>,
}

/// What the host calls in a plugin, besides `describe`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::policy) enum Export {
    CallTool,
    OnRequest,
    OnUpstreamRequest,
    OnResponse,
}

/// What the exports return.
pub(in crate::policy) type Answer<T> = (Result<T, bindings::Problem>,);

impl Export {
    pub(in crate::policy) const ALL: [Self; 4] =
        [Self::CallTool, Self::OnRequest, Self::OnUpstreamRequest, Self::OnResponse];

    /// Its name on the border.
    pub(in crate::policy) fn as_str(self) -> &'static str {
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
        self.pre.engine()
    }

    pub(super) async fn instantiate(&self, store: &mut Store<Call>) -> wasmtime::Result<Instance> {
        self.pre.instantiate_async(store).await
    }

    /// Where an export is, if the component has it.
    pub(in crate::policy) fn export(&self, export: Export) -> Option<&ComponentExportIndex> {
        match export {
            Export::CallTool => self.call_tool.as_ref(),
            Export::OnRequest => self.on_request.as_ref(),
            Export::OnUpstreamRequest => self.on_upstream_request.as_ref(),
            Export::OnResponse => self.on_response.as_ref(),
        }
    }
}

pub(super) async fn load(
    host: &Arc<PluginHost>,
    path: &Path,
    config: Value,
) -> Result<Plugin, Vec<Problem>> {
    let (blocking, file) = (Arc::clone(host), path.to_owned());
    let compiled = tokio::task::spawn_blocking(move || compile(&blocking, &file)).await;
    let code = match compiled {
        Ok(code) => code.map_err(|problem| vec![problem])?,
        Err(_) => return Err(vec![at(path, "the compiler broke on it")]),
    };
    let config: Arc<str> = match config {
        Value::Null => "{}".into(),
        config => config.to_string().into(),
    };
    let manifest = describe(host, &code, path, &config).await.map_err(|problem| vec![problem])?;
    check(&manifest, &code, path)?;
    Ok(Plugin::new(Arc::clone(host), code, config, manifest))
}

fn at(path: &Path, message: impl Into<String>) -> Problem {
    Problem::new(path.display().to_string(), message)
}

fn compile(host: &PluginHost, path: &PathBuf) -> Result<Arc<Code>, Problem> {
    let wasm = fs::read(path).map_err(|e| at(path, format!("cannot read it: {e}")))?;
    let hash = Sha256::digest(&wasm).into();
    if let Some(code) = host.known(&hash) {
        return Ok(code);
    }
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
    let component = Component::from_binary(&runtime.engine, &wasm).map_err(|e| {
        at(path, format!("is no valid component (was it written to its end?): {e:#}"))
    })?;
    let code = Arc::new(link(runtime, &component, path)?);
    host.remember(hash, &code);
    Ok(code)
}

fn link(runtime: &Runtime, component: &Component, path: &Path) -> Result<Code, Problem> {
    refuse_unknown_imports(&runtime.engine, component, path)?;
    let pre = runtime.linker.instantiate_pre(component);
    let pre = pre.map_err(|e| at(path, format!("does not fit this gateway: {e:#}")))?;
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
    })
}

/// The linker's own words about a missing import name neither version.
fn refuse_unknown_imports(
    engine: &Engine,
    component: &Component,
    path: &Path,
) -> Result<(), Problem> {
    for (name, _) in component.component_type().imports(engine) {
        // types that the world uses by their bare names are no imports of their own
        if !name.contains(':') {
            continue;
        }
        // the linker matches versions of the same kind
        if name.starts_with("wasi:") && name.contains("@0.2.") && !name.starts_with("wasi:http/") {
            continue;
        }
        let Some(wanted) = name.strip_prefix("tidegate:plugin/") else {
            return Err(at(path, format!("imports `{name}`, {}", why_not(name))));
        };
        let version = wanted.split_once('@').map_or("", |(_, version)| version);
        if !version.starts_with("0.1.") {
            return Err(at(
                path,
                format!(
                    "wants `{name}`, this gateway offers version {}: build the plugin with the \
                     SDK of that version, or use a newer gateway",
                    bindings::OFFERS
                ),
            ));
        }
    }
    Ok(())
}

fn why_not(import: &str) -> &'static str {
    match import {
        _ if import.starts_with("wasi:http/") => {
            "which this gateway does not offer: use `fetch` of `tidegate:plugin/host`, and build \
             without the toolchain's own (of componentize-js, disable `http` and `fetch-event`)"
        }
        _ if import.starts_with("wasi:") => "of which this gateway offers version 0.2",
        _ => "which this gateway does not offer",
    }
}

async fn describe(
    host: &PluginHost,
    code: &Code,
    path: &Path,
    config: &Arc<str>,
) -> Result<Manifest, Problem> {
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    let call = Call {
        plugin: name.into(),
        config: Arc::clone(config),
        facts: None,
        document: None,
        refused: None,
        last_words: None,
        memory: Memory { limit: host.limits.memory, is_exceeded: false },
        wasi: None,
    };
    let ask = async |store: &mut Store<Call>, instance: Instance| {
        check_types(store, &instance, code)?;
        let describe =
            instance.get_typed_func::<(), Answer<String>>(&mut *store, &code.describe)?;
        Ok(describe.call_async(store, ()).await?.0)
    };
    let (call, answer) = host.run(code, call, DESCRIBE, ask).await;
    let manifest = match answer {
        Ok(Ok(manifest)) => manifest,
        Ok(Err(problem)) if problem.code == "invalid_config" => {
            return Err(at(path, format!("refuses its config: {}", problem.message)));
        }
        Ok(Err(problem)) => return Err(at(path, format!("`describe`: {}", problem.message))),
        Err(cause) => {
            let words = call.last_words.map(|words| format!("; its last words: {words}"));
            let words = words.unwrap_or_default();
            return Err(at(path, format!("`describe` broke: {cause}{words}")));
        }
    };
    serde_json::from_str(&manifest).map_err(|e| at(path, format!("its manifest: {e}")))
}

/// A wrong type is found when the plugin is loaded, not in the middle of a request.
fn check_types(store: &mut Store<Call>, instance: &Instance, code: &Code) -> wasmtime::Result<()> {
    for export in Export::ALL {
        let Some(index) = code.export(export) else { continue };
        match export {
            Export::CallTool => instance
                .get_typed_func::<(&str, &str, &str), Answer<String>>(&mut *store, index)
                .map(drop)?,
            Export::OnRequest => instance
                .get_typed_func::<(Resource<RequestBody>,), Answer<Action>>(&mut *store, index)
                .map(drop)?,
            Export::OnUpstreamRequest => instance
                .get_typed_func::<(Resource<RequestBody>, &str), Answer<Action>>(&mut *store, index)
                .map(drop)?,
            Export::OnResponse => instance
                .get_typed_func::<(Resource<MessageBody>,), Answer<Action>>(&mut *store, index)
                .map(drop)?,
        }
    }
    Ok(())
}

/// What the manifest promises must be there.
fn check(manifest: &Manifest, code: &Code, path: &Path) -> Result<(), Vec<Problem>> {
    let mut problems = Vec::new();
    let mut wrong = |message: String| problems.push(at(path, message));
    if manifest.name.is_empty() {
        wrong("its manifest has no `name`".to_owned());
    }
    for hook in &manifest.hooks {
        let known = Export::ALL.iter().find(|export| export.as_str() == hook);
        match known {
            None | Some(Export::CallTool) => wrong(format!("there is no hook `{hook}`")),
            Some(export) if code.export(*export).is_none() => {
                wrong(format!("names the hook `{hook}` but does not export it"));
            }
            Some(_) => {}
        }
    }
    if !manifest.tools.is_empty() && code.export(Export::CallTool).is_none() {
        wrong("has tools but does not export `call-tool`".to_owned());
    }
    for (n, tool) in manifest.tools.iter().enumerate() {
        let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        if tool.name.is_empty() || !tool.name.chars().all(fits) {
            wrong(format!("tool `{}`: use `a` to `z`, digits and `_` for its name", tool.name));
        }
        if manifest.tools[..n].iter().any(|other| other.name == tool.name) {
            wrong(format!("has two tools `{}`", tool.name));
        }
        if tool.input_schema.get("type").and_then(Value::as_str) != Some("object") {
            wrong(format!("tool `{}`: its `input_schema` must have `type: object`", tool.name));
        }
    }
    if problems.is_empty() { Ok(()) } else { Err(problems) }
}
