//! `cargo xtask test`: the plugins, and every test there is.
use std::process::Command;

use anyhow::{Result, bail};

use crate::plugins;
use crate::shell::{cargo, root, target_dir};
use tidegate_builder::shell::{output_of, run, say};

/// Runs real clients against a gateway, where it is there and they are.
const CLIENTS: &str = "tests/clients/run.py";

/// Builds plugins in other languages, and calls them.
const PLUGINS: &str = "tests/clients/plugins.py";

/// Stops at the first failure.
pub fn test(args: &[&str]) -> Result<()> {
    if !args.is_empty() {
        bail!("usage: cargo xtask test");
    }
    say("1/4 plugins");
    plugins::build_stale()?;
    say("2/4 the gateway's tests");
    run(&mut cargo(&["test", "--workspace"]))?;
    say("3/4 the SDK's and the plugins' own tests");
    let mut native = cargo(&[
        "test",
        "--workspace",
        "--exclude",
        "unruly",
        "--exclude",
        "hooks",
        "--exclude",
        "posix",
    ]);
    native.arg("--manifest-path").arg(root().join("plugins/Cargo.toml"));
    native.arg("--target-dir").arg(root().join("target/guests-native"));
    run(&mut native)?;
    say("4/4 real clients");
    clients()?;
    say("all tests passed");
    Ok(())
}

fn clients() -> Result<()> {
    if !root().join(CLIENTS).is_file() {
        say(&format!("skipped: there is no {CLIENTS}"));
        return Ok(());
    }
    if output_of(root(), "python3", &["--version"]).is_none() {
        say("skipped: python3 is missing (apt-get install python3 python3-venv)");
        return Ok(());
    }
    if output_of(root(), "node", &["--version"]).is_none() {
        say(
            "node is missing: the TypeScript SDK, Claude Code and plugins in JavaScript are not tested",
        );
    }
    run(&mut cargo(&["build", "--package", "tidegate"]))?;
    let gateway = target_dir().join("debug").join("tidegate");
    for suite in [CLIENTS, PLUGINS] {
        run(Command::new("python3").arg(suite).arg("--binary").arg(&gateway).current_dir(root()))?;
    }
    Ok(())
}
