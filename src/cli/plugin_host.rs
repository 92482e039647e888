//! Shared by the commands of `tidegate plugin`: a host like that of `serve`, a runtime, and problems.
use std::future::Future;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use crate::error::{Problem, Result};
use crate::plugin_host::PluginHost;

/// Prints each problem on its own line.
pub(super) fn failed(problems: &[Problem]) -> ExitCode {
    for problem in problems {
        eprintln!("{problem}");
    }
    ExitCode::FAILURE
}

/// Returns a problem with a file.
pub(super) fn at(path: &Path, message: impl Into<String>) -> Vec<Problem> {
    vec![Problem::new(path.display().to_string(), message)]
}

/// Runs a future to its end on a new runtime.
pub(super) fn block_on<T>(
    work: impl Future<Output = Result<T, Vec<Problem>>>,
) -> Result<T, Vec<Problem>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|e| vec![Problem::new("", format!("cannot start: {e}"))])?;
    runtime.block_on(work)
}

/// Returns the folder in which `serve` caches compiled plugins, for a config in this folder.
pub(super) fn cache(beside: &Path) -> Option<PathBuf> {
    std::path::absolute(beside.join(".tidegate").join("cache")).ok()
}

/// Returns the same host as `serve`. If the cache is not writable, the host has none.
pub(super) fn host(beside: &Path) -> Result<Arc<PluginHost>, Vec<Problem>> {
    let host = PluginHost::new(cache(beside)).or_else(|_| PluginHost::new(None));
    host.map_err(|problem| vec![problem])
}
