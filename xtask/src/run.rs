//! `cargo xtask run`: builds and starts a gateway that answers.
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::gateway::{self, Profile};
use crate::plugins::{self, Set};
use crate::shell::root;
use tidegate_builder::shell::say;

const LISTEN: &str = "127.0.0.1:4000";
const CONFIG: &str = "examples/quickstart/tidegate.yaml";
const PATIENCE: Duration = Duration::from_secs(30);

/// Builds the gateway, starts it, prints a first command to try, builds the plugins, and waits for
/// the gateway's end.
pub fn run(args: &[&str]) -> Result<()> {
    let profile = match args {
        [] => Profile::Dev,
        ["--release"] => Profile::Release,
        _ => bail!("usage: cargo xtask run [--release]"),
    };
    if TcpStream::connect(LISTEN).is_ok() {
        bail!("another program listens on {LISTEN}: stop it first");
    }
    say("step 1 of 3: compile the gateway (the first time takes 5 to 10 minutes, then seconds)");
    let program = gateway::build(profile)?;
    say("step 2 of 3: start the gateway");
    let mut gateway = Command::new(&program)
        .args(["serve", "--config", CONFIG])
        .current_dir(root())
        .spawn()
        .with_context(|| format!("cannot start {}", program.display()))?;
    wait_for_answer(&mut gateway)?;
    println!("{}", greeting());
    say("step 3 of 3: compile the bundled plugins; the gateway loads each one when it is there");
    match plugins::build_stale(|| Ok(program), Set::Bundled) {
        Ok(()) => say("the plugins are there; the gateway serves until Ctrl-C"),
        Err(error) => say(&format!("the plugins are missing, the gateway serves on: {error:#}")),
    }
    let status = gateway.wait()?;
    match status.success() {
        true => Ok(()),
        false => bail!("the gateway ended with {status}"),
    }
}

fn wait_for_answer(gateway: &mut Child) -> Result<()> {
    let begin = Instant::now();
    while begin.elapsed() < PATIENCE {
        if let Some(status) = gateway.try_wait()? {
            bail!("the gateway ended with {status}: its log says why");
        }
        if answers().is_some() {
            return Ok(());
        }
        sleep(Duration::from_millis(20));
    }
    gateway.kill()?;
    bail!("the gateway did not answer on {LISTEN} within {} s", PATIENCE.as_secs())
}

fn answers() -> Option<()> {
    let mut stream = TcpStream::connect(LISTEN).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(1))).ok()?;
    stream
        .write_all(
            format!("GET / HTTP/1.1\r\nhost: {LISTEN}\r\nconnection: close\r\n\r\n").as_bytes(),
        )
        .ok()?;
    let mut head = [0; 12];
    stream.read_exact(&mut head).ok()?;
    head.starts_with(b"HTTP/1.1 200").then_some(())
}

fn greeting() -> String {
    let call = |options: &str, body: &str| {
        format!(
            "  curl {options} http://{LISTEN}/v1/messages -H 'content-type: application/json' \\\n    \
             -H 'anthropic-version: 2023-06-01' -d '{body}'"
        )
    };
    let plain =
        r#"{"model":"demo","max_tokens":200,"messages":[{"role":"user","content":"Hello!"}]}"#;
    let stream = r#"{"model":"demo","max_tokens":200,"stream":true,"messages":[{"role":"user","content":"Tell me a story."}]}"#;
    let tool = r#"{"model":"demo","max_tokens":200,"tools":[{"type":"gateway:datetime"}],"messages":[{"role":"user","content":"What time is it?"}]}"#;
    format!(
        "\nTidegate answers on http://{LISTEN} (admin on http://127.0.0.1:4001). Try:\n\n\
         a message\n{}\n\na stream\n{}\n\na tool that the gateway runs itself (once the plugins are there)\n{}\n\n\
         Its config is {CONFIG}; edit it while the gateway runs. Ctrl-C stops it.\n",
        call("-s", plain),
        call("-sN", stream),
        call("-s", tool),
    )
}
