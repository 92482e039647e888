//! Models that plugins ask through the gateway: on whose behalf, within which bounds, and who hears of it.
use serde_json::{Value, json};

use super::{blocks, kinds, simulated_with, streamed};
use crate::support::client::Ask;
use crate::support::gateway::{Gateway, looping};
use crate::support::turn::{call, frames, message, text};
use crate::support::upstream::{self, Call, Upstream};

const GRANTS: &str = "plugins: { dir: plugins, config: { advisor: { allow_models: [\"*\"] }, web: { allow_models: [\"*\"] } } }";
const TWO: &str = "models: { m: { provider: sim }, wise: { provider: up, model: wise-1 } }";

fn ask(text: &str) -> Value {
    json!({
        "model": "m", "max_tokens": 100_000,
        "tools": [{"type": "gateway:advisor", "model": "wise", "instructions": "Be brief."}],
        "messages": [{"role": "user", "content": text}],
    })
}

/// A call of the tool that asks whatever it is told to.
fn asks(request: &Value) -> Value {
    let asked = call("c1", "gateway_asks", json!({"request": request.to_string()}));
    message(json!([asked]), "tool_use")
}

fn inner(model: &str) -> Value {
    json!({"model": model, "max_tokens": 50, "messages": [{"role": "user", "content": "why?"}]})
}

fn outer() -> Value {
    json!({
        "model": "m", "max_tokens": 100, "tools": [{"type": "gateway:asks"}],
        "messages": [{"role": "user", "content": "hi"}],
    })
}

async fn led(more: &str) -> (Upstream, Gateway) {
    let upstream = Upstream::start().await;
    let gateway = looping(upstream.address).config(format!("{GRANTS}\n{more}")).start().await;
    (upstream, gateway)
}

async fn answer(call: Call, message: &Value) {
    match call.json()["stream"] == true {
        true => call.frames(&frames(message)).await,
        false => call.finish(upstream::json(200, &message.to_string())).await,
    }
}

/// The text of the one result.
fn result(message: &Value) -> (bool, String) {
    let result = blocks(message, "mcp_tool_result")[0];
    let text = result["content"][0]["text"].as_str().unwrap().to_owned();
    (result["is_error"] == true, text)
}

#[tokio::test]
async fn the_advisor_asks_another_model_which_counts_under_its_own_name() {
    let (upstream, gateway) = simulated_with(&format!("{GRANTS}\n{TWO}"), &[]).await;
    let body =
        ask("[sim: call advisor {\"prompt\": \"tea or coffee?\"}] [sim: then] [sim: say tea then]");
    for message in [streamed(&gateway, &body).await, gateway.ask(&body).await.message()] {
        assert_eq!(kinds(&message), ["text", "mcp_tool_use", "mcp_tool_result", "text"]);
        let (is_error, advice) = result(&message);
        assert!(!is_error && !advice.is_empty(), "{advice}");
        assert_eq!(message["usage"]["server_tool_use"]["advisor_requests"], 1);
    }
    gateway.until_idle().await;
    let seen = upstream.requests();
    assert_eq!(seen.len(), 2);
    assert_eq!((&seen[0]["model"], &seen[0]["system"]), (&json!("wise-1"), &json!("Be brief.")));
    assert_eq!(seen[0]["messages"], json!([{"role": "user", "content": "tea or coffee?"}]));
    assert_eq!((&seen[0]["max_tokens"], &seen[0]["stream"]), (&json!(1400), &json!(null)));
    for model in ["m", "wise"] {
        for kind in ["input", "output"] {
            let labels = format!("gen_ai_token_type=\"{kind}\" gen_ai_request_model=\"{model}\"");
            let counted =
                gateway.measured("tidegate_gen_ai_client_token_usage_count", &labels).await;
            assert_eq!(counted, 2.0, "{labels}\n{}", gateway.metrics().await);
        }
    }
}

#[tokio::test]
async fn the_advisor_reads_the_conversation_only_where_it_is_declared_so() {
    let (upstream, gateway) = simulated_with(&format!("{GRANTS}\n{TWO}"), &[]).await;
    for forwards in [true, false] {
        let before = upstream.requests().len();
        let mut body = ask("[sim: say one moment] [sim: call advisor {\"prompt\": \"tea?\"}]");
        body["system"] = json!("be kind");
        body["tools"][0]["forward_transcript"] = json!(forwards);
        streamed(&gateway, &body).await;
        let asked = upstream.requests().remove(before)["messages"][0]["content"].clone();
        let asked = asked.as_str().unwrap();
        assert!(asked.ends_with("tea?"), "{asked}");
        for part in ["system: be kind", "assistant: one moment"] {
            assert_eq!(asked.contains(part), forwards, "{asked}");
        }
    }
}

#[tokio::test]
async fn the_advisor_runs_once_in_a_conversation() {
    let (upstream, gateway) = simulated_with(&format!("{GRANTS}\n{TWO}"), &[]).await;
    let body = ask("[sim: call advisor {\"prompt\": \"tea?\"}] [sim: turns 2]");
    let message = streamed(&gateway, &body).await;
    let failed: Vec<bool> = blocks(&message, "mcp_tool_result")
        .iter()
        .map(|result| result["is_error"] == true)
        .collect();
    assert_eq!(failed, [false, true]);
    assert_eq!(upstream.requests().len(), 1);
}

#[tokio::test]
async fn hooks_that_had_the_callers_request_do_not_get_the_plugins() {
    let policy = r#"
        fn on_request(request, ctx) { request.stop_sequences = ["once"]; }
        fn on_upstream_request(request, target, ctx) { request.metadata = #{ user_id: ctx.model }; }
    "#;
    let config = format!(
        "{GRANTS}\nmodels: {{ m: {{ provider: up, model: up-1 }}, wise: {{ provider: up, model: wise-1 }} }}"
    );
    let (upstream, gateway) = simulated_with(&config, &[("policies/p.rhai", policy)]).await;
    streamed(&gateway, &ask("[sim: call advisor {\"prompt\": \"tea?\"}]")).await;
    let seen = upstream.requests();
    let found: Vec<_> =
        seen.iter().map(|body| (&body["stop_sequences"], &body["metadata"]["user_id"])).collect();
    let (once, none) = (json!(["once"]), json!(null));
    let (m, wise) = (json!("m"), json!("wise"));
    assert_eq!(found, [(&once, &m), (&none, &wise), (&once, &m)]);
}

#[tokio::test]
async fn the_callers_key_must_allow_the_model() {
    let keys = "keys: [{ name: ci, key: tg_0123456789abcdef0123456789abcdef, models: [m] }]";
    let (upstream, gateway) = simulated_with(&format!("{GRANTS}\n{TWO}\n{keys}"), &[]).await;
    let body = ask("[sim: call advisor {\"prompt\": \"tea?\"}]").to_string();
    let key = "tg_0123456789abcdef0123456789abcdef";
    let answer = Ask::message(body).header("x-api-key", key).send(gateway.address).await.message();
    let (is_error, text) = result(&answer);
    assert!(is_error && text.starts_with("permission_error: "), "{text}");
    assert!(upstream.bodies().is_empty());
}

#[tokio::test]
async fn an_upstream_error_is_a_tool_result_with_the_error_type_of_the_api() {
    let (upstream, gateway) = simulated_with(&format!("{GRANTS}\n{TWO}"), &[]).await;
    for (model, code) in [("nowhere", "not_found_error"), ("wise", "overloaded_error")] {
        let mut body =
            ask("[sim: call advisor {\"prompt\": \"tea?\"}] [sim: then] [sim: say well]");
        body["tools"][0]["model"] = model.into();
        // the prompt is the other model's, and its directives are
        let text = body["messages"][0]["content"].as_str().unwrap().to_owned();
        body["tools"][0]["instructions"] = json!("x");
        body["messages"][0]["content"] = text.replace("tea?", "[sim: error 529]").into();
        let message = streamed(&gateway, &body).await;
        let (is_error, said) = result(&message);
        assert!(is_error && said.starts_with(&format!("{code}: ")), "{said}");
        assert_eq!(message["stop_reason"], "end_turn");
    }
    assert_eq!(upstream.requests().len(), 1);
}

#[tokio::test]
async fn failover_holds_for_it_as_for_any_other() {
    let models = "models:\n  m: { provider: sim }\n  wise:\n    targets: [{ provider: up, model: a }, { provider: up, model: b }]";
    let (upstream, gateway) = simulated_with(&format!("{GRANTS}\n{models}"), &[]).await;
    let text =
        "[sim: call advisor {\"prompt\": \"[sim@a: error 529] tea?\"}] [sim: then] [sim: say well]";
    let message = streamed(&gateway, &ask(text)).await;
    assert!(!result(&message).0, "{message}");
    let models: Vec<Value> = upstream.requests().iter().map(|body| body["model"].clone()).collect();
    assert_eq!(models, ["a", "b"]);
}

#[tokio::test]
async fn it_may_have_tools_but_none_that_ask_in_turn() {
    let (mut upstream, gateway) = led("").await;
    let mut deeper = inner("m");
    deeper["tools"] = json!([{"type": "gateway:asks"}]);
    let asked = async { streamed(&gateway, &outer()).await };
    let played = async {
        answer(upstream.call().await, &asks(&deeper)).await;
        let first = upstream.call().await;
        assert_eq!(first.json()["tools"][0]["name"], "gateway_asks");
        answer(first, &asks(&inner("m"))).await;
        let second = upstream.call().await;
        let refused = second.json()["messages"][2]["content"][0].clone();
        answer(second, &message(json!([text("because")]), "end_turn")).await;
        let last = upstream.call().await;
        answer(last, &message(json!([text("done")]), "end_turn")).await;
        refused
    };
    let (message, refused) = tokio::join!(asked, played);
    assert_eq!(refused["is_error"], true);
    let why = refused["content"][0]["text"].as_str().unwrap();
    assert!(why.contains("cannot have tools that ask models themselves"), "{why}");
    let (is_error, said) = result(&message);
    assert!(!is_error && said.contains("because"), "{said}");
}

#[tokio::test]
async fn a_gone_caller_ends_the_model_call_of_a_tool() {
    let (mut upstream, gateway) = led("").await;
    for streams in [true, false] {
        let mut body = outer();
        body["stream"] = streams.into();
        let mut asked = Box::pin(Ask::message(body.to_string()).open(gateway.address));
        let played = async {
            answer(upstream.call().await, &asks(&inner("m"))).await;
            upstream.call().await
        };
        // one that streams has its head by then
        let (opened, mut under_way) = match streams {
            true => {
                let (opened, call) = tokio::join!(&mut asked, played);
                (Some(opened), call)
            }
            false => tokio::select! {
                _ = &mut asked => panic!("an answer before the end"),
                call = played => (None, call),
            },
        };
        drop((opened, asked));
        under_way.closed().await;
        gateway.until_idle().await;
    }
}

#[tokio::test]
async fn it_ends_with_the_time_that_all_tools_have() {
    let (mut upstream, gateway) = led("tools: { timeout: 300ms }").await;
    let asked = async { streamed(&gateway, &outer()).await };
    let played = async {
        answer(upstream.call().await, &asks(&inner("m"))).await;
        upstream.call().await.closed().await;
    };
    let (message, ()) = tokio::join!(asked, played);
    assert_eq!(message["stop_reason"], "pause_turn");
    let (is_error, said) = result(&message);
    assert!(is_error && said.contains("time"), "{said}");
}
