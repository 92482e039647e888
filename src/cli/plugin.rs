//! `tidegate plugin`: a new plugin, its build, a look into one, one call of one.
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Subcommand;

use crate::cli::plugin_host::failed;
use crate::cli::{plugin_build, plugin_call, plugin_inspect, plugin_new};
use crate::error::{Problem, Result};

/// What can be done with plugins.
#[derive(Subcommand)]
pub enum PluginCommand {
    /// Makes a project that builds, with a tool and tests that pass.
    New {
        /// The plugin's name and the folder's: a letter first, then a-z, 0-9 and `-`.
        name: String,
        /// What it is written in.
        #[arg(long, value_enum, default_value_t = plugin_new::Language::Rust)]
        lang: plugin_new::Language,
    },
    /// Compiles a project and makes the component, with its manifest in it.
    Build(plugin_build::Build),
    /// Shows what a plugin is and what it wants, without running it.
    Inspect {
        /// The component.
        #[arg(value_name = "FILE.wasm")]
        file: PathBuf,
    },
    /// Runs one call of a tool, or a hook over a request, with the real host; exits 1 if it fails.
    Call(Box<plugin_call::Trial>),
}

impl PluginCommand {
    /// Does it. `config` is the gateway's, which need not be there.
    pub fn run(&self, config: &Path) -> ExitCode {
        match self {
            Self::New { name, lang } => end(plugin_new::run(name, *lang)),
            Self::Build(build) => end(build.run()),
            Self::Inspect { file } => end(plugin_inspect::run(file)),
            Self::Call(trial) => trial.run(config),
        }
    }
}

fn end(done: Result<(), Vec<Problem>>) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(problems) => failed(&problems),
    }
}
