//! What a person types: `cargo xtask bench`.
mod bench;

use std::process::ExitCode;

fn main() -> ExitCode {
    let given: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match given.split_first() {
        Some((command, rest)) if command == "bench" => bench::run(rest),
        _ => Err("usage: cargo xtask bench [OPTIONS]".to_owned()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("xtask: {message}");
            ExitCode::FAILURE
        }
    }
}
