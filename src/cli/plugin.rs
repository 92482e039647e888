//! `tidegate plugin`: creates, builds, inspects and calls plugins.
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Subcommand;

use crate::cli::plugin_host::failed;
use crate::cli::{plugin_build, plugin_call, plugin_inspect, plugin_new};
use crate::error::{Problem, Result};

/// The commands for plugins.
#[derive(Subcommand)]
pub(crate) enum PluginCommand {
    /// Creates a project that builds, with a tool and passing tests.
    New {
        /// The name of the plugin and its folder: a letter first, then a-z, 0-9 and `-`.
        name: String,
        /// The language of the project.
        #[arg(long, value_enum, default_value_t = plugin_new::Language::Rust)]
        lang: plugin_new::Language,
    },
    /// Compiles a project and writes the component, including its manifest.
    Build(plugin_build::Build),
    /// Prints the manifest of a plugin and the capabilities that it requests, without running it.
    Inspect {
        /// The component.
        #[arg(value_name = "FILE.wasm")]
        file: PathBuf,
    },
    /// Runs one call of a tool, or a hook over a request, with the real host; exits 1 if it fails.
    Call(Box<plugin_call::Trial>),
}

impl PluginCommand {
    /// Runs the command. `config` is the gateway's config file, which may be absent.
    pub(crate) fn run(&self, config: &Path) -> ExitCode {
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
