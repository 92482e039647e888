//! `tidegate check`: builds everything that `serve` would, and prints every problem on its own line.
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use crate::config::{Config, Partly};
use crate::error::Problem;
use crate::gateway::Gateway;
use crate::gateway::shared::Shared;
use crate::telemetry::events::Events;
use crate::telemetry::otlp::Otlp;

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

/// Builds a generation from the config in `file` and discards it: policies compile, plugins load,
/// certificates are read. Opens no listener and writes nothing: compiled plugins are not kept.
///
/// Fails with every problem. If parts of the config are wrong, the parts that do not depend on them are
/// still built.
pub fn check(file: &Path) -> Result<(), Vec<Problem>> {
    let Partly { config, mut problems } = Config::load_partly(file)?;
    for warning in config.warnings() {
        eprintln!("warning: {warning}");
    }
    if problems.is_empty() {
        return build(&config);
    }
    // the folders themselves may be wrong
    let is_in = |section: &str| problems.iter().any(|found| found.path.starts_with(section));
    if !is_in("policies") && !is_in("plugins") {
        let mut further = build(&config).err().unwrap_or_default();
        // a setting that is wrong by itself is found again while its part is built
        further.retain(|problem| !problems.contains(problem));
        // models lack the providers that were left out
        let is_cause = |problem: &Problem| {
            !problem.path.starts_with("models.") && problem.path != "passthrough"
        };
        problems.extend(further.into_iter().filter(is_cause));
    }
    Err(problems)
}

/// Builds a generation from a config and discards it.
pub(super) fn build(config: &Config) -> Result<(), Vec<Problem>> {
    let shared = Arc::new(Shared::new(1, None)?);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| vec![Problem::new("", format!("cannot start: {e}"))])?;
    let built = runtime.block_on(Gateway::build(config, 1, &shared));
    let mut problems = built.err().unwrap_or_default();
    problems.extend(Otlp::check(&config.otlp, &shared.metrics.exporter));
    problems.extend(Events::check(&config.sinks));
    match problems.is_empty() {
        true => Ok(()),
        false => Err(problems),
    }
}
