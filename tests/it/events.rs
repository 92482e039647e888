//! Events: each kind reaches the sinks that want it, with stable fields and without anything secret.
mod delivery;
mod policies;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::admin::Api;
use crate::support::client::Ask;
use crate::support::gateway::Gateway;
use crate::support::upstream::{self, Behaviour, Upstream};
use crate::support::{ANSWER, MESSAGE, until};

/// A sink that writes all events to a file.
const FILE: &str = "sinks: { all: { file: out/events.jsonl } }\n";

/// The events in the file of a gateway's sink, as soon as the last one has this type.
async fn written(gateway: &Gateway, last: &str) -> Vec<Value> {
    let file = gateway.folder().join("out/events.jsonl");
    let ends = || lines(&file).last().is_some_and(|event| event["type"] == last);
    until(&format!("an event `{last}`"), async || ends()).await;
    lines(&file)
}

/// The events in the file of a gateway's sink, as soon as there are so many.
async fn until_number(gateway: &Gateway, number: usize) -> Vec<Value> {
    let file = gateway.folder().join("out/events.jsonl");
    until(&format!("{number} events"), async || lines(&file).len() >= number).await;
    lines(&file)
}

fn lines(file: &Path) -> Vec<Value> {
    let text = fs::read_to_string(file).unwrap_or_default();
    // the last line may be under way
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    whole.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn types(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["type"].as_str().unwrap()).collect()
}

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

#[tokio::test]
async fn an_ended_exchange_is_an_event_without_its_contents() {
    let up = Upstream::always(Behaviour::Answer(upstream::json(200, ANSWER))).await;
    let config = format!("keys: [{{ name: ci, key: k-secret, tags: {{ team: ml }} }}]\n{FILE}");
    let gateway = Gateway::with().upstream(up.address).config(config).start().await;
    let body = json!({"model": "claude-x", "max_tokens": 16, "system": "secret system",
        "metadata": {"user_id": "secret user"}, "messages": [{"role": "user", "content": "secret prompt"}]});
    let ask = Ask::message(body.to_string()).header("x-api-key", "k-secret");
    let answer =
        ask.header("x-claude-code-session-id", "secret session").send(gateway.address).await;
    assert_eq!(answer.status, 200);
    let events = written(&gateway, "exchange.ended").await;
    assert_eq!(events.len(), 1);
    let event = &events[0];
    assert_eq!(keys(event), ["id", "time", "type", "instance", "generation", "data"]);
    assert!(event["id"].as_str().unwrap().starts_with("evt_"));
    assert!(event["time"].as_str().unwrap().parse::<jiff::Timestamp>().is_ok());
    assert_eq!((&event["generation"], event["instance"].as_str().unwrap().len()), (&json!(1), 32));
    let data = &event["data"];
    assert!(data["request_id"].as_str().unwrap().starts_with("req_"), "{data}");
    assert_eq!(data["upstream_request_id"], answer.header("request-id").unwrap());
    for (key, value) in [
        ("operation", json!("messages")),
        ("key", json!("ci")),
        ("model", json!("claude-x")),
        ("status", json!(200)),
        ("ending", json!("whole")),
        ("error", Value::Null),
        ("attempts", json!(1)),
        ("stream", json!(false)),
        ("tags", json!({"team": "ml"})),
    ] {
        assert_eq!(data[key], value, "{key}");
    }
    assert_eq!(keys(&data["cost"]), ["nano_usd", "unpriced_tokens", "estimated"]);
    let tokens = ["input", "output", "cache_read", "cache_write_5m", "cache_write_1h"];
    assert_eq!(keys(&data["tokens"]), tokens);
    assert!(data["tokens"]["output"].as_u64().unwrap() > 0, "{data}");
    assert!(!event.to_string().contains("secret"), "{event}");
}

#[tokio::test]
async fn an_event_names_the_generation_that_served_the_exchange() {
    let up = Upstream::always(Behaviour::Answer(upstream::json(200, ANSWER))).await;
    let gateway = Gateway::with().upstream(up.address).config(FILE).start().await;
    gateway.reload_now().await;
    Ask::message(MESSAGE).send(gateway.address).await;
    assert_eq!(written(&gateway, "exchange.ended").await[0]["generation"], 2);
}

#[tokio::test]
async fn a_budget_is_reported_once_when_it_warns_and_once_when_it_is_used_up() {
    let message = json!({"id": "msg_1", "type": "message", "role": "assistant", "model": "up",
        "content": [{"type": "text", "text": "hello"}], "stop_reason": "end_turn", "stop_sequence": null,
        "usage": {"input_tokens": 1000, "output_tokens": 100}});
    let whole = upstream::json(200, &message.to_string());
    let up = Upstream::always(Behaviour::Answer(whole)).await;
    let config = "keys: [{ name: ci, key: k-ci }]
budgets: { rules: [{ per: key, usd: 0.02, every: day, warn_at: 0.5 }] }
sinks: { all: { file: out/events.jsonl, events: [budget.*, key.created] } }
";
    let gateway = Gateway::with().upstream(up.address).config(config).start().await;
    let body = json!({"model": "claude-opus-5-5", "max_tokens": 16, "messages": [{"role": "user", "content": "hi"}]});
    let mut statuses = Vec::new();
    for _ in 0..6 {
        let ask = Ask::message(body.to_string()).header("x-api-key", "k-ci");
        statuses.push(ask.send(gateway.address).await.status);
    }
    assert_eq!(statuses, [200, 200, 200, 200, 429, 429]);
    let events = written(&gateway, "budget.used_up").await;
    assert_eq!(types(&events), ["budget.warned", "budget.used_up"]);
    let data = &events[1]["data"];
    assert_eq!((&data["budget"], &data["per"]), (&json!("0.02 USD every day"), &json!("key")));
    assert_eq!((&data["owner"], &data["limit_nano_usd"]), (&json!("ci"), &json!(20_000_000)));
    assert!(data["used_nano_usd"].as_u64() >= Some(20_000_000), "{data}");
    assert!(data["ends"].as_str().unwrap().ends_with("T00:00:00Z"), "{data}");
}

#[tokio::test]
async fn a_target_is_reported_when_it_fails_and_when_it_is_back() {
    let list = vec![
        Behaviour::Answer(upstream::json(500, r#"{"secret":"text"}"#)),
        Behaviour::Answer(upstream::json(200, ANSWER)),
    ];
    let (first, second) = (
        Upstream::script(list).await,
        Upstream::always(Behaviour::Answer(upstream::json(200, ANSWER))).await,
    );
    let config = format!(
        "providers:
  one: {{ type: anthropic, base_url: \"http://{}\", api_key: k }}
  two: {{ type: anthropic, base_url: \"http://{}\", api_key: k }}
models:
  m: {{ targets: [{{ provider: one }}, {{ provider: two }}], retry: {{ attempts: 0 }}, cooldown: 1ms }}
sinks: {{ all: {{ file: out/events.jsonl, events: [\"target.*\"] }} }}
",
        first.address, second.address
    );
    let gateway = Gateway::start(&config).await;
    let body =
        json!({"model": "m", "max_tokens": 16, "messages": [{"role": "user", "content": "hi"}]});
    assert_eq!(gateway.ask(&body).await.status, 200);
    until("the target to be tried again", async || {
        gateway.ask(&body).await;
        first.count() > 1
    })
    .await;
    let events = written(&gateway, "target.up").await;
    assert_eq!(types(&events), ["target.down", "target.up"]);
    let down = &events[0]["data"];
    assert_eq!((&down["target"], &down["status"]), (&json!("one/*"), &json!(500)));
    assert_eq!((&down["error"], &down["cooldown_ms"]), (&json!("api_error"), &json!(1)));
    assert!(!events[0].to_string().contains("secret"));
    assert_eq!(events[1]["data"]["target"], "one/*");
}

#[tokio::test]
async fn a_failed_reload_is_reported_with_its_problems() {
    let gateway = Gateway::with()
        .provider("sim", "{ type: simulator }")
        .model("m", "{ provider: sim }")
        .config(FILE)
        .start()
        .await;
    gateway
        .reload("providers: { sim: { type: simulator } }\nmodels: { m: { provider: nope } }\n")
        .await;
    let events = written(&gateway, "reload.failed").await;
    let problem = &events[0]["data"]["problems"][0];
    assert_eq!(problem["path"], "models.m.provider");
    assert!(problem["message"].as_str().unwrap().contains("no provider is named `nope`"));
}

#[tokio::test]
async fn a_key_is_reported_when_it_is_made_changed_and_revoked_but_never_itself() {
    let config = format!(
        "providers: {{ s: {{ type: simulator }} }}
models: {{ m: {{ provider: s }} }}
ledger: sqlite
key_store: ledger
admin: {{ listen: 127.0.0.1:0, token: secret }}
{FILE}"
    );
    let gateway = Gateway::start(&config).await;
    let api = Api::with_token(&gateway, "secret").await;
    let made =
        api.write("POST", "/api/keys", "/api/keys", r#"{"name":"ci","tags":{"team":"ml"}}"#).await;
    let made = made.json();
    let one = format!("/api/keys/{}", made["id"].as_str().unwrap());
    assert_eq!(api.write("PATCH", &one, &one, r#"{"disabled":true}"#).await.status, 200);
    assert_eq!(api.write("DELETE", &one, &one, "").await.status, 204);
    let events = written(&gateway, "key.revoked").await;
    assert_eq!(types(&events), ["key.created", "key.changed", "key.revoked"]);
    let data = |disabled: bool| json!({"id": made["id"], "name": "ci", "tags": {"team": "ml"}, "expires": null, "disabled": disabled});
    assert_eq!(events[0]["data"], data(false));
    assert_eq!(events[1]["data"], data(true));
    let key = made["key"].as_str().unwrap();
    assert!(events.iter().all(|event| !event.to_string().contains(&key[8..])));
}

#[tokio::test]
async fn a_sink_receives_only_the_types_that_it_names() {
    let up = Upstream::always(Behaviour::Answer(upstream::json(200, ANSWER))).await;
    let sinks = "sinks:
  some: { file: some.jsonl, events: [policy.b*] }
  all: { file: out/events.jsonl }
";
    let policy = "fn on_request(request, ctx) { emit(\"a\", #{}); emit(\"b1\", #{}); }";
    let gateway =
        Gateway::with().upstream(up.address).policy("p", policy).config(sinks).start().await;
    Ask::message(MESSAGE).send(gateway.address).await;
    let all = written(&gateway, "exchange.ended").await;
    assert_eq!(types(&all), ["policy.a", "policy.b1", "exchange.ended"]);
    let some = gateway.folder().join("some.jsonl");
    until("the chosen event", async || !lines(&some).is_empty()).await;
    // one event has one id in all sinks
    assert_eq!(lines(&some), [all[1].clone()]);
    let ids: BTreeMap<_, _> = all.iter().map(|event| (event["id"].as_str(), ())).collect();
    assert_eq!(ids.len(), 3);
}

#[tokio::test]
async fn a_stream_that_the_client_leaves_is_an_event_with_that_ending() {
    let mut up = Upstream::start().await;
    let gateway = Gateway::with().upstream(up.address).config(FILE).start().await;
    let (client, upstream) = crate::support::streaming(&gateway, &mut up).await;
    drop(client);
    let events = written(&gateway, "exchange.ended").await;
    assert_eq!(events[0]["data"]["ending"], "caller_left");
    drop(upstream);
}
