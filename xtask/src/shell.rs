//! Where things are, and the cargo that runs this.
use std::path::{Path, PathBuf};
use std::process::Command;

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

/// The cargo that runs this.
pub fn cargo_program() -> PathBuf {
    env("CARGO").map_or_else(|| PathBuf::from("cargo"), PathBuf::from)
}

/// The same, at the root of the repository.
pub fn cargo(args: &[&str]) -> Command {
    let mut command = Command::new(cargo_program());
    command.args(args).current_dir(root());
    command
}
