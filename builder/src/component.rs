//! Makes components of core modules, and writes them to files.
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use wit_component::ComponentEncoder;

/// Makes a component of a core module that was compiled with the SDK.
pub fn componentize(module: &Path) -> Result<Vec<u8>> {
    let wasm = fs::read(module).with_context(|| format!("cannot read {}", module.display()))?;
    ComponentEncoder::default()
        .validate(true)
        .module(&wasm)
        .and_then(|mut encoder| encoder.encode())
        .with_context(|| format!("cannot make a component of {}", module.display()))
}

/// Writes a component to a place that a gateway may watch. The gateway never sees a partial file.
pub fn write(component: &[u8], file: &Path) -> Result<()> {
    let dir = file.parent().filter(|dir| !dir.as_os_str().is_empty());
    let dir = dir.unwrap_or(Path::new("."));
    fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
    let partial = file.with_extension("wasm.partial");
    fs::write(&partial, component)
        .and_then(|()| fs::rename(&partial, file))
        .with_context(|| format!("cannot write {}", file.display()))
}
