//! `cargo xtask plugins`: guests to wasm32, core modules to components.
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, Result, bail};
use tidegate_builder::shell::say;
use tidegate_builder::{Module, Toolchain, Way, section};

use crate::describe;
use crate::shell::{cargo_program, root};

/// A crate that becomes a `.wasm`.
struct Guest {
    name: String,
    source: PathBuf,
    output: PathBuf,
}

/// Builds the guests that have a newer source, and says so; nothing else is printed.
pub fn plugins(args: &[&str]) -> Result<()> {
    let way = match args {
        [] => None,
        ["--toolchain", way] => Some(Way::parse(way)?),
        _ => bail!("usage: cargo xtask plugins [--toolchain own|rustup|debian]"),
    };
    build(way)
}

/// Builds what is out of date, by the first way to a wasm32 std that there is.
pub fn build_stale() -> Result<()> {
    build(None)
}

fn build(way: Option<Way>) -> Result<()> {
    let mut stale = guests()?;
    if way.is_none() {
        let shared = ["sdk", "plugins/Cargo.toml", "plugins/shared"].map(|path| root().join(path));
        let shared = newest(&shared.each_ref().map(|path| path.as_path()))?;
        stale.retain(|guest| is_stale(guest, shared));
    }
    if stale.is_empty() {
        return Ok(());
    }
    let names: Vec<_> = stale.iter().map(|guest| guest.name.as_str()).collect();
    say(&format!("building the plugins {} (the first time takes a minute)", names.join(", ")));
    let toolchain = Toolchain::find(way, &cargo_program(), root())?;
    let manifest = root().join("plugins/Cargo.toml");
    let target = root().join("target");
    let modules = tidegate_builder::modules(&toolchain, &manifest, &names, Some(&target))?;
    for guest in &stale {
        let module = modules.iter().find(|module| module.package == guest.name);
        let module = module
            .with_context(|| format!("{} builds no `{}`", guest.source.display(), guest.name))?;
        finish(module, guest)?;
    }
    Ok(())
}

/// Every crate below `plugins/` is shipped; those below `tests/guests/` are for tests.
fn guests() -> Result<Vec<Guest>> {
    let mut found = Vec::new();
    let places = [("plugins", "plugins"), ("tests/guests", "target/guests")];
    for (sources, outputs) in places {
        let dir = root().join(sources);
        let entries =
            fs::read_dir(&dir).with_context(|| format!("cannot read {}", dir.display()))?;
        for entry in entries {
            let source = entry?.path();
            if !source.join("Cargo.toml").is_file() {
                continue;
            }
            let name = source.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let output = root().join(outputs).join(format!("{name}.wasm"));
            found.push(Guest { name, source, output });
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

fn is_stale(guest: &Guest, shared: SystemTime) -> bool {
    // one of an older xtask lacks its manifest
    let wasm = fs::read(&guest.output).unwrap_or_default();
    if section::read(&wasm, section::MANIFEST).is_none() {
        return true;
    }
    let built = fs::metadata(&guest.output).and_then(|meta| meta.modified());
    match (built, newest(&[&guest.source])) {
        (Ok(built), Ok(own)) => built < own.max(shared),
        _ => true,
    }
}

/// When the newest file below some paths was written.
fn newest(paths: &[&Path]) -> Result<SystemTime> {
    let mut newest = SystemTime::UNIX_EPOCH;
    for path in paths {
        let meta = fs::metadata(path).with_context(|| format!("cannot read {}", path.display()))?;
        if !meta.is_dir() {
            newest = newest.max(meta.modified()?);
            continue;
        }
        for entry in fs::read_dir(path)? {
            let path = entry?.path();
            if path.file_name().is_some_and(|name| name != "target") {
                newest = newest.max(self::newest(&[&path])?);
            }
        }
    }
    Ok(newest)
}

/// With its manifest in it, which a gateway reads without running it.
fn finish(module: &Module, guest: &Guest) -> Result<()> {
    let named = || format!("the plugin `{}`", guest.name);
    let manifest = describe::manifest(&module.file).with_context(named)?;
    let component = tidegate_builder::componentize(&module.file).with_context(named)?;
    let component = section::with(&component, section::MANIFEST, manifest.as_bytes());
    tidegate_builder::write(&component, &guest.output)?;
    let shown = guest.output.strip_prefix(root()).unwrap_or(&guest.output);
    say(&format!("{} ({} KiB)", shown.display(), component.len() / 1024));
    Ok(())
}
