//! `on_tool_call` and `on_tool_result`, and tools that policies add.
use serde_json::{Value, json};

use crate::support::gateway::{Gateway, looping, simulated_upstream};
use crate::support::upstream::Auto;

async fn with(policy: &str) -> (Auto, Gateway) {
    let upstream = simulated_upstream().await;
    let gateway = looping(upstream.address).policy("p", policy).start().await;
    (upstream, gateway)
}

fn ask(text: &str) -> Value {
    json!({
        "model": "m",
        "max_tokens": 1000,
        "tools": [{"type": "gateway:datetime"}],
        "messages": [{"role": "user", "content": text}],
    })
}

/// What the upstream gets to read of the one call.
async fn result(policy: &str) -> Value {
    let (upstream, gateway) = with(policy).await;
    assert_eq!(gateway.ask(&ask("[sim: call datetime]")).await.status, 200);
    let seen = upstream.requests().remove(1);
    seen["messages"][2]["content"][0].clone()
}

#[tokio::test]
async fn a_call_is_edited_before_it_runs() {
    let policy = r#"fn on_tool_call(call, ctx) { call.input.timezones = ["Asia/Tokyo"]; tag("tool", call.tool); }"#;
    let result = result(policy).await;
    assert!(result["content"][0]["text"].as_str().unwrap().contains("Asia/Tokyo"), "{result}");
}

#[tokio::test]
async fn a_call_is_answered_or_refused_without_being_run() {
    let answered = result(r#"fn on_tool_call(call, ctx) { respond("noon"); }"#).await;
    assert_eq!(answered["content"], json!([{"type": "text", "text": "noon"}]));
    assert!(answered["is_error"].is_null());
    let refused =
        result(r#"fn on_tool_call(call, ctx) { deny("no clocks: " + call.tool); }"#).await;
    assert_eq!(refused["content"][0]["text"], "no clocks: datetime");
    assert_eq!(refused["is_error"], true);
}

#[tokio::test]
async fn a_result_is_edited_before_the_model_reads_it() {
    let policy = r#"fn on_tool_result(result, ctx) {
        result.content[0].text = result.tool + " " + result.content.len() + " " + result.is_error;
    }"#;
    assert_eq!(result(policy).await["content"][0]["text"], "datetime 1 false");
    let refused = result("fn on_tool_result(result, ctx) { deny(\"kept back\"); }").await;
    assert_eq!(
        (&refused["is_error"], &refused["content"][0]["text"]),
        (&json!(true), &json!("kept back"))
    );
}

#[tokio::test]
async fn a_policy_that_breaks_keeps_the_tool_from_running_and_the_conversation_goes_on() {
    let result = result("fn on_tool_call(call, ctx) {\n  call.input.a.b.c = 1;\n}").await;
    assert_eq!(result["is_error"], true);
    let text = result["content"][0]["text"].as_str().unwrap();
    assert!(text.contains("policy \"p\" failed at") && text.contains("p.rhai:2"), "{text}");
}

#[tokio::test]
async fn a_tool_that_a_policy_adds_is_added_once() {
    let policy = r#"fn on_request(request, ctx) {
        add_tool(#{ type: "gateway:datetime", timezone: "UTC" });
        add_tool(#{ type: "gateway:datetime", timezone: "Asia/Tokyo" });
    }"#;
    let (upstream, gateway) = with(policy).await;
    let mut body = ask("[sim: call datetime] [sim: then] [sim: say it is noon]");
    body.as_object_mut().unwrap().remove("tools");
    let answer = gateway.ask(&body).await;
    assert_eq!(answer.json()["content"][1]["text"], "it is noon");
    let seen = upstream.requests();
    assert_eq!(seen[0]["tools"].as_array().unwrap().len(), 1);
    assert_eq!(seen[0]["tools"][0]["name"], "gateway_datetime");
}
