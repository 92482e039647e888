//! The paths of the repository, and the cargo that runs this program.
use std::path::{Path, PathBuf};
use std::process::Command;

/// Returns the root of the repository.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."))
}

/// Returns a variable of the environment.
#[expect(clippy::disallowed_methods, reason = "xtask is no part of the gateway")]
pub fn env(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Returns the output folder of the host's cargo.
pub fn target_dir() -> PathBuf {
    root().join(env("CARGO_TARGET_DIR").unwrap_or_else(|| "target".to_owned()))
}

/// Returns the cargo that runs this program.
pub fn cargo_program() -> PathBuf {
    env("CARGO").map_or_else(|| PathBuf::from("cargo"), PathBuf::from)
}

/// Returns a cargo command at the root of the repository.
pub fn cargo(args: &[&str]) -> Command {
    let mut command = Command::new(cargo_program());
    // the outer cargo sets these; build scripts that read them would run again, and their crates with them
    for (name, _) in std::env::vars_os() {
        let is_of_outer = |prefix: &str| name.to_str().is_some_and(|name| name.starts_with(prefix));
        if is_of_outer("CARGO_PKG_") || is_of_outer("CARGO_MANIFEST_") {
            command.env_remove(&name);
        }
    }
    command.args(args).current_dir(root());
    command
}
