//! Compiles a `.wasm` file and reads the manifest in its section, without running it.
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use tidegate_builder::section;
use wasmtime::component::Component;

use crate::disk;
use crate::error::Problem;
use crate::plugin_host::check::{self, at};
use crate::plugin_host::code::Code;
use crate::plugin_host::engine::Runtime;
use crate::plugin_host::export::Export;
use crate::plugin_host::host::PluginHost;
use crate::plugin_host::manifest::{Manifest, SECTION, manifest_of};

/// A plugin file, read and compiled but not run.
pub(super) struct Read {
    pub(super) hash: [u8; 32],
    pub(super) code: Arc<Code>,
    /// The manifest in the file's section.
    pub(super) in_section: Option<Manifest>,
}

/// The longest time to compile a file. Only a cache on a disk that hangs takes as long.
const LONGEST: Duration = Duration::from_secs(600);

/// Reads and compiles a file on a blocking thread, because compiling takes seconds.
pub(super) async fn read_apart(host: &Arc<PluginHost>, path: &Path) -> Result<Read, Vec<Problem>> {
    let (blocking, file) = (Arc::clone(host), path.to_owned());
    let read = tokio::task::spawn_blocking(move || read(&blocking, &file));
    match tokio::time::timeout(LONGEST, read).await {
        Ok(Ok(read)) => read.map_err(|problem| vec![problem]),
        Ok(Err(_)) => Err(vec![at(path, "the compiler panicked")]),
        Err(_) => Err(vec![at(path, format!("was not compiled within {LONGEST:?}"))]),
    }
}

fn read(host: &PluginHost, path: &Path) -> Result<Read, Problem> {
    let wasm = disk::bytes(path).map_err(|unread| unread.at(path))?;
    let hash = Sha256::digest(&wasm).into();
    let code = compile(host, &wasm, hash, path)?;
    let in_section =
        manifest_of(&wasm).map_err(|e| at(path, format!("its section `{SECTION}`: {e}")))?;
    Ok(Read { hash, code, in_section })
}

fn compile(
    host: &PluginHost,
    wasm: &[u8],
    hash: [u8; 32],
    path: &Path,
) -> Result<Arc<Code>, Problem> {
    if !wasm.starts_with(b"\0asm") {
        return Err(at(path, "is no WebAssembly file"));
    }
    // the version field of the preamble distinguishes a component from a core module
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
    // without the manifest's section, so that wasmtime's cache already has a plugin that was just
    // built and described
    let code = section::before(wasm, SECTION);
    let component = Component::from_binary(&runtime.engine, code)
        .map_err(|error| at(path, uncompilable(&error)))?;
    let code = Arc::new(link(runtime, &component, path)?);
    host.remember(hash, &code);
    Ok(code)
}

/// Returns the message for a compile error. Wasmtime has one kind of error for invalid wasm and for
/// a component that no slot of the pool can hold.
fn uncompilable(error: &wasmtime::Error) -> String {
    let text = format!("{error:#}");
    match text.contains("pooling allocator") {
        true => format!("needs more resources at the start than a plugin may have: {text}"),
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
