//! `tidegate schema`: prints the schema with which editors complete and check `tidegate.yaml`.
use std::io::{self, Write};
use std::process::ExitCode;

use crate::config;

/// Prints the JSON Schema of the config.
pub(crate) fn run() -> ExitCode {
    // a reader that closes early, such as `head`, is no reason to panic
    match writeln!(io::stdout(), "{:#}", config::schema()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}
