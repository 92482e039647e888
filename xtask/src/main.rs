//! `cargo xtask`: the commands to build, run and test Tidegate.
mod bench;
mod dist;
mod docs;
mod gateway;
mod keep;
mod plugins;
mod release;
mod run;
mod shell;
mod test;

use std::process::ExitCode;

use anyhow::{Result, bail};

const USAGE: &str = "\
usage: cargo xtask <command>

  run      compile and start the gateway with the quickstart's config, then compile the plugins,
           which join it; [--release] compiles it with link-time optimization
  test     compile the gateway and the plugins, and run every test;
           [--suite gateway|plugins|clients|upstreams|load|browser] runs one suite
  plugins  build the bundled plugins to plugins/<name>.wasm, where a source is newer
           [--toolchain own|rustup|debian] takes that way to a wasm32 std and no other
  dist     build the files of a release into target/packages: binary, archive, deb, rpm, bill of
           materials, checksums; `cargo xtask dist --help` lists the options
  docs     build the book in docs/ with mdBook, into target/book
  keep     keep the examples of this version in tests/compat, for the tests of later versions
  bench    compare with nginx in one run; `cargo xtask bench --help` lists the options
";

fn main() -> ExitCode {
    match dispatch() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args.as_slice() {
        ["run", rest @ ..] => run::run(rest),
        ["test", rest @ ..] => test::test(rest),
        ["dist", rest @ ..] => dist::dist(rest),
        ["docs", rest @ ..] => docs::docs(rest),
        ["keep", rest @ ..] => keep::keep(rest),
        ["plugins", rest @ ..] => plugins::plugins(rest),
        ["bench", rest @ ..] => {
            let rest: Vec<String> = rest.iter().map(|arg| (*arg).to_owned()).collect();
            bench::run(&rest).map_err(anyhow::Error::msg)
        }
        [] | ["help" | "--help" | "-h", ..] => {
            print!("{USAGE}");
            Ok(())
        }
        [other, ..] => bail!("there is no command `{other}`\n\n{USAGE}"),
    }
}
