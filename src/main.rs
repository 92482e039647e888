//! The binary: arguments go to `cli`.
use std::process::ExitCode;

fn main() -> ExitCode {
    tidegate::cli::run()
}
