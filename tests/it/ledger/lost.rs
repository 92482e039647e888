//! A second gateway on the same file, a restart, and a gateway that is killed.
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use super::{file, rows, total, written};
use crate::commands::{CONFIG, Serving, folder, tidegate};
use crate::reload::unread::as_user;
use crate::support::client::Ask;
use crate::support::gateway::Gateway;
use crate::support::{MESSAGE, until};

/// Starts the program on free ports. Returns the addresses of its listeners.
fn serve(config: &Path) -> (Serving, SocketAddr) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
    command.args(["serve", "--config"]).arg(config);
    serving(command)
}

fn serving(mut command: Command) -> (Serving, SocketAddr) {
    let mut serving = Serving(command.stderr(Stdio::piped()).spawn().unwrap());
    let mut lines = BufReader::new(serving.0.stderr.take().unwrap()).lines();
    let line = lines.find_map(|line| line.ok().filter(|line| line.contains("tidegate serves")));
    let start: Value = serde_json::from_str(&line.unwrap()).unwrap();
    // the rest is read, so that the program can go on writing
    std::thread::spawn(move || lines.for_each(drop));
    (serving, start["listen"].as_str().unwrap().parse().unwrap())
}

const LISTEN: &str = "listen: 127.0.0.1:0\nlog: { format: json }\n";

#[tokio::test]
async fn a_second_gateway_on_the_same_file_is_refused() {
    let gateway =
        Gateway::with().provider("sim", "{ type: simulator }").config("ledger: {}").start().await;
    let ledger = file(gateway.folder());
    // a ledger that is not named is refused as well: two gateways would have one state
    for other in [
        format!("ledger: {{ url: \"sqlite:{}\" }}", ledger.display()),
        format!("state_dir: {}", ledger.parent().unwrap().display()),
    ] {
        let (_folder, config) = folder(&format!("{LISTEN}{CONFIG}{other}\n"), &[]);
        let output = tidegate(&config, &["serve"]);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{said}");
        let expected = "another gateway writes to this file";
        assert!(said.starts_with("ledger.url: ") && said.contains(expected), "{said}");
    }
    // the first one goes on
    Ask::message(MESSAGE).send(gateway.address).await.message();
    written(&gateway, 1).await;
}

#[tokio::test]
async fn without_a_writable_folder_only_a_ledger_that_the_config_names_stops_the_start() {
    let (folder, config) = folder("", &[]);
    // the kernel refuses new folders in `/proc` with `ENOENT`, also to root: that is no matter of permission
    let proc = format!("{LISTEN}{CONFIG}state_dir: /proc/state\n");
    std::fs::write(&config, format!("{proc}ledger: sqlite\n")).unwrap();
    let said = String::from_utf8(tidegate(&config, &["serve"]).stderr).unwrap();
    assert!(said.contains("ledger.url: /proc/state/ledger.sqlite: cannot be written"), "{said}");
    std::fs::write(&config, proc).unwrap();
    let (_serving, address) = serve(&config);
    Ask::message(MESSAGE).send(address).await.message();
    let readable = |ledger: &str| {
        std::fs::write(&config, format!("{LISTEN}{CONFIG}state_dir: state\n{ledger}")).unwrap();
        let command = as_user(&folder, &config, "serve");
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o555);
        std::fs::set_permissions(folder.path(), mode).unwrap();
        command
    };
    let output = readable("ledger: sqlite\n").output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("cannot be written: Permission denied"), "{said}");
    let (_serving, address) = serving(readable(""));
    Ask::message(MESSAGE).send(address).await.message();
}

#[tokio::test]
async fn a_ledger_outlives_its_gateway_and_a_drain_writes_everything() {
    let (_folder, config) = folder(&format!("{LISTEN}{CONFIG}state_dir: own/state\n"), &[]);
    for round in 1..=3 {
        let (mut serving, address) = serve(&config);
        for _ in 0..20 {
            Ask::message(MESSAGE).send(address).await.message();
        }
        let pid = serving.0.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        assert!(serving.0.wait().unwrap().success());
        assert_eq!(total(&config)["requests"], round * 20);
    }
    let state = config.parent().unwrap().join("own/state");
    assert!(state.join("ledger.sqlite").exists() && state.join("cache").exists());
    assert!(!config.parent().unwrap().join(".tidegate").exists());
}

#[tokio::test]
async fn a_gateway_that_is_killed_loses_nothing_that_was_written_and_starts_again() {
    let (folder, config) = folder(&format!("{LISTEN}{CONFIG}"), &[]);
    let (mut serving, address) = serve(&config);
    for _ in 0..50 {
        Ask::message(MESSAGE).send(address).await.message();
    }
    // without further requests, the last batch is written too
    let ledger = file(folder.path());
    until("all rows", async || rows(&ledger, "SELECT count(*) FROM exchange").await == [50]).await;
    for _ in 0..10 {
        Ask::message(MESSAGE).send(address).await.message();
    }
    serving.0.kill().unwrap();
    serving.0.wait().unwrap();
    let kept = total(&config)["requests"].as_i64().unwrap();
    assert!((50..=60).contains(&kept), "{kept}");
    // the rows and their sums are of the same transactions
    assert_eq!(rows(&ledger, "SELECT count(*) FROM exchange").await, [kept]);
    assert_eq!(rows(&ledger, "PRAGMA integrity_check").await, ["ok"]);
    let (_serving, address) = serve(&config);
    Ask::message(MESSAGE).send(address).await.message();
    until("the next row", async || total(&config)["requests"] == kept + 1).await;
}
