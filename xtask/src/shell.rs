//! Starting other programs, and where things are.
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// The root of the repository.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."))
}

/// A value of the environment.
#[expect(clippy::disallowed_methods, reason = "xtask is no part of the gateway")]
pub fn env(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Where the host's cargo puts what it builds.
pub fn target_dir() -> PathBuf {
    root().join(env("CARGO_TARGET_DIR").unwrap_or_else(|| "target".to_owned()))
}

/// The cargo that runs this, at the root of the repository.
pub fn cargo(args: &[&str]) -> Command {
    let mut command = Command::new(env("CARGO").unwrap_or_else(|| "cargo".to_owned()));
    command.args(args).current_dir(root());
    command
}

/// Says what is going on.
pub fn say(what: &str) {
    eprintln!("==> {what}");
}

/// Runs a command to its end, its output for the person to see.
pub fn run(command: &mut Command) -> Result<()> {
    let shown = shown(command);
    say(&shown);
    let status = command.status().with_context(|| format!("cannot start `{shown}`"))?;
    if !status.success() {
        bail!("`{shown}` failed ({status})");
    }
    Ok(())
}

/// What a command prints; `None` if it cannot be started or fails.
pub fn output(program: &str, args: &[&str]) -> Option<String> {
    let output =
        Command::new(program).args(args).current_dir(root()).stderr(Stdio::null()).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}

fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or_default();
    let words = std::iter::once(program).chain(command.get_args());
    words.map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ")
}
