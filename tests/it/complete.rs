//! What the gateway makes itself has every member that the API's schema requires, `null` or not.
use serde_json::{Value, json};

use crate::support::client::Ask;
use crate::support::events::{Event, EventKind, folded};
use crate::support::gateway::Gateway;
use crate::support::grammar;
use crate::support::plugins::alone;

const MESSAGE: &str =
    "id type role model content stop_reason stop_sequence stop_details container diagnostics usage";
const USAGE: &str = "input_tokens output_tokens cache_creation cache_creation_input_tokens cache_read_input_tokens \
                     inference_geo output_tokens_details server_tool_use service_tier speed";
const CACHE_CREATION: &str = "ephemeral_5m_input_tokens ephemeral_1h_input_tokens";
const DELTA: &str = "stop_reason stop_sequence stop_details container";
const DELTA_USAGE: &str = "input_tokens output_tokens cache_creation_input_tokens cache_read_input_tokens \
                           output_tokens_details server_tool_use";
const MODEL: &str = "type id display_name created_at lifecycle deprecated_at retires_at line capabilities \
                     max_input_tokens max_tokens";

/// What the members of a block are, by its type.
fn of_block(kind: &str) -> &'static str {
    match kind {
        "text" => "text citations",
        "thinking" => "thinking signature",
        "redacted_thinking" => "data",
        "tool_use" => "id name input caller",
        "mcp_tool_use" => "id name input server_name",
        "mcp_tool_result" => "tool_use_id is_error content",
        _ => panic!("no test knows a `{kind}`"),
    }
}

/// Checks that all these members are there.
fn has(object: &Value, members: &str) {
    for member in members.split_whitespace() {
        assert!(object.get(member).is_some(), "`{member}` is missing in {object}");
    }
}

fn has_block(block: &Value) {
    let kind = block["type"].as_str().unwrap();
    has(block, of_block(kind));
    match kind {
        "tool_use" => assert_eq!(block["caller"], json!({"type": "direct"})),
        "mcp_tool_result" => block["content"].as_array().unwrap().iter().for_each(has_block),
        _ => {}
    }
}

fn has_message(message: &Value) {
    has(message, MESSAGE);
    has(&message["usage"], USAGE);
    has(&message["usage"]["cache_creation"], CACHE_CREATION);
    message["content"].as_array().unwrap().iter().for_each(has_block);
}

fn has_events(events: &[Event]) {
    assert_eq!(grammar::check(events), Ok(()));
    for event in events {
        let data = event.json();
        match event.kind {
            EventKind::MessageStart => has_message(&data["message"]),
            EventKind::ContentBlockStart => has_block(&data["content_block"]),
            EventKind::MessageDelta => {
                has(&data["delta"], DELTA);
                has(&data["usage"], DELTA_USAGE);
            }
            _ => {}
        }
    }
}

/// Sends a request whole and as a stream; the types of the blocks of both answers, which are the same.
async fn kinds(gateway: &Gateway, mut body: Value) -> Vec<String> {
    body["model"] = "sim".into();
    body["max_tokens"] = 1000.into();
    let whole = Ask::message(body.to_string()).send(gateway.address).await;
    assert_eq!(whole.status, 200, "{}", whole.text());
    has_message(&whole.json());
    body["stream"] = true.into();
    let events = Ask::message(body.to_string()).send(gateway.address).await.events();
    has_events(&events);
    let streamed = folded(&events);
    has_message(&streamed);
    let kinds = |message: &Value| -> Vec<String> {
        let blocks = message["content"].as_array().unwrap().iter();
        blocks.map(|block| block["type"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(kinds(&whole.json()), kinds(&streamed));
    kinds(&streamed)
}

fn asked(text: &str) -> Value {
    json!({"messages": [{"role": "user", "content": text}]})
}

const SIMULATOR: &str = "providers: { sim: { type: simulator } }\nmodels: { sim: { provider: sim }, team/other: { provider: sim } }\n";

#[tokio::test]
async fn answers_of_the_simulator_have_every_member() {
    let gateway = Gateway::start(SIMULATOR).await;
    assert_eq!(kinds(&gateway, asked("hello")).await, ["text"]);
    let mut call = asked("[sim: thinking] [sim: redacted] [sim: call get_weather]");
    call["tools"] = json!([{"name": "get_weather", "input_schema": {"type": "object"}}]);
    assert_eq!(kinds(&gateway, call).await, ["thinking", "redacted_thinking", "text", "tool_use"]);
    assert_eq!(kinds(&gateway, asked("[sim: refuse cyber]")).await, ["text"]);
    assert!(kinds(&gateway, asked("[sim: empty]")).await.is_empty());
}

#[tokio::test]
async fn a_beta_has_its_own_members_too() {
    let gateway = Gateway::start(SIMULATOR).await;
    let mut body = asked("hello");
    (body["model"], body["max_tokens"]) = ("sim".into(), 9.into());
    let stable = Ask::message(body.to_string()).send(gateway.address).await.json();
    assert_eq!(stable.get("context_management"), None);
    let beta = Ask::message(body.to_string()).header("anthropic-beta", "mcp-client-2025-11-20");
    let beta = beta.send(gateway.address).await.json();
    has(&beta, "context_management");
    has(&beta["usage"], "iterations fallback_credit");
}

#[tokio::test]
async fn answers_of_a_policy_have_every_member() {
    let policy = r#"fn on_request(request, ctx) {
        if request.messages[0].content == "text" { respond("pong"); }
        respond(#{ usage: #{ input_tokens: 7 }, content: [
            #{ type: "thinking", thinking: "hm" },
            #{ type: "text", text: "pong" },
            #{ type: "mcp_tool_use", id: "m1", name: "now", server_name: "own" },
            #{ type: "mcp_tool_result", tool_use_id: "m1", content: [#{ type: "text", text: "noon" }] },
            #{ type: "tool_use", id: "t1", name: "now" },
        ] });
    }"#;
    let config = format!("{SIMULATOR}pipeline: [{{ policy: answers }}]\n");
    let gateway = Gateway::with().config(&config).policy("answers", policy).start().await;
    assert_eq!(kinds(&gateway, asked("text")).await, ["text"]);
    assert_eq!(
        kinds(&gateway, asked("blocks")).await,
        ["thinking", "text", "mcp_tool_use", "mcp_tool_result", "tool_use"]
    );
    let mut body = asked("blocks");
    (body["model"], body["max_tokens"]) = ("sim".into(), 9.into());
    let usage = Ask::message(body.to_string()).send(gateway.address).await.json()["usage"].clone();
    assert_eq!((&usage["input_tokens"], &usage["output_tokens"]), (&json!(7), &json!(0)));
}

#[tokio::test]
async fn messages_of_a_tool_loop_have_every_member() {
    let plugins = alone("datetime");
    let config = format!("{SIMULATOR}plugins: {{ dir: {:?} }}\n", plugins.display());
    let gateway = Gateway::start(&config).await;
    let mut body = asked("[sim: call datetime]");
    body["tools"] = json!([{"type": "gateway:datetime"}]);
    assert_eq!(kinds(&gateway, body).await, ["text", "mcp_tool_use", "mcp_tool_result", "text"]);
}

#[tokio::test]
async fn models_have_every_member() {
    let gateway = Gateway::start(SIMULATOR).await;
    let list = Ask::get("/v1/models").send(gateway.address).await.json();
    let models = list["data"].as_array().unwrap();
    assert_eq!(models.len(), 2);
    models.iter().for_each(|model| has(model, MODEL));
    let one = Ask::get("/v1/models/sim").send(gateway.address).await.json();
    has(&one, MODEL);
    assert_eq!(one["lifecycle"], "active");
}
