//! Compiles the guests of a workspace to core modules, and finds the files that cargo wrote.
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::shell::{output, run};
use crate::toolchain::{TARGET, Toolchain};

/// A crate after its compilation to a core module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Module {
    /// The package's name.
    pub package: String,
    /// The core module.
    pub file: PathBuf,
}

/// Compiles the guests among some packages of a manifest (all its own packages if none is named) in
/// release mode. `target_dir` is the folder of the output; cargo's usual folder if it is `None`.
pub fn modules(
    toolchain: &Toolchain,
    manifest: &Path,
    packages: &[&str],
    target_dir: Option<&Path>,
) -> Result<Vec<Module>> {
    let dir = manifest.parent().unwrap_or(Path::new("."));
    let known = metadata(toolchain, manifest)?;
    let target_dir = match target_dir {
        Some(dir) => dir.to_path_buf(),
        None => PathBuf::from(known["target_directory"].as_str().unwrap_or("target")),
    };
    let target_dir = target_dir.join(toolchain.build_dir());
    let mut cargo = toolchain.cargo(dir);
    cargo.args(["build", "--release", "--target", TARGET]).args(toolchain.extra_args());
    cargo.arg("--manifest-path").arg(manifest).arg("--target-dir").arg(&target_dir);
    for name in packages {
        cargo.args(["--package", name]);
    }
    let is_meant = |package: &Value| match packages {
        [] => package["manifest_path"].as_str().is_some_and(|path| Path::new(path) == manifest),
        _ => package["name"].as_str().is_some_and(|name| packages.contains(&name)),
    };
    let all = known["packages"].as_array().into_iter().flatten();
    let found: Vec<Module> =
        all.filter(|p| is_meant(p)).filter_map(|p| module(p, &target_dir)).collect();
    if found.is_empty() {
        bail!(
            "{} builds no plugin: it needs `crate-type = [\"cdylib\", \"rlib\"]` under `[lib]`",
            manifest.display()
        );
    }
    run(&mut cargo)?;
    Ok(found)
}

fn metadata(toolchain: &Toolchain, manifest: &Path) -> Result<Value> {
    let dir = manifest.parent().unwrap_or(Path::new("."));
    let mut cargo = toolchain.cargo(dir);
    cargo.args(["metadata", "--no-deps", "--format-version", "1", "--manifest-path"]).arg(manifest);
    let text = output(&mut cargo).with_context(|| {
        let manifest = manifest.display();
        format!(
            "cargo cannot read {manifest}: `cargo metadata --manifest-path {manifest}` says why"
        )
    })?;
    serde_json::from_str(&text).context("the output of `cargo metadata` is not JSON")
}

fn module(package: &Value, target_dir: &Path) -> Option<Module> {
    let is_guest = |target: &&Value| {
        let kinds = target["crate_types"].as_array().into_iter().flatten();
        kinds.into_iter().any(|kind| kind == "cdylib")
    };
    let target = package["targets"].as_array()?.iter().find(is_guest)?;
    let file = format!("{}.wasm", target["name"].as_str()?.replace('-', "_"));
    let file = target_dir.join(TARGET).join("release").join(file);
    Some(Module { package: package["name"].as_str()?.to_owned(), file })
}
