//! `cargo xtask run`: from nothing to a gateway that answers.
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::plugins;
use crate::shell::{cargo, root, target_dir};
use tidegate_builder::shell::{run as run_to_end, say};

const LISTEN: &str = "127.0.0.1:4000";
const CONFIG: &str = "examples/quickstart/tidegate.yaml";
const PATIENCE: Duration = Duration::from_secs(30);

/// Builds, starts, says what to type, and stays until the gateway ends.
pub fn run(args: &[&str]) -> Result<()> {
    if !args.is_empty() {
        bail!("usage: cargo xtask run");
    }
    if TcpStream::connect(LISTEN).is_ok() {
        bail!("something listens on {LISTEN} already: stop it first");
    }
    say("1/3 plugins");
    plugins::build_stale()?;
    say("2/3 gateway (the first time takes some minutes)");
    run_to_end(&mut cargo(&["build", "--release", "--package", "tidegate"]))?;
    say("3/3 start");
    let program = target_dir().join("release").join("tidegate");
    let mut gateway = Command::new(&program)
        .args(["serve", "--config", CONFIG])
        .current_dir(root())
        .spawn()
        .with_context(|| format!("cannot start {}", program.display()))?;
    wait_for_answer(&mut gateway)?;
    println!("{}", greeting());
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
         a message\n{}\n\na stream\n{}\n\na tool that the gateway runs itself\n{}\n\n\
         Its config is {CONFIG}; edit it while the gateway runs. Ctrl-C stops it.\n",
        call("-s", plain),
        call("-sN", stream),
        call("-s", tool),
    )
}
