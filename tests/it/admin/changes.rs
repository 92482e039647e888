//! The changes of stages in an exchange, for gateways that record.
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value, json};

use crate::ledger::written;
use crate::support::client::Ask;
use crate::support::gateway::{Builder, Gateway};
use crate::support::upstream::{self, Behaviour, Upstream};
use crate::support::{ANSWER, FRAMES, MESSAGE};

use super::Api;

const GUARD: &str = r#"
fn on_request(request, ctx) {
    request.max_tokens = 7;
    request.messages.insert(0, #{ role: "user", content: "first" });
}
fn on_upstream_request(request, target, ctx) { request.metadata = #{ user_id: target.provider }; }
fn on_response(message, ctx) { message.content[0].text = "edited"; }
fn on_error(error, ctx) { error.message = "reworded"; }
"#;

async fn upstream() -> upstream::Auto {
    Upstream::by(|call| match call.text() {
        text if text.contains("bad") => Behaviour::Answer(upstream::json(400, "{}")),
        text if text.contains("\"stream\":true") => Behaviour::Answer(upstream::stream(&FRAMES)),
        _ => Behaviour::Answer(upstream::json(200, ANSWER)),
    })
    .await
}

fn gateway(at: &upstream::Auto, record: &str) -> Builder {
    let admin = format!("admin: {{ listen: 127.0.0.1:0, record: {record} }}\n");
    Gateway::with().upstream(at.address).config(admin)
}

/// Sends a message, and returns the gateway's answer to the question for its changes.
async fn changes(gateway: &Gateway, body: &str) -> Value {
    let secret = Ask::message(body.to_owned()).header("x-api-key", "hidden-key");
    let answer = secret.header("cookie", "hidden=cookie").send(gateway.address).await;
    let id = answer.header("request-id").unwrap().to_owned();
    let api = Api::of(gateway).await;
    api.get(&format!("/api/exchanges/{id}/changes")).await
}

/// Returns each change in one line: stage, hook, turn, operation and path.
fn lines(page: &Value) -> Vec<String> {
    let steps = page["steps"].as_array().unwrap().iter();
    let lines = steps.flat_map(|step| {
        let changes = step["changes"].as_array().unwrap().iter();
        changes.map(move |change| {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let of_step = [&step["stage"], &step["hook"]].map(text).join(" ");
            let of_change = [&change["op"], &change["path"]].map(text).join(" ");
            format!("{of_step} {} {of_change}", step["turn"])
        })
    });
    lines.collect()
}

#[tokio::test]
async fn each_stage_shows_its_own_changes_and_no_secret_is_kept() {
    let up = upstream().await;
    let gateway = gateway(&up, "{}").policy("guard", GUARD).start().await;
    let page = changes(&gateway, MESSAGE).await;
    assert_eq!((&page["is_recorded"], &page["why"]), (&json!(true), &Value::Null));
    assert_eq!(
        lines(&page),
        [
            "guard on_request 0 replace /max_tokens",
            "guard on_request 0 add /messages/0",
            "guard on_upstream_request 1 add /metadata",
            "guard on_response 1 replace /content/0/text",
        ],
        "{page:#}"
    );
    let request = &page["request"];
    assert_eq!((&request["method"], &request["path"]), (&json!("POST"), &json!("/v1/messages")));
    assert_eq!(request["body"], MESSAGE);
    assert!(!page.to_string().contains("hidden"), "{page:#}");
    assert!(request["headers"].as_array().unwrap().contains(&json!(["x-api-key", "***"])));
    let answer = &page["steps"][2]["changes"][0];
    assert_eq!((&answer["before"], &answer["after"]), (&json!("hello"), &json!("edited")));
    assert_eq!(page["steps"][1]["target"], "up/m");
}

#[tokio::test]
async fn an_error_and_a_stream_have_changes_too() {
    let policy = r#"
        fn on_text(text, ctx) { if text != "" { "[" + text + "]" } }
        fn on_error(error, ctx) { error.message = "reworded"; }
    "#;
    let up = upstream().await;
    let gateway = gateway(&up, "{}").policy("p", policy).start().await;
    let refused = changes(&gateway, &MESSAGE.replace("\"m\"", "\"bad\"")).await;
    assert_eq!(lines(&refused), ["p on_error 1 replace /message"], "{refused:#}");
    let mut stream: Value = serde_json::from_str(MESSAGE).unwrap();
    stream["stream"] = json!(true);
    let streamed = changes(&gateway, &stream.to_string()).await;
    let step = &streamed["steps"][0];
    assert_eq!(
        (&step["hook"], &step["is_cut"]),
        (&json!("on_text"), &json!(false)),
        "{streamed:#}"
    );
    let pieces = step["changes"].as_array().unwrap();
    assert_eq!(step["edits"], json!(pieces.len()));
    let bracketed = |change: &Value| {
        change["after"] == json!(format!("[{}]", change["before"].as_str().unwrap()))
    };
    assert!(!pieces.is_empty() && pieces.iter().all(bracketed), "{step:#}");
}

#[tokio::test]
async fn a_long_value_is_cut_and_can_be_read_whole() {
    let long = "x".repeat(100_000);
    let policy = "fn on_request(request, ctx) { request.messages[0].content += \"y\"; }";
    let up = upstream().await;
    let gateway = gateway(&up, "{}").policy("p", policy).start().await;
    let body =
        json!({ "model": "m", "max_tokens": 9, "messages": [{ "role": "user", "content": long }] });
    let answer = Ask::message(body.to_string()).send(gateway.address).await;
    let (id, api) = (answer.header("request-id").unwrap(), Api::of(&gateway).await);
    let page = api.get(&format!("/api/exchanges/{id}/changes")).await;
    let change = &page["steps"][0]["changes"][0];
    assert_eq!((&change["path"], &change["is_cut"]), (&json!("/messages/0/content"), &json!(true)));
    assert!(change["after"].as_str().unwrap().ends_with("xy"));
    assert!(change["after"].as_str().unwrap().len() < 3000);
    assert_eq!(page["request"]["is_cut"], true);
    let full = |query: &str| format!("/api/exchanges/{id}/changes?full={query}");
    let whole = api.get(&full("/messages/0/content")).await;
    assert_eq!(whole["steps"][0]["changes"][0]["after"], format!("{long}y"));
    let whole = api.get(&full("body")).await;
    assert_eq!(whole["request"]["body"], body.to_string());
    assert_eq!(whole["steps"], json!([]));
    for wrong in ["/nothing", "/messages/0/content&step=7", ""] {
        assert_eq!(api.get_error(&full(wrong), 404).await["field"], "full", "{wrong}");
    }
}

#[tokio::test]
async fn nothing_is_recorded_unless_the_config_wants_it() {
    let up = upstream().await;
    let gateway = Gateway::with()
        .upstream(up.address)
        .config("ledger: sqlite\n")
        .policy("guard", GUARD)
        .start()
        .await;
    let page = changes(&gateway, MESSAGE).await;
    assert_eq!((&page["is_recorded"], &page["request"]), (&json!(false), &Value::Null));
    assert!(page["why"].as_str().unwrap().contains("admin.record"), "{page}");
    written(&gateway, 1).await;
    let api = Api::of(&gateway).await;
    let rows = api.get("/api/exchanges").await;
    let id = rows["rows"][0]["id"].as_str().unwrap().to_owned();
    assert_eq!(api.get(&format!("/api/exchanges/{id}/changes")).await["is_recorded"], false);
    api.get_error("/api/exchanges/req_nothing/changes", 404).await;
}

#[tokio::test]
async fn the_oldest_exchanges_leave_and_a_large_one_says_so() {
    let number = AtomicU32::default();
    let up = Upstream::by(move |_| {
        let number = number.fetch_add(1, Ordering::Relaxed);
        let head = format!("content-type: application/json\r\nrequest-id: req_up_{number}\r\n");
        Behaviour::Answer(upstream::answer(200, &head, ANSWER))
    })
    .await;
    let gateway = gateway(&up, "{ requests: 2, bytes: 1048576 }").start().await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        let answer = Ask::message(MESSAGE).send(gateway.address).await;
        ids.push(answer.header("request-id").unwrap().to_owned());
    }
    let api = Api::of(&gateway).await;
    let page = async |id: &str| api.get(&format!("/api/exchanges/{id}/changes")).await;
    assert_eq!(page(&ids[0]).await["is_recorded"], false);
    assert!(page(&ids[0]).await["why"].as_str().unwrap().contains("newer"));
    assert_eq!(page(&ids[1]).await["is_recorded"], true);
    let large = MESSAGE.replace("\"m\"", &format!("\"m\",\"system\":\"{}\"", "x".repeat(600_000)));
    let large = changes(&gateway, &large).await;
    assert_eq!((&large["is_recorded"], &large["request"]["body"]), (&json!(true), &Value::Null));
    assert_eq!(page(&ids[2]).await["is_recorded"], true);
}

#[tokio::test]
async fn the_bounds_of_recording_are_checked() {
    let up = upstream().await;
    let gateway = gateway(&up, "{}").start().await;
    for (record, path) in [
        ("{ requests: 0 }", "admin.record.requests"),
        ("{ requests: 100000 }", "admin.record.requests"),
        ("{ bytes: 10 }", "admin.record.bytes"),
    ] {
        let yaml = format!(
            "providers: {{ up: {{ type: anthropic }} }}\nadmin: {{ listen: 127.0.0.1:0, record: {record} }}\n"
        );
        let refused = format!("{:?}", gateway.reload(&yaml).await);
        assert!(refused.contains(path), "{refused}");
    }
}
