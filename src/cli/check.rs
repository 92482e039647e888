//! `tidegate check`: every problem of the config, one a line.
use std::path::Path;
use std::process::ExitCode;

use crate::config::Config;

/// Prints `ok`, or the problems on standard error.
pub fn run(config: &Path) -> ExitCode {
    match Config::load(config) {
        Ok(_) => {
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
