//! Builds the gateway.
use std::path::PathBuf;

use anyhow::Result;
use tidegate_builder::shell::run;

use crate::shell::{cargo, target_dir};

/// The build profile of the gateway.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// The profile of the tests, so that both share the compiled crates.
    Dev,
    /// A profile with link-time optimization, slow to compile.
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
