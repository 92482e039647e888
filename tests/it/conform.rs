//! `tidegate conform`: the gateway passes all checks, and every check fails on a gateway that is wrong on purpose.
mod edits;
mod faults;
mod wrong;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::Duration;

use faults::{FAULTS, Fault};
use serde_json::Value;
use tidegate::cli::conform::{Report, Subject, Upstream, check};
use wrong::Proxy;

use crate::support::gateway::Gateway;
use crate::support::generated::check_generated;
use crate::support::within;

const KEY: &str = "sk-conform-1";

fn subject(address: SocketAddr) -> Subject {
    Subject {
        url: format!("http://{address}").parse().unwrap(),
        key: Some(KEY.to_owned()),
        model: "conform-1".to_owned(),
        headers: Vec::new(),
        timeout: Duration::from_secs(10),
        only: None,
    }
}

async fn upstream() -> Upstream {
    Upstream::start("127.0.0.1:0".parse().unwrap()).await.unwrap()
}

/// The checks that fail on a gateway with this fault.
async fn failing(fault: Fault) -> BTreeSet<&'static str> {
    let upstream = upstream().await;
    let proxy = Proxy::start(fault, Some(upstream.address)).await;
    let mut subject = subject(proxy.address);
    if fault == Fault::Buffers {
        // what hangs runs into this limit
        subject.timeout = Duration::from_secs(2);
    }
    let report = check(&upstream, &subject).await.unwrap();
    report.failed().map(|outcome| outcome.facts.id).collect()
}

fn all_pass(report: &Report) {
    assert_eq!(report.failed().count(), 0, "{}", report.text());
    assert!(report.conforms());
    assert!(report.outcomes.len() > 100, "checks are missing: {}", report.outcomes.len());
}

#[tokio::test]
async fn a_selection_of_no_check_is_a_mistake() {
    let upstream = upstream().await;
    let proxy = Proxy::start(Fault::None, Some(upstream.address)).await;
    let only = Some("request-no-such-check".to_owned());
    let found = check(&upstream, &Subject { only, ..subject(proxy.address) }).await;
    assert_eq!(found.unwrap_err(), "`--only request-no-such-check` fits no check");
}

#[tokio::test]
async fn this_gateway_passes_every_check() {
    let upstream = upstream().await;
    let keys = format!("keys: [ {{ name: c, key: {KEY} }} ]\n");
    let gateway = Gateway::with()
        .upstream(upstream.address)
        .model("conform-1", "{ provider: up }")
        .model("conform-2", "{ provider: up }")
        .config(keys)
        .start()
        .await;
    all_pass(&check(&upstream, &subject(gateway.address)).await.unwrap());
}

#[tokio::test]
async fn a_faithful_proxy_passes_every_check() {
    let upstream = upstream().await;
    let proxy = Proxy::start(Fault::None, Some(upstream.address)).await;
    all_pass(&check(&upstream, &subject(proxy.address)).await.unwrap());
}

#[tokio::test]
async fn every_check_fails_on_a_gateway_that_breaks_its_promise() {
    let mut unseen: BTreeSet<&str> = {
        let upstream = upstream().await;
        let proxy = Proxy::start(Fault::None, Some(upstream.address)).await;
        let report = check(&upstream, &subject(proxy.address)).await.unwrap();
        report.outcomes.iter().map(|outcome| outcome.facts.id).collect()
    };
    for (fault, ids) in FAULTS {
        let failed = failing(*fault).await;
        for id in *ids {
            assert!(failed.contains(id), "{fault:?} passes `{id}`; it fails {failed:?}");
        }
        unseen.retain(|id| !failed.contains(id));
    }
    assert!(unseen.is_empty(), "no wrong gateway fails these checks: {unseen:?}");
}

#[tokio::test]
async fn a_gateway_that_only_drops_pings_fails_one_check_and_conforms() {
    let upstream = upstream().await;
    let proxy = Proxy::start(Fault::DropsPings, Some(upstream.address)).await;
    let report = check(&upstream, &subject(proxy.address)).await.unwrap();
    let failed: Vec<_> = report.failed().map(|outcome| outcome.facts.id).collect();
    assert_eq!(failed, ["stream-pings"], "{}", report.text());
    assert!(report.conforms(), "its weight is `should`");
    let json = report.json();
    assert_eq!(json["failed"], serde_json::json!({"must": 0, "should": 1}));
    let check = json["checks"].as_array().unwrap().iter().find(|one| one["id"] == "stream-pings");
    let check = check.unwrap();
    assert_eq!((&check["passed"], &check["found"]), (&Value::Bool(false), &Value::from("0")));
}

/// Runs the command on a proxy with this fault: its exit code, its report, its errors.
async fn command(fault: Fault, options: &'static [&'static str]) -> (i32, String, String) {
    let proxy = Proxy::start(fault, None).await;
    let run = move || {
        let mut child = Command::new(env!("CARGO_BIN_EXE_tidegate"))
            .args(["conform", &format!("http://{}", proxy.address), "--key", KEY])
            .args(["--upstream-listen", "127.0.0.1:0"])
            .args(options)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut errors = String::new();
        for line in BufReader::new(child.stderr.take().unwrap()).lines() {
            let line = line.unwrap();
            if let Some((_, address)) = line.split_once("base URL  http://") {
                proxy.lead_to(address.split(' ').next().unwrap().parse().unwrap());
            }
            errors.push_str(&line);
            errors.push('\n');
        }
        let output = child.wait_with_output().unwrap();
        (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap(), errors)
    };
    within("the end of the command", tokio::task::spawn_blocking(run)).await.unwrap()
}

#[tokio::test]
async fn the_command_prints_a_table_and_exits_0_if_every_must_passes() {
    let (code, table, errors) = command(Fault::DropsPings, &["--only", "stream"]).await;
    assert_eq!(code, 0, "{table}{errors}");
    assert!(table.contains("FAIL  should  stream-pings"), "{table}");
    assert!(table.contains("pass  must    stream-first-event"), "{table}");
    assert!(!table.contains("request-bytes"), "{table}");
    assert!(table.lines().all(|line| line.chars().count() <= 80), "{table}");
    assert!(errors.contains("`conform-1`"), "{errors}");
}

#[tokio::test]
async fn the_command_prints_json_and_exits_1_if_a_must_fails() {
    let options = &["--only", "errors", "--format", "json"];
    let (code, json, errors) = command(Fault::WrongEnvelope, options).await;
    assert_eq!(code, 1, "{json}{errors}");
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["conforms"], false);
    let checks = json["checks"].as_array().unwrap();
    assert!(checks.iter().all(|check| check["group"] == "errors"), "{json:#}");
    let overloaded = checks.iter().find(|check| check["id"] == "error-529").unwrap();
    assert_eq!(overloaded["severity"], "must");
    assert_eq!(overloaded["passed"], false);
    assert!(overloaded["expected"].is_string() && overloaded["explanation"].is_string());
}

#[tokio::test]
async fn the_command_exits_2_if_the_gateway_leads_elsewhere_or_is_not_there() {
    let elsewhere = upstream().await;
    let proxy = Proxy::start(Fault::None, Some(elsewhere.address)).await;
    let free = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    };
    for (address, expected) in [(proxy.address, "received none"), (free, "the connection failed")] {
        let run = move || {
            Command::new(env!("CARGO_BIN_EXE_tidegate"))
                .args(["conform", &format!("http://{address}"), "--timeout", "300ms"])
                .args(["--upstream-listen", "127.0.0.1:0"])
                .output()
        };
        let run = tokio::task::spawn_blocking(run);
        let output = within("the end of the command", run).await.unwrap().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{errors}");
        assert!(errors.contains(expected), "{errors}");
        assert!(output.stdout.is_empty());
    }
}

const BEGIN: &str =
    "<!-- generated by UPDATE_FIXTURES=1 cargo test --test it the_page_of_checks_is -->\n";

#[tokio::test]
async fn the_page_of_checks_is_made_from_the_checks() {
    let upstream = upstream().await;
    let proxy = Proxy::start(Fault::None, Some(upstream.address)).await;
    let report = check(&upstream, &subject(proxy.address)).await.unwrap();
    let mut page = String::new();
    let mut group = "";
    for outcome in &report.outcomes {
        if outcome.group != group {
            group = outcome.group;
            let _ = write!(
                page,
                "\n### `{group}`\n\n| check | severity | explanation |\n|---|---|---|\n"
            );
        }
        let (id, severity) = (outcome.facts.id, outcome.facts.severity.as_str());
        let _ = writeln!(page, "| `{id}` | {severity} | {} |", outcome.facts.explains);
    }
    page.push('\n');
    check_generated("docs/reference/conform.md", BEGIN, &page);
}
