<<<<<<< HEAD
//! `cargo xtask`: what a person types to build, run and test Tidegate.
mod plugins;
mod run;
mod shell;
mod test;
mod toolchain;

use std::process::ExitCode;

use anyhow::{Result, bail};

const USAGE: &str = "\
usage: cargo xtask <command>

  run      build the plugins and the gateway, and start it with the quickstart's config
  test     build the plugins and run every test
  plugins  build the bundled plugins to plugins/<name>.wasm, where a source is newer
           [--toolchain own|rustup|debian] takes that way to a wasm32 std and no other
";

fn main() -> ExitCode {
    match dispatch() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
=======
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
>>>>>>> bench
            ExitCode::FAILURE
        }
    }
}
<<<<<<< HEAD

fn dispatch() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args.as_slice() {
        ["run", rest @ ..] => run::run(rest),
        ["test", rest @ ..] => test::test(rest),
        ["plugins", rest @ ..] => plugins::plugins(rest),
        [] | ["help" | "--help" | "-h", ..] => {
            print!("{USAGE}");
            Ok(())
        }
        [other, ..] => bail!("there is no command `{other}`\n\n{USAGE}"),
    }
}
=======
>>>>>>> bench
