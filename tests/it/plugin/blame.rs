//! Input that a stage cannot read is the fault of its author: no stage fails, none is skipped, none is suspended.
use serde_json::{Value, json};

use crate::support::client::{Answer, Ask};
use crate::support::gateway::{Gateway, loop_to, to};
use crate::support::plugins;
use crate::support::turn::{call, frames, message, text};
use crate::support::upstream::{self, Auto, Behaviour, Upstream};
use crate::support::{ANSWER, FRAMES, MESSAGE, STREAM};

const ON_ERROR: [&str; 2] = ["deny", "skip"];
/// More failures than suspend a plugin.
const MANY: usize = 6;

/// A gateway whose plugin reads `metadata` and then lowers `max_tokens`.
async fn reading(answer: &str, on_error: &str) -> (Auto, Gateway) {
    let up = Upstream::always(Behaviour::Answer(upstream::json(200, answer))).await;
    let yaml = format!(
        "{}plugins: {{ dir: \"{}\", config: {{ hooks: {{ hook_deadline: 30s, memory: 33554432 }} }} }}\npipeline: [{{ plugin: hooks, with: {{ act: read, pointer: /metadata }}, on_error: {on_error} }}]\n",
        to(up.address),
        plugins::alone("hooks").display(),
    );
    let gateway = Gateway::start(&yaml).await;
    (up, gateway)
}

fn body(metadata: &str) -> String {
    format!(
        r#"{{"model":"claude-x","max_tokens":9000,"metadata":{metadata},"messages":[{{"role":"user","content":"hi"}}]}}"#
    )
}

async fn send(gateway: &Gateway, metadata: &str) -> Answer {
    Ask::message(body(metadata)).send(gateway.address).await
}

/// Checks that no stage counts as failed and that no plugin is suspended.
async fn no_failure(gateway: &Gateway) {
    for name in ["tidegate_plugin_breaker_openings_total", "tidegate_stage_failures_total"] {
        assert_eq!(gateway.measured(name, "").await, 0.0, "{name}");
    }
}

/// Sends a body more often than the breaker allows failures. Each answer is a 400 with these words.
async fn is_refused_often(gateway: &Gateway, metadata: &str, says: &str) {
    for _ in 0..MANY {
        let answer = send(gateway, metadata).await;
        let said = answer.refusal(400, "invalid_request_error");
        assert!(said.contains(says), "{said}");
    }
}

#[tokio::test]
async fn bodies_that_a_hook_cannot_read_are_400s_and_other_callers_are_still_guarded() {
    let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
    for on_error in ON_ERROR {
        let (up, gateway) = reading(ANSWER, on_error).await;
        for (metadata, says) in [
            (r#"{"user_id":"a","user_id":"b"}"#, "`user_id` occurs twice in the same object"),
            (r#"{"user_id":{"a":[{"b":1,"b":2}]}}"#, "`b` occurs twice in the same object"),
            (r#"{"user_id":"\ud83d"}"#, "a lone surrogate"),
            (&deep, "nested too deep"),
        ] {
            is_refused_often(&gateway, metadata, says).await;
        }
        assert!(up.requests().is_empty());
        assert_eq!(send(&gateway, r#"{"user_id":"a"}"#).await.status, 200);
        assert_eq!(up.requests()[0]["max_tokens"], 1024);
        no_failure(&gateway).await;
    }
}

#[tokio::test]
async fn a_body_that_is_too_large_for_a_plugin_is_a_413_and_never_passes_unguarded() {
    let large = format!("[{}0]", r#"{"a":0},"#.repeat(200_000));
    for on_error in ON_ERROR {
        let (up, gateway) = reading(ANSWER, on_error).await;
        for _ in 0..MANY {
            let said = send(&gateway, &large).await.refusal(413, "request_too_large");
            assert!(said.starts_with("the request is too large for the plugin `hooks`"), "{said}");
        }
        assert_eq!(send(&gateway, "{}").await.status, 200);
        assert_eq!(up.requests()[0]["max_tokens"], 1024);
        no_failure(&gateway).await;
    }
}

#[tokio::test]
async fn an_answer_that_a_plugin_cannot_read_is_the_upstreams_fault() {
    let twice = ANSWER.replace("\"text\":\"hello\"", "\"text\":\"secret\",\"text\":\"hello\"");
    assert_ne!(twice, ANSWER);
    for on_error in ON_ERROR {
        let (_up, gateway) = reading(&twice, on_error).await;
        for _ in 0..MANY {
            let said = send(&gateway, "{}").await.refusal(502, "api_error");
            assert!(said.starts_with("the upstream's answer cannot be read: `text`"), "{said}");
        }
        no_failure(&gateway).await;
    }
}

/// A gateway with one policy.
async fn policy(up: &Auto, source: &str, on_error: &str) -> Gateway {
    let order = format!("pipeline: [{{ policy: p, on_error: {on_error} }}]");
    Gateway::with().upstream(up.address).config(order).policy("p", source).start().await
}

#[tokio::test]
async fn an_answer_that_a_policy_cannot_read_never_passes_unguarded() {
    let twice = ANSWER.replace("\"text\":\"hello\"", "\"text\":\"secret\",\"text\":\"hello\"");
    let lone = ANSWER.replace("hello", "secret \\ud83d");
    for (answer, source) in [
        (&twice, "fn on_response(message, ctx) { message.content[0].text = \"\"; }"),
        (&twice, "fn on_text(text, ctx) { \"\" }"),
        (&lone, "fn on_response(message, ctx) { let text = message.content[0].text; }"),
        (&lone, "fn on_text(text, ctx) { \"\" }"),
    ] {
        let up = Upstream::always(Behaviour::Answer(upstream::json(200, answer))).await;
        for on_error in ON_ERROR {
            let gateway = policy(&up, source, on_error).await;
            let answer = Ask::message(MESSAGE).send(gateway.address).await;
            let said = answer.refusal(502, "api_error");
            assert!(said.starts_with("the upstream's answer cannot be read: "), "{said}");
            no_failure(&gateway).await;
        }
    }
}

#[tokio::test]
async fn an_event_that_a_policy_cannot_read_ends_the_stream() {
    let delta = |text: &str| {
        format!(
            "event: content_block_delta\ndata: {{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{{\"type\":\"text_delta\",{text}}}}}\n\n"
        )
    };
    let (twice, lone) =
        (delta(r#""text":"secret","text":"x""#), delta(r#""text":"secret \ud83d""#));
    for (bad, source) in [
        (&twice, "fn on_event(event, ctx) { if event.delta != () { event.delta.text = \"\"; } }"),
        (&twice, "fn on_text(text, ctx) { \"\" }"),
        (&lone, "fn on_text(text, ctx) { \"\" }"),
    ] {
        let events = [FRAMES[0], FRAMES[1], bad, FRAMES[3], FRAMES[4], FRAMES[5]];
        let up = Upstream::always(Behaviour::Answer(upstream::stream(&events))).await;
        for on_error in ON_ERROR {
            let gateway = policy(&up, source, on_error).await;
            let text = Ask::message(STREAM).send(gateway.address).await.text();
            assert!(!text.contains("secret") && text.contains("event: error"), "{text}");
            no_failure(&gateway).await;
        }
    }
}

/// The result that the model reads for a call whose input has a key twice.
async fn told(source: &str, on_error: &str) -> Value {
    let mut up = Upstream::start().await;
    let order = format!("pipeline: [{{ policy: p, on_error: {on_error} }}]");
    let gateway = loop_to(up.address).plugin("datetime").config(order).policy("p", source);
    let gateway = gateway.start().await;
    let turn = message(
        json!([call("toolu_1", "gateway_datetime", json!({"timezones": ["MARK"]}))]),
        "tool_use",
    );
    let input = r#"[\"UTC\"],\"timezones\":[\"Asia/Tokyo\"]"#;
    let turn: Vec<String> =
        frames(&turn).iter().map(|frame| frame.replace(r#"[\"MARK\"]"#, input)).collect();
    assert!(turn.concat().contains("Asia/Tokyo"));
    let body = json!({
        "model": "m",
        "max_tokens": 100,
        "tools": [{"type": "gateway:datetime"}],
        "messages": [{"role": "user", "content": "the time?"}],
    });
    let led = async {
        up.call().await.frames(&turn).await;
        let second = up.call().await;
        let sent = second.json();
        second.frames(&frames(&message(json!([text("done")]), "end_turn"))).await;
        sent
    };
    let (_, sent) = tokio::join!(gateway.events(&body), led);
    no_failure(&gateway).await;
    sent["messages"][2]["content"][0].clone()
}

#[tokio::test]
async fn a_call_that_a_guard_cannot_read_does_not_run() {
    let source = "fn on_tool_call(call, ctx) { let zones = call.input.timezones; }";
    for on_error in ON_ERROR {
        let result = told(source, on_error).await;
        assert_eq!(result["is_error"], true, "{result}");
        let said = result["content"][0]["text"].as_str().unwrap_or_default();
        assert!(
            said.starts_with("the input of the tool cannot be read: `timezones` occurs twice"),
            "{result}"
        );
    }
}
