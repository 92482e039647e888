//! `tidegate status`: a running gateway in a terminal.
use std::fs;
use std::process::Command;

use serde_json::Value;

use crate::support::client::Ask;
use crate::support::gateway::Gateway;
use crate::support::{MESSAGE, until};

const CONFIG: &str = "providers: { sim: { type: simulator } }
models: { m: { provider: sim } }
admin: { listen: 127.0.0.1:0, token: secret }
ledger: sqlite
";

/// Runs the command: its success, its output, its errors.
async fn status(gateway: &Gateway, args: &[&str]) -> (bool, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
    command.arg("status").args(args).arg("--config").arg(gateway.file());
    command.arg("--address").arg(gateway.admin.to_string());
    // the gateway answers on this runtime
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let [out, err] = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    (output.status.success(), out, err)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_gateway_is_shown_with_targets_problems_and_spend() {
    let gateway = Gateway::start(CONFIG).await;
    assert_eq!(Ask::message(MESSAGE).send(gateway.address).await.status, 200);
    let recorded = async || {
        let ask = Ask::get("/metrics").admin().header("authorization", "Bearer secret");
        ask.send(gateway.admin).await.text().contains("tidegate_ledger_written_total 1\n")
    };
    until("the exchange to be in the ledger", recorded).await;
    let (is_ready, text, errors) = status(&gateway, &[]).await;
    assert!(is_ready, "{text}{errors}");
    for part in [
        "ready, Tidegate",
        "generation    1",
        "for 1 requests (day in UTC)",
        "sim/*",
        "healthy",
        "0 % of 1",
    ] {
        assert!(text.contains(part), "no `{part}` in\n{text}");
    }
    // the config is broken now, and the gateway goes on
    let broken = fs::read_to_string(gateway.file()).unwrap() + "nonsense: 1\n";
    fs::write(gateway.file(), broken).unwrap();
    gateway.reload_now().await;
    let (is_ready, text, _) = status(&gateway, &[]).await;
    assert!(is_ready && text.contains("the last reload failed at"), "{text}");
    assert!(text.contains("nonsense: unknown key"), "{text}");
    let (_, json, _) = status(&gateway, &["--json"]).await;
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["status"]["state"], "ready");
    assert_eq!(json["today"]["requests"], 1);
    assert_eq!(json["aliases"][0]["name"], "m");
    assert!(!json.to_string().contains("secret"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_exit_code_says_whether_a_gateway_is_ready() {
    let gateway = Gateway::start(CONFIG).await;
    let drain = Ask::post("/api/drain", r#"{"stop":false}"#).admin();
    let drain = drain.header("authorization", "Bearer secret").header("if-match", "*");
    assert_eq!(drain.send(gateway.admin).await.status, 202);
    let (is_ready, text, _) = status(&gateway, &[]).await;
    assert!(!is_ready && text.contains("unready"), "{text}");
    let file = fs::read_to_string(gateway.file()).unwrap();
    fs::write(gateway.file(), file.replace("token: secret", "token: other")).unwrap();
    let (is_ready, text, errors) = status(&gateway, &[]).await;
    assert!(!is_ready && text.is_empty() && errors.contains("401"), "{text}{errors}");
    assert!(!errors.contains("other"), "{errors}");
    // nothing listens at this port any more
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
    command.args(["status", "--address", &port.to_string(), "--config"]).arg(gateway.file());
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("gave no status"));
}
