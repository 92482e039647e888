//! Builds the gateway.
use std::path::PathBuf;

use anyhow::Result;
use tidegate_builder::shell::run;

use crate::shell::{cargo, target_dir};

/// How the gateway is compiled.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// The profile that the tests use as well, so that both share what is compiled.
    Dev,
    /// Slow to compile: link-time optimization.
    Release,
}

/// Builds the gateway and returns its program.
pub fn build(profile: Profile) -> Result<PathBuf> {
    let mut command = cargo(&["build", "--package", "tidegate"]);
    let folder = match profile {
        Profile::Dev => "debug",
        Profile::Release => {
            command.arg("--release");
            "release"
        }
    };
    run(&mut command)?;
    Ok(target_dir().join(folder).join("tidegate"))
}
