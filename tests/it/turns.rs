//! The tool loop, whole: a caller, a gateway with real plugins, and an upstream that is watched.
mod asked;
mod carried;
mod cited;
mod ends;
mod generated;
mod led;
mod native;
mod state;
mod uses;

use serde_json::{Value, json};

use crate::support::client::Ask;
use crate::support::events::{Event, folded};
use crate::support::gateway::{Gateway, looping, simulated_upstream};
use crate::support::grammar;
use crate::support::turn::plain_text;
use crate::support::upstream::Auto;

/// A request whose tools are the gateway's clock and a tool of the caller's.
fn ask(text: &str) -> Value {
    json!({
        "model": "m",
        "max_tokens": 100_000,
        "tools": [
            {"type": "gateway:datetime"},
            {"name": "weather", "input_schema": {"type": "object"}},
        ],
        "messages": [{"role": "user", "content": text}],
    })
}

/// The same with tools of the plugin that misbehaves.
fn ask_unruly(text: &str) -> Value {
    let mut body = ask(text);
    body["tools"] = ["refuse", "panic", "spin", "echo"]
        .map(|name| json!({"type": format!("gateway:{name}")}))
        .as_slice()
        .into();
    body
}

async fn simulated() -> (Auto, Gateway) {
    simulated_with("", &[]).await
}

async fn simulated_with(config: &str, files: &[(&str, &str)]) -> (Auto, Gateway) {
    let upstream = simulated_upstream().await;
    let gateway = looping(upstream.address).config(config).files(files).start().await;
    (upstream, gateway)
}

/// A stream that keeps to the grammar: its message.
async fn streamed(gateway: &Gateway, body: &Value) -> Value {
    let events = gateway.events(body).await;
    grammar::check(&events).unwrap();
    folded(&events)
}

fn kinds(message: &Value) -> Vec<&str> {
    let blocks = message["content"].as_array().unwrap();
    blocks.iter().map(|block| block["type"].as_str().unwrap()).collect()
}

fn blocks<'a>(message: &'a Value, kind: &str) -> Vec<&'a Value> {
    let blocks = message["content"].as_array().unwrap();
    blocks.iter().filter(|block| block["type"] == kind).collect()
}

fn data(event: &Event) -> Value {
    event.json()
}

#[tokio::test]
async fn a_call_of_the_clock_is_answered_in_the_same_message() {
    let (upstream, gateway) = simulated().await;
    let body = ask("[sim: call datetime {\"timezones\": [\"Asia/Tokyo\"]}]");
    for message in [streamed(&gateway, &body).await, gateway.ask(&body).await.message()] {
        assert_eq!(kinds(&message), ["text", "mcp_tool_use", "mcp_tool_result", "text"]);
        let (used, ran) = (&message["content"][1], &message["content"][2]);
        assert_eq!((&used["name"], &used["server_name"]), (&json!("datetime"), &json!("gateway")));
        assert_eq!(used["input"], json!({"timezones": ["Asia/Tokyo"]}));
        assert_eq!(ran["tool_use_id"], used["id"]);
        assert!(ran["content"][0]["text"].as_str().unwrap().contains("+09:00"), "{ran}");
        assert_eq!(message["stop_reason"], "end_turn");
        let counts =
            json!({"web_search_requests": 0, "web_fetch_requests": 0, "datetime_requests": 1});
        assert_eq!(message["usage"]["server_tool_use"], counts);
    }
    let seen = upstream.requests();
    assert_eq!(seen.len(), 4);
    for request in &seen {
        assert_eq!((&request["model"], &request["stream"]), (&json!("up-1"), &json!(true)));
        assert_eq!(request["tools"][0]["name"], "gateway_datetime");
        assert!(request["tools"][0]["type"].is_null());
    }
}

#[tokio::test]
async fn a_stream_and_a_whole_answer_say_the_same() {
    let (_upstream, gateway) = simulated().await;
    let mut body = ask("[sim: thinking] [sim: call datetime] [sim: then] [sim: words 40]");
    body["thinking"] = json!({"type": "enabled", "budget_tokens": 1024});
    // one after the other: the clock is read twice
    let (mut stream, mut whole) =
        (streamed(&gateway, &body).await, gateway.ask(&body).await.message());
    for message in [&mut stream, &mut whole] {
        for block in message["content"].as_array_mut().unwrap() {
            let changes = ["content", "id", "tool_use_id", "signature"];
            block.as_object_mut().unwrap().retain(|field, _| !changes.contains(&field.as_str()));
        }
        message["id"] = json!("msg");
    }
    assert_eq!(stream, whole);
}

#[tokio::test]
async fn long_answers_do_not_hang() {
    // the built-in simulator has all its events at once: the loop is never out of work
    let (_upstream, gateway) =
        simulated_with("models:\n  m: { provider: sim }\n  up: { provider: up }", &[]).await;
    let at_once = "[sim: words 2000]";
    let after_a_call = "[sim: call datetime] [sim: then] [sim: words 2000]";
    for (model, text) in
        [("m", at_once), ("m", after_a_call), ("up", at_once), ("up", after_a_call)]
    {
        let mut body = ask(text);
        body["model"] = model.into();
        for message in [streamed(&gateway, &body).await, gateway.ask(&body).await.message()] {
            let last = message["content"].as_array().unwrap().last().unwrap();
            assert_eq!(last["text"].as_str().unwrap().split(' ').count(), 2000);
        }
    }
}

#[tokio::test]
async fn parallel_calls_keep_their_order() {
    let (upstream, gateway) = simulated().await;
    let message = streamed(&gateway, &ask("[sim: call datetime] [sim: parallel 3]")).await;
    let calls = blocks(&message, "mcp_tool_use");
    let results = blocks(&message, "mcp_tool_result");
    assert_eq!((calls.len(), results.len()), (3, 3));
    let sent = &upstream.requests()[1]["messages"][2]["content"];
    for n in 0..3 {
        assert_eq!(calls[n]["id"], results[n]["tool_use_id"]);
        assert_eq!(calls[n]["id"], sent[n]["tool_use_id"]);
    }
    assert_eq!(message["usage"]["server_tool_use"]["datetime_requests"], 3);
}

#[tokio::test]
async fn a_mixed_turn_is_handed_over_and_goes_on_from_there() {
    let (upstream, gateway) = simulated().await;
    let mut body = ask("[sim: call datetime] [sim: call weather] [sim: then] [sim: say done]");
    let message = streamed(&gateway, &body).await;
    assert_eq!(message["stop_reason"], "tool_use");
    assert_eq!(kinds(&message), ["text", "mcp_tool_use", "tool_use", "mcp_tool_result"]);
    assert_eq!(upstream.requests().len(), 1);
    let id = &message["content"][2]["id"];
    let messages = body["messages"].as_array_mut().unwrap();
    messages.push(json!({"role": "assistant", "content": message["content"]}));
    messages.push(json!({"role": "user", "content": [
        {"type": "tool_result", "tool_use_id": id, "content": "sunny"},
    ]}));
    let answer = gateway.ask(&body).await.message();
    assert_eq!(answer["content"], json!([plain_text("done")]));
    let sent = &upstream.requests()[1]["messages"];
    let results = blocks(&sent[2], "tool_result");
    assert_eq!(results.len(), 2);
    assert_eq!(results[1]["content"], "sunny");
}

#[tokio::test]
async fn thinking_goes_back_upstream_untouched() {
    // the simulator refuses thinking that it has not signed, and a loop that lost it
    let (upstream, gateway) = simulated().await;
    let text = "[sim: thinking] [sim: redacted] [sim: call datetime] [sim: turns 3]";
    let mut body = ask(text);
    body["thinking"] = json!({"type": "enabled", "budget_tokens": 1024});
    let message = streamed(&gateway, &body).await;
    assert_eq!(message["stop_reason"], "end_turn");
    assert!(blocks(&message, "thinking").len() >= 3);
    assert_eq!(upstream.requests().len(), 4);
    // and the whole conversation once more, as the caller sends it back
    let messages = body["messages"].as_array_mut().unwrap();
    messages.push(json!({"role": "assistant", "content": message["content"]}));
    messages.push(json!({"role": "user", "content": "and now?"}));
    assert_eq!(gateway.ask(&body).await.message()["stop_reason"], "end_turn");
}

#[tokio::test]
async fn later_turns_send_the_earlier_ones_byte_for_byte() {
    let (upstream, gateway) = simulated().await;
    let messages = r#"[ {"role":"user",  "content":[{"type":"text","text":"\u0068i [sim: call datetime] [sim: turns 2]", "cache_control" : {"type":"ephemeral"}} ]}]"#;
    let system = r#"[{ "type":"text","text":"be brief" ,"cache_control":{"type":"ephemeral"}}]"#;
    let body = format!(
        r#"{{"model":"m", "max_tokens" : 900,"stream":true,"system": {system},"tools":[{{"type":"gateway:datetime"}}],"messages": {messages}}}"#
    );
    let answer = Ask::message(body).send(gateway.address).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let bodies = upstream.bodies();
    assert_eq!(bodies.len(), 3);
    let text = |n: usize| std::str::from_utf8(&bodies[n]).unwrap();
    assert!(text(0).ends_with(&format!("\"messages\": {messages}}}")), "{}", text(0));
    assert!(text(0).contains(&format!("\"system\": {system}")));
    for n in 1..3 {
        let before = text(n - 1).strip_suffix("]}").unwrap();
        assert!(text(n).starts_with(before), "{}\n{}", text(n - 1), text(n));
    }
}

#[tokio::test]
async fn a_forced_choice_is_free_after_the_first_turn() {
    let (upstream, gateway) = simulated().await;
    for choice in [
        json!({"type": "tool", "name": "datetime"}),
        json!({"type": "tool", "name": "gateway:datetime"}),
        json!("gateway:datetime"),
        json!({"type": "gateway:datetime"}),
        json!({"type": "any"}),
    ] {
        let before = upstream.requests().len();
        let mut body = ask("hello");
        body["tool_choice"] = choice.clone();
        let message = streamed(&gateway, &body).await;
        assert_eq!(message["stop_reason"], "end_turn", "{choice}");
        let seen = &upstream.requests()[before..];
        let forced = match choice["type"].as_str() {
            Some("any") => choice,
            _ => json!({"type": "tool", "name": "gateway_datetime"}),
        };
        assert_eq!(seen[0]["tool_choice"], forced);
        assert_eq!(seen[1]["tool_choice"], json!({"type": "auto"}));
    }
}

#[tokio::test]
async fn a_choice_that_forces_nothing_is_kept() {
    let (upstream, gateway) = simulated().await;
    for choice in
        [json!({"type": "auto", "disable_parallel_tool_use": true}), json!({"type": "none"})]
    {
        let mut body = ask("[sim: call datetime]");
        body["tool_choice"] = choice.clone();
        gateway.ask(&body).await.message();
        assert_eq!(upstream.requests().last().unwrap()["tool_choice"], choice);
    }
}

#[tokio::test]
async fn tokens_are_counted_with_the_tools_that_the_upstream_sees() {
    let (upstream, gateway) = simulated().await;
    let body = ask("hello").to_string();
    let answer = Ask::post("/v1/messages/count_tokens", body).send(gateway.address).await;
    assert!(answer.json()["input_tokens"].as_u64().unwrap() > 20);
    let seen = upstream.requests().remove(0);
    assert_eq!(seen["tools"][0]["name"], "gateway_datetime");
    assert!(seen["stream"].is_null());
}

#[tokio::test]
async fn a_tool_that_a_policy_adds_stays_hidden() {
    let add =
        r#"fn on_request(request, ctx) { request.tools = [#{ "type": "gateway:datetime" }]; }"#;
    let (upstream, gateway) = simulated_with("", &[("policies/add.rhai", add)]).await;
    let mut body = ask("[sim: call datetime] [sim: then] [sim: say it is noon]");
    body.as_object_mut().unwrap().remove("tools");
    for message in [streamed(&gateway, &body).await, gateway.ask(&body).await.message()] {
        assert_eq!(kinds(&message), ["text", "text"]);
        assert_eq!(message["content"][1]["text"], "it is noon");
    }
    let seen = upstream.requests();
    assert_eq!(seen[1]["messages"][2]["content"][0]["type"], "tool_result");
    assert_eq!(seen[1]["model"], "up-1");
}

#[tokio::test]
async fn further_turns_go_to_the_target_that_answered_the_first() {
    let models = "models:\n  m:\n    cooldown: 1ms\n    targets: [{ provider: up, model: a }, { provider: up, model: b }]";
    let (upstream, gateway) = simulated_with(models, &[]).await;
    let body = ask("[sim@a: error 529] [sim: call datetime] [sim: turns 3]");
    let message = streamed(&gateway, &body).await;
    assert_eq!(message["stop_reason"], "end_turn");
    let models: Vec<Value> = upstream.requests().iter().map(|body| body["model"].clone()).collect();
    assert_eq!(models, ["a", "b", "b", "b", "b"]);
}

#[tokio::test]
async fn threads_are_refused_in_the_words_that_tool_runners_know() {
    let two =
        "models:\n  m:\n    targets: [{ provider: up, model: a }, { provider: up, model: b }]";
    for (config, has_tools) in [("", true), (two, false)] {
        let (upstream, gateway) = simulated_with(config, &[]).await;
        let mut body = ask("hello");
        if !has_tools {
            body.as_object_mut().unwrap().remove("tools");
        }
        for (thread, status, code) in [
            (json!({"type": "create"}), 400, "thread_unsupported_request"),
            (json!({"type": "continue", "previous_message_id": "msg_1"}), 404, "thread_not_found"),
        ] {
            body["thread"] = thread;
            let answer = gateway.ask(&body).await;
            answer.error(status);
            let said: Value = serde_json::from_str(&answer.text()).unwrap();
            assert_eq!(said["error"]["details"]["error_code"], code);
        }
        assert!(upstream.bodies().is_empty());
    }
}
