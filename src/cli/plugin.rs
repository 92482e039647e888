//! `tidegate plugin`: a new plugin, its build, a look into one, one call of one.
use std::future::Future;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::Subcommand;

use crate::cli::{plugin_build, plugin_call, plugin_inspect, plugin_new};
use crate::error::{Problem, Result};
use crate::plugin_host::PluginHost;

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

/// Prints each on a line of its own.
pub(super) fn failed(problems: &[Problem]) -> ExitCode {
    for problem in problems {
        eprintln!("{problem}");
    }
    ExitCode::FAILURE
}

/// A problem with a file.
pub(super) fn at(path: &Path, message: impl Into<String>) -> Vec<Problem> {
    vec![Problem::new(path.display().to_string(), message)]
}

/// Runs to its end what takes a runtime.
pub(super) fn block_on<T>(
    work: impl Future<Output = Result<T, Vec<Problem>>>,
) -> Result<T, Vec<Problem>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|e| vec![Problem::new("", format!("cannot start: {e}"))])?;
    runtime.block_on(work)
}

/// Where `serve` keeps what it compiles, for a config in this folder: the second time is quick then.
pub(super) fn cache(beside: &Path) -> Option<PathBuf> {
    std::path::absolute(beside.join(".tidegate").join("cache")).ok()
}

/// The host that `serve` has; where nothing can be written, it keeps nothing.
pub(super) fn host(beside: &Path) -> Result<Arc<PluginHost>, Vec<Problem>> {
    let host = PluginHost::new(cache(beside)).or_else(|_| PluginHost::new(None));
    host.map_err(|problem| vec![problem])
}
