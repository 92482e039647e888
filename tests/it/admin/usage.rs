//! Sums, limits, budgets and stages in the API.
use serde_json::{Value, json};

use crate::ledger::{postgres, written};
use crate::support::MESSAGE;
use crate::support::client::Ask;
use crate::support::gateway::Gateway;
use crate::support::upstream::{self, Behaviour, Upstream};

use super::Api;

const KEYS: &str = "keys:
  - { name: ci, key: k-ci, tags: { team: ml } }
  - { name: web, key: k-web }
";

async fn ask(gateway: &Gateway, key: &str) -> u16 {
    let body = MESSAGE.replace("\"m\"", "\"claude-opus-5-5\"");
    Ask::message(body).header("x-api-key", key).send(gateway.address).await.status
}

/// An upstream whose answers cost 0.006 dollars.
async fn selling() -> upstream::Auto {
    let message = json!({"id": "msg_1", "type": "message", "role": "assistant", "model": "up",
        "content": [{"type": "text", "text": "hello"}], "stop_reason": "end_turn", "stop_sequence": null,
        "usage": {"input_tokens": 1000, "output_tokens": 100}});
    Upstream::always(Behaviour::Answer(upstream::json(200, &message.to_string()))).await
}

async fn sums_are_those_of_the_ledger(ledger: &str) {
    let up = selling().await;
    let config = format!("{KEYS}ledger: {ledger}\n");
    let gateway = Gateway::with().upstream(up.address).config(config).start().await;
    for key in ["k-ci", "k-ci", "k-web"] {
        assert_eq!(ask(&gateway, key).await, 200);
    }
    written(&gateway, 3).await;
    let api = Api::of(&gateway).await;
    sums_by_properties_are_right(&api).await;
    pages_of_sums_follow_each_other(&api).await;
    sums_over_time_are_right(&api).await;
}

/// The names and the numbers of requests of a page.
fn names(page: &Value) -> Vec<(Value, Value)> {
    let rows = page["rows"].as_array().unwrap();
    rows.iter().map(|row| (row["name"].clone(), row["sums"]["requests"].clone())).collect()
}

async fn sums_by_properties_are_right(api: &Api<'_>) {
    let by_key = api.get("/api/usage?by=key").await;
    assert_eq!(names(&by_key), [(json!("ci"), json!(2)), (json!("web"), json!(1))]);
    assert_eq!(by_key["rows"][0]["sums"]["cost_usd"], "0.012");
    assert_eq!(
        (&by_key["total"]["requests"], &by_key["total"]["cost_usd"]),
        (&json!(3), &json!("0.018"))
    );
    let by_tag = api.get("/api/usage?by=tag:team").await;
    let values: Vec<&Value> =
        by_tag["rows"].as_array().unwrap().iter().map(|row| &row["value"]).collect();
    assert_eq!(values, [&json!("ml"), &json!("")]);
    let by_target = api.get("/api/usage?by=target").await;
    assert_eq!(names(&by_target), [(json!("up/claude-opus-5-5"), json!(3))]);
    assert_eq!(api.get("/api/usage?by=model&to=2020-01-01").await["total"]["requests"], 0);
}

async fn pages_of_sums_follow_each_other(api: &Api<'_>) {
    let first = api.get("/api/usage?by=key&limit=1").await;
    assert_eq!(names(&first), [(json!("ci"), json!(2))]);
    let next = first["next"].as_str().unwrap();
    let second = api.get(&format!("/api/usage?by=key&limit=1&after={next}")).await;
    assert_eq!((names(&second), &second["next"]), (vec![(json!("web"), json!(1))], &Value::Null));
    assert_eq!(second["total"], first["total"]);
}

async fn sums_over_time_are_right(api: &Api<'_>) {
    for step in ["quarter", "hour", "day"] {
        let series = api.get(&format!("/api/usage/series?step={step}&zone=Asia/Kolkata")).await;
        let points = series["points"].as_array().unwrap();
        // the exchanges may lie on both sides of a border
        let sum: i64 = points.iter().map(|point| point["requests"].as_i64().unwrap()).sum();
        assert_eq!((sum, &series["zone"]), (3, &json!("Asia/Kolkata")), "{series}");
    }
    let series = api.get("/api/usage/series?key=ci").await;
    let points = series["points"].as_array().unwrap();
    let output: i64 = points.iter().map(|point| point["output"].as_i64().unwrap()).sum();
    assert_eq!(output, 200, "{series}");
    let found = api.get("/api/usage/names").await;
    let expected = json!({
        "keys": ["ci", "web"], "models": ["claude-opus-5-5"], "targets": ["up/claude-opus-5-5"]
    });
    assert_eq!(found, expected);
}

#[tokio::test]
async fn sums_are_those_of_the_ledger_in_sqlite() {
    sums_are_those_of_the_ledger("sqlite").await;
}

#[tokio::test]
async fn sums_are_those_of_the_ledger_in_postgres() {
    let Some(server) = postgres::Server::start() else { return };
    sums_are_those_of_the_ledger(&format!("\"{}\"", server.url())).await;
}

#[tokio::test]
async fn a_wrong_range_is_a_clear_error() {
    let gateway = Gateway::with().provider("sim", "{ type: simulator }").config("ledger: sqlite\n");
    let gateway = gateway.start().await;
    let api = Api::of(&gateway).await;
    for (path, field) in [
        ("/api/usage?by=colour", "by"),
        ("/api/usage?zone=Mars", "zone"),
        ("/api/usage?from=yesterday", "from"),
        ("/api/usage?from=2026-02-02&to=2026-02-01", "from"),
        ("/api/usage?after=x", "after"),
        ("/api/usage/series?from=2020-01-01&to=2026-01-01", "from"),
        ("/api/usage/series?step=minute", "step"),
        ("/api/usage/names?x=1", "x"),
    ] {
        let error = api.get_error(path, 400).await;
        assert_eq!(error["field"], field, "{path}: {error}");
    }
}

#[tokio::test]
async fn limits_and_budgets_show_what_is_used_and_left() {
    let up = selling().await;
    let rules = "limits: { rules: [{ per: key, when: { model: \"claude-*\" }, requests: 10/1h, concurrent: 4 }] }
budgets: { timezone: Europe/Berlin, rules: [{ per: \"tag:team\", usd: 1, every: day, warn_at: 0.5 }] }
";
    let config = format!("{KEYS}{rules}");
    let gateway = Gateway::with().upstream(up.address).config(config).start().await;
    for key in ["k-ci", "k-ci", "k-web"] {
        assert_eq!(ask(&gateway, key).await, 200);
    }
    gateway.until_idle().await;
    let api = Api::of(&gateway).await;
    let limits = api.get("/api/limits").await;
    let rule = &limits["rules"][0];
    assert_eq!(
        (&rule["unit"], &rule["number"], &rule["window_ms"]),
        (&json!("requests"), &json!(10), &json!(3_600_000))
    );
    assert_eq!((&rule["when"]["model"], &rule["owners"]), (&json!("claude-*"), &json!(2)));
    let counters: Vec<Value> = rule["counters"].as_array().unwrap().clone();
    let shown = |counter: &Value| json!([counter["owner"], counter["used"], counter["left"]]);
    let shown: Vec<Value> = counters.iter().map(shown).collect();
    assert_eq!(shown, [json!(["ci", 2, 8]), json!(["web", 1, 9])]);
    assert_eq!(limits["rules"][1]["unit"], "concurrent");
    let one = api.get("/api/limits?owner=web").await;
    assert_eq!(one["rules"][0]["counters"].as_array().unwrap().len(), 1);
    assert_eq!(one["rules"][0]["counters"][0]["owner"], "web");
    let budgets = api.get("/api/budgets").await;
    assert_eq!(budgets["timezone"], "Europe/Berlin");
    let budget = &budgets["rules"][0];
    assert_eq!((&budget["usd"], &budget["warn_at_usd"]), (&json!("1"), &json!("0.5")));
    let counter = &budget["counters"][0];
    assert_eq!(
        (&counter["owner"], &counter["used_usd"], &counter["left_usd"]),
        (&json!("ml"), &json!("0.012"), &json!("0.988"))
    );
    let bare = Gateway::with().upstream(up.address).start().await;
    let api = Api::of(&bare).await;
    assert_eq!(api.get("/api/limits").await, json!({ "is_shared": false, "rules": [] }));
    assert_eq!(
        api.get("/api/budgets").await,
        json!({ "is_shared": false, "timezone": null, "rules": [] })
    );
}

#[tokio::test]
async fn stages_show_runs_denials_edits_and_the_last_error_with_its_line() {
    let up = selling().await;
    let policy = "fn on_request(request, ctx) {
    if ctx.key == \"ci\" { deny(403, \"no\"); }
    let x = [];
    x[5]
}
fn on_response(response, ctx) { response.note = 1; }
";
    let config = format!("{KEYS}pipeline: [{{ policy: p, on_error: skip }}]\n");
    let gateway =
        Gateway::with().upstream(up.address).config(config).policy("p", policy).start().await;
    let api = Api::of(&gateway).await;
    assert_eq!(ask(&gateway, "k-ci").await, 403);
    assert_eq!(ask(&gateway, "k-web").await, 200);
    let page = api.get("/api/policies").await;
    let stage = &page["stages"][0];
    assert_eq!(
        (&stage["name"], &stage["kind"], &stage["on_error"]),
        (&json!("p"), &json!("policy"), &json!("skip"))
    );
    let numbers = |hook: &str| {
        let hooks = stage["hooks"].as_array().unwrap();
        hooks.iter().find(|it| it["hook"] == hook).unwrap()["numbers"].clone()
    };
    let request = numbers("on_request");
    assert_eq!(
        (&request["runs"], &request["failures"], &request["denials"]),
        (&json!(2), &json!(1), &json!(1))
    );
    assert!(request["p99_us"].as_u64() >= request["p50_us"].as_u64());
    let error = request["last_error"]["message"].as_str().unwrap();
    assert!(error.contains("p.rhai:4"), "{error}");
    let response = numbers("on_response");
    assert_eq!(
        (&response["runs"], &response["edits"], &response["last_error"]),
        (&json!(1), &json!(1), &Value::Null)
    );
    // a reload starts no count anew
    gateway.reload_now().await;
    assert_eq!(api.get("/api/policies").await["stages"][0]["hooks"], stage["hooks"]);
}

#[tokio::test]
async fn plugins_show_their_capabilities_and_tools() {
    let gateway =
        Gateway::with().provider("sim", "{ type: simulator }").plugin("web").start().await;
    let api = Api::of(&gateway).await;
    let page = api.get("/api/plugins").await;
    let plugin = &page["plugins"][0];
    assert_eq!((&plugin["file"], &plugin["suspended_ms"]), (&json!("web"), &Value::Null));
    assert!(!plugin["lacking"].as_str().unwrap().is_empty(), "{plugin}");
    let tools = plugin["tools"].as_array().unwrap();
    assert!(
        tools.iter().any(|tool| tool["name"] == "fetch" || tool["name"] == "web_fetch"),
        "{plugin}"
    );
    assert_eq!(tools[0]["numbers"]["runs"], 0);
}
