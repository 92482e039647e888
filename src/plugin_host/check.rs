//! Checks a component and its manifest at load time, not in the middle of a request.
use std::path::Path;

use serde_json::{Map, Value};
use wasmtime::component::{Component, Instance, Resource, TypedFunc};
use wasmtime::{Engine, Store};

use crate::error::Problem;
use crate::plugin_host::bindings::{self, Action, MessageBody, RequestBody};
use crate::plugin_host::call::PluginCall;
use crate::plugin_host::code::{Code, HostResult};
use crate::plugin_host::export::Export;
use crate::plugin_host::manifest::{Manifest, ON_UNSUPPORTED, SECTION};
use crate::plugin_host::settings::{RESERVED, place};
use crate::wire::schema;

/// Returns a problem with a file.
pub(super) fn at(path: &Path, message: impl Into<String>) -> Problem {
    Problem::new(path.display().to_string(), message)
}

/// Checks that the gateway offers the interface version of a component. The linker's own message
/// names neither version.
pub(super) fn border(engine: &Engine, component: &Component, path: &Path) -> Result<(), Problem> {
    let component = component.component_type();
    let imports = component.imports(engine).map(|(name, _)| ("wants", name.to_owned()));
    let exports = component.exports(engine).map(|(name, _)| ("exports", name.to_owned()));
    for (verb, name) in imports.chain(exports) {
        // skip functions of the world, and types that it uses by their bare names
        if !name.contains(':') || is_wasi(&name) {
            continue;
        }
        let Some(wanted) = name.strip_prefix("tidegate:plugin/") else {
            match verb {
                // the gateway ignores exports for other hosts
                "exports" => continue,
                _ => {
                    return Err(at(path, format!("imports `{name}`, {}", why_not(&name))));
                }
            }
        };
        let version = wanted.split_once('@').map_or("", |(_, version)| version);
        if !version.starts_with("0.1.") {
            let message = format!(
                "{verb} `{name}`, this gateway offers version {}: build the plugin with the SDK of \
                 that version, or use a newer gateway",
                bindings::OFFERS
            );
            return Err(at(path, message));
        }
    }
    Ok(())
}

/// Returns whether an import is of WASI 0.2. The linker matches its compatible versions.
fn is_wasi(name: &str) -> bool {
    name.starts_with("wasi:") && name.contains("@0.2.") && !name.starts_with("wasi:http/")
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

/// Returns the reason why a component's imports do not fit this gateway.
pub(super) fn misfit(error: &wasmtime::Error) -> String {
    let text = format!("{error:#}");
    let offers = bindings::OFFERS;
    let differs = between(&text, "instance export `", "` has the wrong type");
    let Some((function, interface)) = differs.zip(between(&text, "imports instance `", "`")) else {
        return format!("does not fit this gateway, which offers version {offers}: {text}");
    };
    let function = format!("`{function}` of `{interface}`");
    match text.rsplit_once("has the wrong type: ") {
        Some((_, details)) if !details.contains("implementation is missing") => {
            other_build(&function, details)
        }
        _ => format!(
            "wants {function}, which this gateway does not have: it offers version {offers}. Use a newer \
             gateway, or build the plugin with this one's SDK"
        ),
    }
}

/// Returns the problem of a plugin that was built for the same version with another interface.
fn other_build(function: &str, details: &str) -> String {
    format!(
        "was built with the SDK of another build of version {}: {function} differs from this \
         gateway's ({details}). Rebuild it with this gateway's SDK, which `tidegate plugin new` writes",
        bindings::OFFERS
    )
}

/// Returns the text between two markers. Wasmtime has this detail only in its message.
fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(before)?;
    Some(rest.split_once(after)?.0)
}

/// Checks the types of all exports when the plugin is loaded. Returns `describe`, or the name of
/// the function that differs.
pub(super) fn types(
    store: &mut Store<PluginCall>,
    instance: &Instance,
    code: &Code,
) -> Result<TypedFunc<(), HostResult<String>>, String> {
    let differs = |name: &str, error: &wasmtime::Error| {
        other_build(&format!("its `{name}`"), &format!("{error:#}"))
    };
    for export in Export::ALL {
        let Some(index) = code.export(export) else { continue };
        let checked = match export {
            Export::CallTool => instance
                .get_typed_func::<(&str, &str, &str), HostResult<String>>(&mut *store, index)
                .map(drop),
            Export::OnRequest => instance
                .get_typed_func::<(Resource<RequestBody>,), HostResult<Action>>(&mut *store, index)
                .map(drop),
            Export::OnUpstreamRequest => instance
                .get_typed_func::<(Resource<RequestBody>, &str), HostResult<Action>>(
                    &mut *store,
                    index,
                )
                .map(drop),
            Export::OnResponse => instance
                .get_typed_func::<(Resource<MessageBody>,), HostResult<Action>>(&mut *store, index)
                .map(drop),
        };
        checked.map_err(|error| differs(export.as_str(), &error))?;
    }
    instance.get_typed_func(store, code.describe()).map_err(|error| differs("describe", &error))
}

/// Returns the problems of hook names: each must be a hook, and the component must export it.
pub(super) fn hooks(named: &[String], code: &Code) -> Vec<String> {
    let wrong = |hook: &String| {
        let called = if hook == ON_UNSUPPORTED { Export::OnUpstreamRequest.as_str() } else { hook };
        match Export::ALL.iter().find(|export| export.as_str() == called) {
            None | Some(Export::CallTool) => Some(format!("there is no hook `{hook}`")),
            Some(export) if code.export(*export).is_none() => {
                Some(format!("names the hook `{hook}` but does not export it"))
            }
            Some(_) => None,
        }
    };
    named.iter().filter_map(wrong).collect()
}

/// Checks that the component has everything that the manifest promises.
pub(super) fn manifest(manifest: &Manifest, code: &Code, path: &Path) -> Result<(), Vec<Problem>> {
    let mut problems = Vec::new();
    let mut wrong = |message: String| problems.push(at(path, message));
    if manifest.name.is_empty() {
        wrong("its manifest has no `name`".to_owned());
    }
    hooks(&manifest.hooks, code).into_iter().for_each(&mut wrong);
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
    let properties = manifest.config_schema.as_ref().and_then(|schema| schema.get("properties"));
    for key in RESERVED.iter().filter(|key| properties.is_some_and(|own| own.get(key).is_some())) {
        wrong(format!(
            "its `config_schema` has `{key}`, which is a key of the gateway's own: rename it"
        ));
    }
    if problems.is_empty() { Ok(()) } else { Err(problems) }
}

/// Checks that the manifest in the file's section and the one from `describe` agree. A config may
/// leave some hooks unused.
pub(super) fn agree(
    in_section: &Manifest,
    described: &Manifest,
    path: &Path,
) -> Result<(), Vec<Problem>> {
    let Some(part) = in_section.differs_in(described) else { return Ok(()) };
    let message = format!(
        "its section `{SECTION}` and its `describe` differ in `{part}`: rebuild it, so that both \
         agree"
    );
    Err(vec![at(path, message)])
}

/// Checks a plugin's config, without the gateway's own keys.
pub(super) fn config(
    manifest: &Manifest,
    file: &str,
    config: &Map<String, Value>,
) -> Result<(), Vec<Problem>> {
    let Some(expected) = &manifest.config_schema else { return Ok(()) };
    schema::check(expected, &Value::Object(config.clone())).map_err(|misfit| {
        vec![Problem::new(format!("{}{}", place(file), misfit.path), misfit.message)]
    })
}
