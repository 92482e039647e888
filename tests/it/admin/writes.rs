//! Writes of the admin API: each is a row of the audit table.
use serde_json::{Value, json};

use crate::support::client::{Ask, send_bytes};
use crate::support::gateway::Gateway;
use crate::support::until;

use super::Api;

const CONFIG: &str = "providers: { up: { type: anthropic } }
models: { m: { provider: up } }
ledger: sqlite
admin: { listen: 127.0.0.1:0, token: secret }
";

fn row(row: &Value) -> Value {
    json!([row["method"], row["route"], row["status"], row["detail"], row["credential"]])
}

#[tokio::test]
async fn each_write_is_recorded_with_its_outcome_and_reads_are_not() {
    let gateway = Gateway::start(CONFIG).await;
    let api = Api::with_token(&gateway, "secret").await;
    assert_eq!(api.get("/api/audit").await, json!({ "rows": [], "next": null }));
    let reload = || api.ask("POST", "/api/generation/reload");
    api.write("POST", "/api/generation/reload", "/api/generation", "").await;
    api.send(reload()).await;
    api.send(reload().header("if-match", "\"x\"")).await;
    // without the token nothing is written, in the table neither
    Ask::post("/api/generation/reload", "").admin().send(gateway.admin).await;
    let page = api.get("/api/audit").await;
    let rows = page["rows"].as_array().unwrap();
    let route = "/api/generation/reload";
    let changed = "the resource has changed since it was read: read it again, then write";
    let needs = "a write needs `if-match` with the `etag` of the resource, or `*`";
    assert_eq!(
        rows.iter().map(row).collect::<Vec<_>>(),
        [
            json!(["POST", route, 412, changed, "token"]),
            json!(["POST", route, 428, needs, "token"]),
            json!(["POST", route, 200, "generation 1 -> 2", "token"]),
        ]
    );
    assert_eq!(rows[0]["address"], "127.0.0.1");
    assert!(!page.to_string().contains("secret"));
}

#[tokio::test]
async fn pages_of_the_audit_table_show_every_row_once() {
    let gateway = Gateway::start(CONFIG).await;
    let api = Api::with_token(&gateway, "secret").await;
    for _ in 0..7 {
        api.send(api.ask("POST", "/api/generation/reload")).await;
    }
    let all = api.get("/api/audit").await["rows"].as_array().unwrap().clone();
    let (mut paged, mut next) = (Vec::new(), String::new());
    loop {
        let page = api.get(&format!("/api/audit?limit=3{next}")).await;
        let rows = page["rows"].as_array().unwrap();
        assert!(!rows.is_empty() && rows.len() <= 3);
        paged.extend(rows.clone());
        match page["next"].as_str() {
            Some(cursor) => next = format!("&after={cursor}"),
            None => break,
        }
    }
    assert_eq!((all.len(), paged), (7, all));
    let error = api.get_error("/api/audit?after=x", 400).await;
    assert_eq!(error["field"], "after");
    let error = api.get_error("/api/audit?limit=201", 400).await;
    assert_eq!(error["expected"], "a number from 1 to 200");
}

#[tokio::test]
async fn a_gateway_can_be_taken_out_of_service_and_back() {
    let gateway = Gateway::start(&CONFIG.replace("ledger: sqlite\n", "")).await;
    let api = Api::with_token(&gateway, "secret").await;
    let ready = async || {
        let answer = Ask::get("/readyz").send(gateway.admin).await;
        (answer.status, answer.text())
    };
    let done = api.write("POST", "/api/drain", "/api/drain", r#"{"stop":false}"#).await;
    assert_eq!((done.status, done.json()["state"].clone()), (202, "unready".into()));
    assert_eq!(ready().await, (503, "unready\n".to_owned()));
    assert_eq!(api.get("/api/status").await["state"], "unready");
    let done = api.write("DELETE", "/api/drain", "/api/drain", "").await;
    assert_eq!((done.status, done.json()["state"].clone()), (200, "ready".into()));
    assert_eq!(ready().await, (200, "ready\n".to_owned()));
    let done = api.write("POST", "/api/drain", "/api/drain", "").await;
    assert_eq!((done.status, done.json()["state"].clone()), (202, "draining".into()));
    assert_eq!(ready().await, (503, "draining\n".to_owned()));
    gateway.stopped().await;
    // a drain has no way back
    assert_eq!(api.write("DELETE", "/api/drain", "/api/drain", "").await.status, 409);
    assert_eq!(api.get("/api/drain").await["state"], "draining");
}

/// Sends a write, and leaves at once.
async fn send_and_leave(gateway: &Gateway, method: &'static str, path: &str, body: &str) {
    let ask = Ask::new(method, path).admin().with_body(body);
    let ask = ask.header("authorization", "Bearer secret").header("if-match", "*");
    drop(send_bytes(gateway.admin, &ask.to_bytes()).await);
}

#[tokio::test]
async fn a_write_whose_client_leaves_at_once_is_recorded() {
    let gateway = Gateway::start(CONFIG).await;
    let api = Api::with_token(&gateway, "secret").await;
    for sent in 1..=5 {
        send_and_leave(&gateway, "POST", "/api/generation/reload", "").await;
        let rows = async || api.get("/api/audit").await["rows"].as_array().unwrap().len();
        until("a row for each write", async || rows().await == sent).await;
        let generation = api.get("/api/generation").await["number"].clone();
        assert_eq!(generation, sent + 1);
    }
}

#[tokio::test]
async fn a_gateway_stops_only_after_its_drain_is_recorded() {
    let gateway = Gateway::start(CONFIG).await;
    let api = Api::with_token(&gateway, "secret").await;
    send_and_leave(&gateway, "POST", "/api/drain", "").await;
    gateway.stopped().await;
    let rows = api.get("/api/audit").await["rows"].clone();
    assert_eq!(
        rows.as_array().unwrap().iter().map(row).collect::<Vec<_>>(),
        [json!(["POST", "/api/drain", 202, "stop", "token"])]
    );
}
