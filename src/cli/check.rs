//! `tidegate check`: everything that `serve` would build, and every problem on a line of its own.
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use crate::config::Config;
use crate::error::Problem;
use crate::gateway::Gateway;
use crate::gateway::shared::Shared;

/// Prints `ok`, or the problems on standard error.
pub fn run(config: &Path) -> ExitCode {
    match check(config) {
        Ok(()) => {
            println!("ok");
            ExitCode::SUCCESS
        }
        Err(problems) => {
            for problem in problems {
                eprintln!("{problem}");
            }
            ExitCode::FAILURE
        }
    }
}

/// Builds a generation from the config in `file` and throws it away: policies compile, plugins load,
/// certificates are read. Nothing listens, and nothing is written: compiled plugins are not kept.
///
/// Fails with every problem found; policies and plugins are only looked at if the config holds
/// together.
pub fn check(file: &Path) -> Result<(), Vec<Problem>> {
    let config = Config::load(file)?;
    let shared = Arc::new(Shared::new(1, None)?);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| vec![Problem::new("", format!("cannot start: {e}"))])?;
    runtime.block_on(Gateway::build(&config, 1, &shared)).map(drop)
}
