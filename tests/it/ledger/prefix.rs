//! The prompt cache in the ledger: whether a prompt goes on where its session's last one ended, and who broke it.
use serde_json::{Value, json};

use super::{file, rows, written};
use crate::support::client::{Answer, Ask};
use crate::support::gateway::Gateway;
use crate::support::turn;
use crate::support::upstream::{Behaviour, Upstream, answer, json as whole, stream};

const COLUMNS: &str = "SELECT prefix, broken_at, broken_by, broken_stage, lost_tokens, lost_nano FROM exchange ORDER BY lost_tokens";

/// A request with a breakpoint at its end.
fn body(messages: &[&str]) -> Value {
    let messages: Vec<_> =
        messages.iter().map(|text| json!({"role": "user", "content": text})).collect();
    json!({
        "model": "claude-opus-5-5",
        "max_tokens": 64,
        "cache_control": {"type": "ephemeral"},
        "messages": messages,
    })
}

async fn ask(gateway: &Gateway, session: &str, body: &Value) -> Answer {
    let ask = Ask::message(body.to_string()).header("x-tidegate-debug", "trace");
    ask.header("x-tidegate-session-id", session).send(gateway.address).await
}

/// The note of the trace about the prompt.
async fn note(gateway: &Gateway, body: &Value) -> Value {
    let answer = ask(gateway, "s1", body).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let trace: Value = serde_json::from_str(answer.header("x-tidegate-trace").unwrap()).unwrap();
    trace["prefix"].clone()
}

/// An answer with these tokens read from the cache, and written to it.
fn cached(read: u64, write: u64) -> Behaviour {
    let mut message = turn::message(json!([turn::text("hello")]), "end_turn");
    message["usage"] = json!({
        "input_tokens": 3,
        "output_tokens": 2,
        "cache_read_input_tokens": read,
        "cache_creation_input_tokens": write,
    });
    Behaviour::Answer(whole(200, &message.to_string()))
}

#[tokio::test]
async fn a_break_has_its_place_its_cause_and_its_cost() {
    let answers = [(0, 1000), (1000, 500), (0, 1600), (200, 1400), (0, 0), (0, 0)];
    let answers = answers.map(|(read, write)| cached(read, write));
    let up = Upstream::script(answers.into()).await;
    let gateway = Gateway::with()
        .upstream(up.address)
        .policy("first", "fn on_request(request, ctx) { request.metadata = #{ user_id: \"x\" }; }")
        .policy(
            "preface",
            "fn on_request(request, ctx) { if request.max_tokens == 65 { request.system = \"other\"; } }",
        )
        .config("ledger: {}")
        .start()
        .await;
    assert_eq!(note(&gateway, &body(&["a"])).await, json!({"state": "first"}));
    let mut next = body(&["a", "b", "c"]);
    assert_eq!(note(&gateway, &next).await, json!({"state": "continues"}));
    next["max_tokens"] = 65.into();
    let expected = json!({"state": "broken", "at": "system", "by": "stage", "stage": "preface"});
    assert_eq!(note(&gateway, &next).await, expected);
    next["messages"][0]["content"] = "A".into();
    let expected = json!({"state": "broken", "at": "messages.0", "by": "client"});
    assert_eq!(note(&gateway, &next).await, expected);
    // without a breakpoint, and without a session
    next.as_object_mut().unwrap().remove("cache_control");
    assert_eq!(note(&gateway, &next).await, Value::Null);
    gateway.ask(&body(&["a"])).await.message();
    written(&gateway, 6).await;
    // a write costs 5 dollars a million, a read 20 cents
    let expected = [
        json!(["broken", "messages.0", "client", null, 1400, 1400 * 4800]),
        json!(["broken", "system", "stage", "preface", 1500, 1500 * 4800]),
    ];
    let found = rows(&file(gateway.folder()), COLUMNS).await;
    assert_eq!(found[4..], expected);
    let states = "SELECT coalesce(prefix, ''), count(*) FROM exchange GROUP BY 1 ORDER BY 1";
    let expected =
        [json!(["", 2]), json!(["broken", 2]), json!(["continues", 1]), json!(["first", 1])];
    assert_eq!(rows(&file(gateway.folder()), states).await, expected);
}

#[tokio::test]
async fn a_stage_that_adds_breakpoints_and_one_for_a_target_are_followed_too() {
    let up = Upstream::by(|_| cached(0, 10)).await;
    let gateway = Gateway::with()
        .upstream(up.address)
        .policy(
            "marks",
            "fn on_request(request, ctx) { request.cache_control = #{ type: \"ephemeral\" }; }",
        )
        .policy(
            "last",
            "fn on_upstream_request(request, target, ctx) { if request.max_tokens == 65 { request.messages[0].content = \"*\"; } }",
        )
        .start()
        .await;
    let mut body = body(&["a", "b"]);
    body.as_object_mut().unwrap().remove("cache_control");
    assert_eq!(note(&gateway, &body).await, json!({"state": "first"}));
    assert_eq!(note(&gateway, &body).await, json!({"state": "continues"}));
    body["max_tokens"] = 65.into();
    let expected = json!({"state": "broken", "at": "messages.0", "by": "stage", "stage": "last"});
    assert_eq!(note(&gateway, &body).await, expected);
    body["messages"][1]["content"] = "B".into();
    let expected = json!({"state": "broken", "at": "messages.1", "by": "client"});
    assert_eq!(note(&gateway, &body).await, expected);
}

#[tokio::test]
async fn another_account_is_a_failover_and_another_key_another_session() {
    let error = r#"{"type":"error","error":{"type":"api_error","message":"no"}}"#;
    let fails = Behaviour::Answer(whole(500, error));
    let a = Upstream::script(vec![cached(0, 100), fails]).await;
    let b = Upstream::by(|_| cached(0, 110)).await;
    let gateway = Gateway::with()
        .provider("a", &format!("{{ type: anthropic, api_key: ka, base_url: \"http://{}\" }}", a.address))
        .provider("b", &format!("{{ type: anthropic, api_key: kb, base_url: \"http://{}\" }}", b.address))
        .model("claude-opus-5-5", "{ targets: [{ provider: a }, { provider: b }], retry: { attempts: 0 } }")
        .config("keys:\n  - { name: one, key: one-key-0123456789 }\n  - { name: two, key: two-key-0123456789 }\nledger: {}\n")
        .start()
        .await;
    let send = async |key: &str, body: &Value| {
        let ask = Ask::message(body.to_string()).header("x-api-key", key);
        let ask = ask.header("x-tidegate-session-id", "s").header("x-tidegate-debug", "trace");
        let answer = ask.send(gateway.address).await;
        let trace =
            answer.header("x-tidegate-trace").unwrap_or_else(|| panic!("{}", answer.text()));
        serde_json::from_str::<Value>(trace).unwrap()["prefix"].clone()
    };
    assert_eq!(send("one-key-0123456789", &body(&["a"])).await["state"], "first");
    let expected = json!({"state": "broken", "at": "model", "by": "failover"});
    assert_eq!(send("one-key-0123456789", &body(&["a", "b"])).await, expected);
    assert_eq!(send("two-key-0123456789", &body(&["a", "b"])).await["state"], "first");
}

#[tokio::test]
async fn a_conversation_with_a_server_tool_goes_on() {
    let gateway = Gateway::with()
        .provider("sim", "{ type: simulator }")
        .plugin("datetime")
        .policy("fixed", "fn on_request(request, ctx) { request.system = \"fixed\"; }")
        .start()
        .await;
    let mut body = body(&["[sim: call datetime] [sim: then] [sim: say done]"]);
    body["tools"] = json!([{"type": "gateway:datetime"}]);
    let first = ask(&gateway, "s1", &body).await;
    let said = first.message();
    let messages = body["messages"].as_array_mut().unwrap();
    messages.push(json!({"role": "assistant", "content": said["content"]}));
    messages.push(json!({"role": "user", "content": "[sim: say more]"}));
    assert_eq!(note(&gateway, &body).await, json!({"state": "continues"}));
    body["messages"][0]["content"] = "something else".into();
    let expected = json!({"state": "broken", "at": "messages.0", "by": "client"});
    assert_eq!(note(&gateway, &body).await, expected);
}

#[tokio::test]
async fn a_row_has_the_stop_reason_and_the_id_of_the_upstream() {
    let message = turn::message(json!([turn::text("hello")]), "max_tokens");
    let head = |id: &str| format!("content-type: application/json\r\nrequest-id: {id}\r\n");
    let error = r#"{"type":"error","error":{"type":"invalid_request_error","message":"no"}}"#;
    let up = Upstream::script(vec![
        Behaviour::Answer(answer(200, &head("req_up_1"), message.to_string())),
        Behaviour::Answer(stream(&turn::frames(&message))),
        Behaviour::Answer(answer(400, &head("req_up_3"), error)),
    ])
    .await;
    let gateway = Gateway::with().upstream(up.address).config("ledger: {}").start().await;
    let mut body = body(&["a"]);
    for is_stream in [false, true, false] {
        body["stream"] = is_stream.into();
        gateway.ask(&body).await;
    }
    written(&gateway, 3).await;
    let columns = "SELECT stop, exchange.upstream_request_id, attempt.upstream_request_id, trace_id \
        FROM exchange JOIN every_attempt AS attempt ON attempt.exchange = id ORDER BY 2";
    let expected = [
        // the helper's own id of a stream
        json!(["max_tokens", "req_up", "req_up", null]),
        json!(["max_tokens", "req_up_1", "req_up_1", null]),
        json!([null, "req_up_3", "req_up_3", null]),
    ];
    assert_eq!(rows(&file(gateway.folder()), columns).await, expected);
}
