//! How a loop ends otherwise: bounds, tools that fail, an upstream that fails in a later turn.
use crate::support::events::EventKind;
use serde_json::{Value, json};

use super::{ask, ask_unruly, blocks, data, kinds, simulated, simulated_with, streamed};
use crate::support::gateway::looping;
use crate::support::grammar;
use crate::support::turn::{call, frames, message};
use crate::support::upstream::Upstream;

fn result_text(result: &Value) -> &str {
    result["content"][0]["text"].as_str().unwrap()
}

#[tokio::test]
async fn a_message_that_uses_up_its_turns_pauses_and_can_be_resumed() {
    let (upstream, gateway) = simulated_with("tools: { max_turns: 2 }", &[]).await;
    let mut body = ask("[sim: call datetime] [sim: turns 3] [sim: then] [sim: say done]");
    let message = streamed(&gateway, &body).await;
    assert_eq!(message["stop_reason"], "pause_turn");
    assert_eq!(upstream.requests().len(), 2);
    assert_eq!(blocks(&message, "mcp_tool_result").len(), 2);
    assert_eq!(kinds(&message).last(), Some(&"mcp_tool_result"));
    assert_eq!(gateway.ask(&body).await.message()["stop_reason"], "pause_turn");
    let paused = json!({"role": "assistant", "content": message["content"]});
    body["messages"].as_array_mut().unwrap().push(paused);
    let message = streamed(&gateway, &body).await;
    assert_eq!(message["stop_reason"], "end_turn");
    assert_eq!(message["content"].as_array().unwrap().last().unwrap()["text"], "done");
}

#[tokio::test]
async fn the_model_concludes_when_hidden_calls_use_up_the_turns() {
    let add = r#"fn on_request(request, ctx) {
        let tools = request.tools;
        tools.push(#{ "type": "gateway:datetime" });
        request.tools = tools;
    }"#;
    let files = [("policies/add.rhai", add)];
    let (upstream, gateway) = simulated_with("tools: { max_turns: 2 }", &files).await;
    let mut body = ask("[sim: call datetime] [sim: turns 9]");
    body["tools"].as_array_mut().unwrap().remove(0);
    // a pause would leave a message that ends with the assistant, and nothing of what was found
    for message in [streamed(&gateway, &body).await, gateway.ask(&body).await.message()] {
        assert_eq!(message["stop_reason"], "end_turn");
        assert!(kinds(&message).iter().all(|kind| *kind == "text"), "{message}");
    }
    let choices: Vec<Value> =
        upstream.requests().iter().map(|request| request["tool_choice"].clone()).collect();
    let none = json!({"type": "none"});
    assert_eq!(choices, [json!(null), json!(null), none.clone(), json!(null), json!(null), none]);
}

/// Every request gets this tool besides, and its caller never hears of it.
fn adding(tool: &str) -> String {
    format!(
        r#"fn on_request(request, ctx) {{
            let tools = request.tools;
            tools.push(#{{ "type": "gateway:{tool}" }});
            request.tools = tools;
        }}"#
    )
}

#[tokio::test]
async fn the_model_concludes_when_hidden_calls_use_up_the_time() {
    let files = [("policies/add.rhai", &*adding("spin"))];
    let (upstream, gateway) = simulated_with("tools: { timeout: 100ms }", &files).await;
    let message = streamed(&gateway, &ask("[sim: call spin]")).await;
    assert_eq!(message["stop_reason"], "end_turn");
    assert!(kinds(&message).iter().all(|kind| *kind == "text"), "{message}");
    assert_eq!(upstream.requests()[1]["tool_choice"], json!({"type": "none"}));
}

#[tokio::test]
async fn a_model_that_calls_tools_when_it_may_not_ends_its_turn_and_none_is_run() {
    let files = [("policies/add.rhai", &*adding("datetime"))];
    let mut upstream = Upstream::start().await;
    let gateway =
        looping(upstream.address).config("tools: { max_turns: 1 }").files(&files).start().await;
    let mut body = ask("what time is it?");
    body["tools"] = json!([{"type": "gateway:echo"}]);
    let calling = |names: &[&str]| {
        let called = names.iter().map(|name| call(name, &format!("gateway_{name}"), json!({})));
        message(called.collect(), "tool_use")
    };
    for (calls, results) in [(vec!["datetime"], 0), (vec!["datetime", "echo"], 1)] {
        let led = async {
            upstream.call().await.frames(&frames(&calling(&["datetime"]))).await;
            let last = upstream.call().await;
            assert_eq!(last.json()["tool_choice"], json!({"type": "none"}));
            last.frames(&frames(&calling(&calls))).await;
        };
        let (answer, ()) = tokio::join!(gateway.ask(&body), led);
        let message = answer.json();
        assert_eq!(message["stop_reason"], "end_turn", "{message}");
        let shown = blocks(&message, "mcp_tool_result");
        assert_eq!(shown.len(), results, "{message}");
        assert!(shown.iter().all(|result| result_text(result).starts_with("not run: ")));
    }
    // once in each first turn
    let ran = async |tool: &str| {
        let labels = format!("tool=\"gateway:{tool}\"");
        gateway.measured("tidegate_server_tool_calls_total", &labels).await
    };
    let counts = (ran("datetime").await, ran("echo").await);
    assert_eq!(counts, (2.0, 0.0), "{}", gateway.metrics().await);
}

#[tokio::test]
async fn calls_beyond_the_bound_are_not_run() {
    let (upstream, gateway) = simulated_with("tools: { max_calls: 2 }", &[]).await;
    let body = ask("[sim: call datetime] [sim: parallel 3] [sim: turns 2]");
    let message = streamed(&gateway, &body).await;
    assert_eq!(message["stop_reason"], "end_turn");
    let failed: Vec<bool> = blocks(&message, "mcp_tool_result")
        .iter()
        .map(|result| result["is_error"] == true)
        .collect();
    assert_eq!(failed, [false, false, true, true, true, true]);
    let sent = &upstream.requests()[1]["messages"][2]["content"];
    assert_eq!(sent[2]["is_error"], true);
    assert!(result_text(&sent[2]).contains("2 tool calls"), "{sent}");
    assert!(sent[1]["is_error"].is_null());
    assert_eq!(message["usage"]["server_tool_use"]["datetime_requests"], 2);
}

#[tokio::test]
async fn a_tool_that_never_ends_meets_the_timeout_of_all() {
    let (upstream, gateway) = simulated_with("tools: { timeout: 100ms }", &[]).await;
    let message = streamed(&gateway, &ask_unruly("[sim: call spin]")).await;
    assert_eq!(message["stop_reason"], "pause_turn");
    let result = blocks(&message, "mcp_tool_result")[0];
    assert_eq!(result["is_error"], true);
    assert!(result_text(result).contains("time"), "{result}");
    assert_eq!(upstream.requests().len(), 1);
}

#[tokio::test]
async fn pings_are_heard_while_a_tool_runs() {
    let config = "server: { workers: 1, ping_interval: 20ms }\ntools: { timeout: 2s }";
    let (_upstream, gateway) = simulated_with(config, &[]).await;
    let events = gateway.events(&ask_unruly("[sim: call spin]")).await;
    grammar::check(&events).unwrap();
    let called = events.iter().position(|e| data(e)["content_block"]["type"] == "mcp_tool_use");
    let ran = events.iter().position(|e| data(e)["content_block"]["type"] == "mcp_tool_result");
    let between = &events[called.unwrap()..ran.unwrap()];
    assert!(between.iter().any(|event| event.kind == EventKind::Ping));
}

#[tokio::test]
async fn a_tool_that_fails_is_a_result_and_the_conversation_goes_on() {
    let (upstream, gateway) = simulated().await;
    for (call, says) in [
        ("refuse {\"text\": \"the sea is closed\"}", "the sea is closed"),
        ("refuse {\"wrong\": 1}", "invalid_input"),
        ("panic {\"text\": \"secret\"}", "panic"),
    ] {
        let before = upstream.requests().len();
        let body = ask_unruly(&format!("[sim: call {call}] [sim: then] [sim: say sorry]"));
        let message = streamed(&gateway, &body).await;
        assert_eq!(message["stop_reason"], "end_turn");
        let result = blocks(&message, "mcp_tool_result")[0];
        assert_eq!(result["is_error"], true);
        assert!(result_text(result).contains(says), "{result}");
        assert!(!result_text(result).contains("secret"), "{result}");
        let sent = &upstream.requests()[before + 1]["messages"][2]["content"][0];
        assert_eq!(sent["is_error"], true);
        // the caller's block has `citations`, which is no part of what the tool said
        let said = json!([{"type": "text", "text": result_text(result)}]);
        assert_eq!(sent["content"], said);
    }
}

#[tokio::test]
async fn an_unknown_time_zone_is_returned_to_the_model_as_a_tool_error() {
    let (_upstream, gateway) = simulated().await;
    let body = ask("[sim: call datetime {\"timezones\": [\"Mars/Olympus\"]}]");
    let message = gateway.ask(&body).await.message();
    let result = blocks(&message, "mcp_tool_result")[0];
    assert_eq!(result["is_error"], true);
    assert!(result_text(result).contains("Mars/Olympus"), "{result}");
    assert_eq!(message["stop_reason"], "end_turn");
}

#[tokio::test]
async fn options_bind_the_model() {
    let (_upstream, gateway) = simulated().await;
    let mut body = ask("[sim: call datetime {\"timezones\": [\"Asia/Tokyo\"]}]");
    body["tools"][0]["timezone"] = json!("Asia/Kathmandu");
    let message = gateway.ask(&body).await.message();
    let text = result_text(blocks(&message, "mcp_tool_result")[0]).to_owned();
    assert!(text.contains("Asia/Kathmandu") && !text.contains("Tokyo"), "{text}");
}

#[tokio::test]
async fn an_empty_result_is_no_block() {
    let (upstream, gateway) = simulated().await;
    let message = gateway.ask(&ask_unruly("[sim: call echo {\"text\": \"\"}]")).await.message();
    assert_eq!(blocks(&message, "mcp_tool_result")[0]["content"], json!([]));
    assert_eq!(upstream.requests()[1]["messages"][2]["content"][0]["content"], json!([]));
}

#[tokio::test]
async fn a_refusal_of_a_later_turn_is_a_status_or_an_event() {
    let (_upstream, gateway) = simulated().await;
    for (error, status, kind, says) in [
        ("error 529", 529, "overloaded_error", "Overloaded"),
        ("error-event 529 after 4", 529, "overloaded_error", "Overloaded"),
        (
            "error 400 message prompt is too long: 9 tokens > 8 maximum",
            400,
            "invalid_request_error",
            "prompt is too long: 9 tokens > 8 maximum",
        ),
    ] {
        let body = ask(&format!("[sim: call datetime] [sim: then] [sim: {error}]"));
        let events = gateway.events(&body).await;
        grammar::check(&events).unwrap();
        let last = data(events.last().unwrap());
        assert_eq!((&last["type"], &last["error"]["type"]), (&json!("error"), &json!(kind)));
        assert_eq!(last["error"]["message"], says);
        assert_eq!(gateway.ask(&body).await.error(status), says);
    }
}

#[tokio::test]
async fn a_refusal_of_the_first_turn_is_a_status() {
    let (_upstream, gateway) = simulated().await;
    for stream in [true, false] {
        let mut body = ask("[sim: error 529]");
        body["stream"] = stream.into();
        gateway.ask(&body).await.error(529);
    }
}

#[tokio::test]
async fn a_break_in_a_later_turn_is_never_a_clean_end() {
    // a simulator of its own that breaks off, where the usual one has a gateway before it
    let (_upstream, gateway) = simulated_with("models: { m: { provider: sim } }", &[]).await;
    for fault in ["break after 4", "end after 4"] {
        let body = ask(&format!("[sim: call datetime] [sim: then] [sim: {fault}]"));
        let events = gateway.events(&body).await;
        grammar::check(&events).unwrap();
        assert_eq!(data(events.last().unwrap())["error"]["type"], "api_error");
        gateway.ask(&body).await.error(502);
    }
}

#[tokio::test]
async fn tokens_of_a_loop_that_breaks_are_counted() {
    // 50 tokens and more are written in the first turn, and the second one breaks
    for stream in [true, false] {
        let (_upstream, gateway) = simulated().await;
        let text = "[sim: words 50] [sim: call datetime] [sim: then] [sim: break after 3]";
        let mut body = ask(text);
        body["stream"] = stream.into();
        let answer = gateway.ask(&body).await;
        assert_eq!(answer.status == 200, stream);
        gateway.until_idle().await;
        let counted = async |kind: &str| {
            let labels = format!("gen_ai_token_type=\"{kind}\"");
            gateway.measured("tidegate_gen_ai_client_token_usage_sum", &labels).await
        };
        assert!(counted("output").await >= 50.0, "{}", gateway.metrics().await);
        assert!(counted("input").await > 20.0, "{}", gateway.metrics().await);
    }
}

#[tokio::test]
async fn an_answer_cut_off_within_a_call_is_whole_json() {
    let (upstream, gateway) = simulated().await;
    let zones = "{\"timezones\": [\"America/Argentina/Buenos_Aires\", \"Asia/Tokyo\"]}";
    let mut body = ask(&format!("[sim: say x] [sim: call datetime {zones}]"));
    for tokens in 1..24 {
        body["max_tokens"] = tokens.into();
        let message = gateway.ask(&body).await.message();
        if message["stop_reason"] == "max_tokens" {
            assert!(blocks(&message, "mcp_tool_result").is_empty());
        }
    }
    assert!(upstream.bodies().len() >= 23);
}
