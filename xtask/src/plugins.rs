//! `cargo xtask plugins`: compiles guests to core modules. The gateway makes plugins of them.
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::SystemTime;

use anyhow::{Context, Result, bail};
use tidegate_builder::shell::say;
use tidegate_builder::{Toolchain, Way};

use crate::gateway::{self, Profile};
use crate::shell::{cargo_program, root};

/// The crates to build.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Set {
    /// The crates that Tidegate ships.
    Bundled,
    /// The crates of the tests as well.
    WithTests,
}

/// A crate that is built to a `.wasm` file.
struct Guest {
    name: String,
    source: PathBuf,
    output: PathBuf,
}

/// Builds the guests with a source newer than their file, or all of them by one toolchain.
pub fn plugins(args: &[&str]) -> Result<()> {
    let way = match args {
        [] => None,
        ["--toolchain", way] => Some(Way::parse(way)?),
        _ => bail!("usage: cargo xtask plugins [--toolchain own|rustup|debian]"),
    };
    let gateway = || gateway::build(Profile::Dev);
    match way {
        None => build_stale(gateway, Set::WithTests),
        Some(_) => build(&gateway()?, guests(Set::WithTests)?, way),
    }
}

/// Builds the guests of a set with a source newer than their file. `gateway` returns the program
/// that makes plugins of them.
pub fn build_stale(gateway: impl FnOnce() -> Result<PathBuf>, set: Set) -> Result<()> {
    let mut stale = guests(set)?;
    let shared = ["sdk", "plugins/Cargo.toml", "plugins/shared"].map(|path| root().join(path));
    let shared = newest(&shared.each_ref().map(|path| path.as_path()))?;
    stale.retain(|guest| is_stale(guest, shared));
    match stale.is_empty() {
        true => Ok(()),
        false => build(&gateway()?, stale, None),
    }
}

fn build(gateway: &Path, guests: Vec<Guest>, way: Option<Way>) -> Result<()> {
    let names: Vec<_> = guests.iter().map(|guest| guest.name.as_str()).collect();
    say(&format!("plugins: {} (the first time takes some minutes)", names.join(", ")));
    let toolchain = Toolchain::find(way, &cargo_program(), root())?;
    let manifest = root().join("plugins/Cargo.toml");
    let target = root().join("target");
    let modules = tidegate_builder::modules(&toolchain, &manifest, &names, Some(&target))?;
    for (n, guest) in guests.iter().enumerate() {
        let module = modules.iter().find(|module| module.package == guest.name);
        let module = module
            .with_context(|| format!("{} builds no `{}`", guest.source.display(), guest.name))?;
        say(&format!("plugin {} of {}: {}", n + 1, guests.len(), guest.name));
        finish(gateway, &module.file, guest)?;
    }
    Ok(())
}

/// Makes a plugin of a core module. The gateway reads the manifest from it and writes both.
fn finish(gateway: &Path, module: &Path, guest: &Guest) -> Result<()> {
    let mut command = Command::new(gateway);
    command.args(["plugin", "build"]).arg(module).arg("--out").arg(&guest.output);
    let status = command.stdout(Stdio::null()).status();
    let status = status.with_context(|| format!("cannot start {}", gateway.display()))?;
    match status.success() {
        true => Ok(()),
        false => bail!("the plugin `{}` cannot be built ({status})", guest.name),
    }
}

/// Returns the guests of a set. The crates in `plugins/` are bundled; those in `tests/guests/` are
/// for tests.
fn guests(set: Set) -> Result<Vec<Guest>> {
    let mut found = Vec::new();
    let all = [("plugins", "plugins"), ("tests/guests", "target/guests")];
    let places = match set {
        Set::Bundled => &all[..1],
        Set::WithTests => &all[..],
    };
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
    let built = fs::metadata(&guest.output).and_then(|meta| meta.modified());
    match (built, newest(&[&guest.source])) {
        (Ok(built), Ok(own)) => built < own.max(shared),
        _ => true,
    }
}

/// Returns the time of the newest file of some paths.
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
