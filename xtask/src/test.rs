//! `cargo xtask test`: builds the plugins and runs all tests.
use std::path::Path;
use std::process::Command;

use anyhow::{Result, bail};

use crate::gateway::{self, Profile};
use crate::plugins::{self, Set};
use crate::shell::{cargo, root};
use tidegate_builder::shell::{output_of, run, say};

/// The script that runs real clients against a gateway, if script and clients exist.
const CLIENTS: &str = "tests/clients/run.py";

/// The script that builds plugins in other languages and calls them.
const PLUGINS: &str = "tests/clients/plugins.py";

/// The script that runs a gateway against fake upstreams.
const UPSTREAMS: &str = "tests/upstreams/run.py";

/// The script that breaks what a gateway depends on while it is under load.
const LOAD: &str = "tests/load/run.py";

/// The script that opens the dashboard in Chromium.
const BROWSER: &str = "tests/browser/run.py";

/// The suites. Each of them can run alone.
const SUITES: [&str; 6] = ["gateway", "plugins", "clients", "upstreams", "load", "browser"];

/// Runs the suites. Stops at the first failure.
pub fn test(args: &[&str]) -> Result<()> {
    let suites = match args {
        [] => &SUITES[..],
        ["--suite", suite] if SUITES.contains(suite) => &args[1..],
        _ => bail!("usage: cargo xtask test [--suite {}]", SUITES.join("|")),
    };
    say("step 1: the gateway (the first time takes 5 to 10 minutes)");
    let gateway = gateway::build(Profile::Dev)?;
    say("step 2: plugins, those of the tests too (the first time takes some minutes)");
    plugins::build_stale(|| Ok(gateway.clone()), Set::WithTests)?;
    for suite in suites {
        say(&format!("tests: {suite}"));
        match *suite {
            "gateway" => run(&mut cargo(&["test", "--workspace"]))?,
            "plugins" => guests()?,
            "clients" => scripts(&[CLIENTS, PLUGINS], &gateway)?,
            "upstreams" => scripts(&[UPSTREAMS], &gateway)?,
            "load" => scripts(&[LOAD], &gateway)?,
            _ => scripts(&[BROWSER], &gateway)?,
        }
    }
    say("all tests passed");
    Ok(())
}

/// Runs the SDK's and the plugins' own tests on the host.
fn guests() -> Result<()> {
    let mut native = cargo(&["test", "--workspace"]);
    for name in ["unruly", "hooks", "posix"] {
        native.args(["--exclude", name]);
    }
    native.arg("--manifest-path").arg(root().join("plugins/Cargo.toml"));
    native.arg("--target-dir").arg(root().join("target/guests-native"));
    run(&mut native)
}

/// Runs these scripts with the built gateway.
fn scripts(scripts: &[&str], gateway: &Path) -> Result<()> {
    if let Some(script) = scripts.iter().find(|script| !root().join(script).is_file()) {
        say(&format!("skipped: there is no {script}"));
        return Ok(());
    }
    if output_of(root(), "python3", &["--version"]).is_none() {
        say("skipped: python3 is missing (apt-get install python3 python3-venv)");
        return Ok(());
    }
    if output_of(root(), "node", &["--version"]).is_none() {
        say(
            "node is missing: the TypeScript SDK, Claude Code, plugins in JavaScript and aimock are not tested",
        );
    }
    for script in scripts {
        run(Command::new("python3").arg(script).arg("--binary").arg(gateway).current_dir(root()))?;
    }
    Ok(())
}
