//! Drafts of policies: their problems, their cases, trials over a request, the files.
use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};

use crate::support::client::{Answer, Ask};
use crate::support::gateway::{Builder, Gateway};
use crate::support::upstream::{self, Behaviour, Upstream};
use crate::support::{ANSWER, MESSAGE};

use super::Api;

const EDITS: &str = r#"
fn on_request(request, ctx) {
    log("info", "seen");
    request.max_tokens = ctx.with.limit ?? 7;
    set_response_header("x-own", ctx.key);
}
fn on_upstream_request(request, target, ctx) { request.metadata = #{ user_id: target.model }; }
fn on_response(message, ctx) { message.content[0].text += "!"; }
"#;

fn gateway(edit: bool) -> Builder {
    let config =
        "providers: { up: { type: anthropic } }\nmodels: { m: { provider: up } }\nledger: sqlite\n";
    Gateway::with().config(format!("{config}admin: {{ listen: 127.0.0.1:0, edit: {edit} }}\n"))
}

async fn post(api: &Api<'_>, path: &str, body: &Value) -> Answer {
    let ask = api.ask("POST", path).header("content-type", "application/json");
    api.send(ask.with_body(body.to_string())).await
}

/// Sends a body to a route that answers with a 200.
async fn tried(api: &Api<'_>, path: &str, body: Value) -> Value {
    let answer = post(api, path, &body).await;
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    answer.json()
}

fn message() -> Value {
    serde_json::from_str(MESSAGE).unwrap()
}

#[tokio::test]
async fn a_trial_shows_the_changes_the_decision_and_the_log_of_each_hook() {
    let gateway = gateway(false).start().await;
    let api = Api::of(&gateway).await;
    let body = json!({
        "policy": { "name": "edits", "text": EDITS },
        "with": { "limit": 5 },
        "request": message(),
        "response": serde_json::from_str::<Value>(ANSWER).unwrap(),
        "key": "ci",
        "target": "up/big",
    });
    let found = tried(&api, "/api/eval", body).await;
    let steps = found["steps"].as_array().unwrap();
    let hooks: Vec<_> = steps.iter().map(|step| step["hook"].as_str().unwrap()).collect();
    assert_eq!(hooks, ["on_request", "on_upstream_request", "on_response"], "{found:#}");
    let change = &steps[0]["changes"][0];
    assert_eq!(
        (&change["path"], &change["before"], &change["after"]),
        (&json!("/max_tokens"), &json!("16"), &json!("5"))
    );
    assert_eq!(steps[0]["verdict"], "continue");
    assert!(steps[0]["logs"][0].as_str().unwrap().contains("seen"), "{found:#}");
    let effect = json!({ "kind": "response_header", "name": "x-own", "value": "ci" });
    assert_eq!(steps[0]["effects"], json!([effect]));
    assert_eq!(steps[2]["changes"][0]["after"], "hello!");
    assert_eq!(
        (&found["request"]["max_tokens"], &found["request"]["model"]),
        (&json!(5), &json!("big"))
    );
    assert_eq!(found["answer"]["content"][0]["text"], "hello!");
    assert_eq!(api.get("/api/audit").await["rows"], json!([]), "a trial writes nothing");
    assert_eq!(api.get("/api/overview").await["total"]["requests"], 0);
}

#[tokio::test]
async fn a_trial_that_is_denied_fails_or_does_not_compile_says_so() {
    let gateway = gateway(false).start().await;
    let api = Api::of(&gateway).await;
    let run = async |text: &str| {
        let policy = json!({ "name": "p", "text": text });
        tried(&api, "/api/eval", json!({ "policy": policy, "request": message() })).await
    };
    for (text, verdict, detail) in [
        ("fn on_request(request, ctx) { deny(451, \"no\"); }", "deny", "451 no"),
        ("fn on_request(request, ctx) { respond(\"pong\"); }", "respond", "pong"),
        ("fn on_request(request, ctx) {\n    deny(true);\n}", "error", "p.rhai:2"),
        ("fn on_request(request, ctx) { while true {} }", "error", "operations"),
    ] {
        let found = run(text).await;
        let step = &found["steps"][0];
        assert_eq!(step["verdict"], verdict, "{found:#}");
        assert!(step["detail"].as_str().unwrap().contains(detail), "{found:#}");
        assert_eq!(found["request"], Value::Null);
    }
    let found = run("fn on_request(request, ctx) {\n  let x = ;\n}").await;
    assert_eq!(
        (&found["problems"][0]["line"], &found["steps"]),
        (&json!(2), &json!([])),
        "{found}"
    );
    let ends = run("fn on_request(request, ctx) { respond(\"x\"); } fn on_text(text, ctx) { deny(418, \"tea\") }").await;
    let last = ends["steps"].as_array().unwrap().last().unwrap();
    assert_eq!((&last["hook"], &last["verdict"]), (&json!("on_text"), &json!("deny")), "{ends:#}");
    assert_eq!(ends["answer"], Value::Null);
}

#[tokio::test]
async fn a_stream_and_a_recorded_request_can_be_tried() {
    let up = Upstream::by(|_| Behaviour::Answer(upstream::json(200, ANSWER))).await;
    let admin = "admin: { listen: 127.0.0.1:0, record: {} }\n";
    let gateway = Gateway::with().upstream(up.address).config(admin).start().await;
    let sent = Ask::message(MESSAGE).send(gateway.address).await;
    let id = sent.header("request-id").unwrap();
    let api = Api::of(&gateway).await;
    let stream = crate::support::FRAMES.concat();
    let text = "fn on_text(text, ctx) { if text != \"\" { text.to_upper() } }";
    let policy = json!({ "name": "p", "text": text });
    let body = json!({ "policy": policy, "exchange": id, "stream": stream });
    let found = tried(&api, "/api/eval", body).await;
    assert_eq!(found["request"]["messages"], message()["messages"]);
    let events = found["answer"]["events"].to_string();
    assert!(events.contains("HELLO") && !events.contains("hello"), "{events}");
    assert_eq!(found["steps"].as_array().unwrap().last().unwrap()["hook"], "on_text");
    for (body, field) in [
        (json!({ "policy": policy }), "request"),
        (json!({ "policy": policy, "request": message(), "exchange": id }), "exchange"),
        (json!({ "policy": policy, "request": { "model": "m" } }), "request"),
        (json!({ "policy": policy, "exchange": "req_nothing" }), ""),
        (
            json!({ "policy": policy, "request": message(), "headers": { "a b": "" } }),
            "headers.a b",
        ),
        (json!({ "policy": { "name": "../x", "text": "" }, "request": message() }), "name"),
        (json!({ "policy": policy, "request": message(), "x": 1 }), "x"),
    ] {
        let answer = post(&api, "/api/eval", &body).await;
        assert!(matches!(answer.status, 400 | 404), "{body}: {}", answer.status);
        let found = answer.json()["error"]["field"].as_str().unwrap_or_default().to_owned();
        assert_eq!(found, field, "{body}: {}", answer.text());
    }
}

#[tokio::test]
async fn problems_and_cases_of_a_draft_are_found() {
    let cases = "- name: one\n  request: {}\n  expect: { unchanged: true }\n";
    let gateway = gateway(false)
        .files(&[("policies/own.rhai", EDITS), ("policies/own.cases.yaml", cases)])
        .start()
        .await;
    let api = Api::of(&gateway).await;
    let draft = |text: &str| json!({ "name": "own", "text": text });
    let found =
        tried(&api, "/api/check", draft("fn on_request(request, ctx) { nothing(1); }")).await;
    assert_eq!(found["problems"][0]["line"], 1, "{found}");
    assert!(found["problems"][0]["column"].as_u64() > Some(1), "{found}");
    assert_eq!(tried(&api, "/api/check", draft(EDITS)).await, json!({ "problems": [] }));
    let tested = tried(&api, "/api/test", draft(EDITS)).await;
    let case = &tested["cases"][0];
    assert_eq!((&case["name"], &case["is_passed"]), (&json!("one"), &json!(false)), "{tested:#}");
    assert!(!case["message"].as_str().unwrap().is_empty());
    let quiet = "fn on_request(request, ctx) { }";
    assert_eq!(tried(&api, "/api/test", draft(quiet)).await["cases"][0]["is_passed"], true);
    let own = json!({ "name": "own", "text": quiet, "cases": "- nonsense" });
    assert!(!tried(&api, "/api/test", own).await["problems"].as_array().unwrap().is_empty());
    let none = json!({ "name": "new", "text": quiet });
    assert_eq!(tried(&api, "/api/test", none).await, json!({ "problems": [], "cases": [] }));
    let broken = tried(&api, "/api/test", draft("fn on_request(")).await;
    assert!(broken["cases"] == json!([]) && broken["problems"] != json!([]), "{broken}");
    // a form of another site cannot try anything
    for path in ["/api/check", "/api/test", "/api/eval", "/api/playground"] {
        let ask = api.ask("POST", path).header("content-type", "text/plain").with_body("{}");
        assert_eq!(api.send(ask).await.status, 415, "{path}");
    }
}

/// Writes a policy, and returns the status.
async fn put(api: &Api<'_>, name: &str, version: (&str, &str), text: &str) -> Answer {
    let body = json!({ "text": text }).to_string();
    let ask = api.ask("PUT", &format!("/api/files/{name}")).header(version.0, version.1);
    api.send(ask.with_body(body)).await
}

#[tokio::test]
async fn a_policy_is_written_checked_and_in_use_at_once() {
    let gateway = gateway(true).policy("own", "fn on_request(request, ctx) { }").start().await;
    let api = Api::of(&gateway).await;
    let path = gateway.folder().join("policies/own.rhai");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    let read = api.send(api.ask("GET", "/api/files/own")).await;
    let tag = read.header("etag").unwrap().to_owned();
    assert_eq!(read.json()["text"], "fn on_request(request, ctx) { }");
    let denies = "fn on_request(request, ctx) { deny(418, \"tea\"); }";
    let wrong = put(&api, "own", ("if-match", &tag), "fn on_request(").await;
    assert_eq!((wrong.status, wrong.json()["generation"].clone()), (422, json!(1)));
    assert_eq!(put(&api, "own", ("if-match", "\"x\""), denies).await.status, 412);
    assert_eq!(put(&api, "own", ("if-none-match", "*"), denies).await.status, 412);
    assert_eq!(put(&api, "own", ("x-none", ""), denies).await.status, 428);
    assert_eq!(fs::read_to_string(&path).unwrap(), "fn on_request(request, ctx) { }");
    let written = put(&api, "own", ("if-match", &tag), denies).await;
    assert_eq!((written.status, written.json()), (200, json!({ "problems": [], "generation": 2 })));
    assert_ne!(written.header("etag"), Some(tag.as_str()));
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
    assert_eq!(Ask::message(MESSAGE).send(gateway.address).await.status, 418);
    let new = put(&api, "new", ("if-none-match", "*"), "fn on_request(request, ctx) { }").await;
    assert_eq!((new.status, new.json()["generation"].clone()), (200, json!(3)));
    let names: Vec<String> = fs::read_dir(gateway.folder().join("policies"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(names.len(), 2, "{names:?}");
    let rows = api.get("/api/audit").await["rows"].clone();
    let rows: Vec<_> = rows
        .as_array()
        .unwrap()
        .iter()
        .map(|row| (row["object"].clone(), row["status"].clone()))
        .collect();
    assert_eq!(rows.first(), Some(&(json!("new"), json!(200))));
    assert_eq!(rows.len(), 6, "{rows:?}");
}

#[tokio::test]
async fn hostile_names_and_gateways_without_the_right_write_nothing() {
    let gateway = gateway(true).start().await;
    let api = Api::of(&gateway).await;
    fs::write(gateway.folder().join("outside.rhai"), "x").unwrap();
    let quiet = "fn on_request(request, ctx) { }";
    for name in [
        "..%2Foutside",
        "%2e%2e%2foutside",
        ".hidden",
        "a%2F..%2F..%2Foutside",
        "%2Fetc%2Fpasswd",
        "a%5Cb",
        "a%00b",
        "Upper",
        "a.rhai",
        "own.cases",
    ] {
        let answer = put(&api, name, ("if-none-match", "*"), quiet).await;
        assert_eq!(answer.status, 400, "{name}: {}", answer.text());
        // no name has a NUL
        let unknown = if name == "a%00b" { 400 } else { 404 };
        assert_eq!(
            api.send(api.ask("GET", &format!("/api/files/{name}"))).await.status,
            unknown,
            "{name}"
        );
    }
    assert_eq!(fs::read_dir(gateway.folder().join("policies")).unwrap().count(), 0);
    assert_eq!(fs::read_to_string(gateway.folder().join("outside.rhai")).unwrap(), "x");
    let closed = self::gateway(false).start().await;
    let api = Api::of(&closed).await;
    let refused = put(&api, "new", ("if-none-match", "*"), quiet).await;
    assert_eq!(refused.status, 403);
    assert!(refused.text().contains("admin.edit"), "{}", refused.text());
    let list = api.get("/api/files").await;
    assert_eq!(list["is_editable"], false);
    assert!(list["rows"].as_array().unwrap().iter().all(|row| row["is_library"] == true));
}

#[tokio::test]
async fn a_shipped_policy_is_shown_and_read_only() {
    let gateway = gateway(true).start().await;
    let api = Api::of(&gateway).await;
    let rows = api.get("/api/files").await["rows"].clone();
    let name = rows[0]["name"].as_str().unwrap().replace('/', "%2F");
    let read = api.send(api.ask("GET", &format!("/api/files/{name}"))).await;
    assert_eq!((read.status, read.json()["is_library"].clone()), (200, json!(true)));
    let tag = read.header("etag").unwrap().to_owned();
    let answer = put(&api, &name, ("if-match", &tag), "fn on_request(request, ctx) { }").await;
    assert_eq!(answer.status, 403, "{}", answer.text());
    let definitions = api.get("/api/definitions").await;
    assert!(definitions["rows"].as_array().unwrap().len() > 50);
}
