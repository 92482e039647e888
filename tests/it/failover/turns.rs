//! Every upstream call is an attempt: later turns of a tool loop, a plugin's model calls, forwarded routes.
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

use super::{ask, fine, pair, refusal, target};
use crate::support::client::{Answer, Ask};
use crate::support::gateway::Gateway;
use crate::support::turn::{call, frames, message, text, thinking};
use crate::support::upstream::{self, Auto, Behaviour, Call, Upstream};

async fn gateway(config: &str, plugins: &[&str], files: &[(&str, &str)]) -> Gateway {
    let builder = Gateway::with().config(config).files(files);
    plugins.iter().fold(builder, |builder, name| builder.plugin(name)).start().await
}

/// A request that may call the gateway's clock.
fn question(stream: bool) -> String {
    json!({
        "model": "m",
        "max_tokens": 100,
        "stream": stream,
        "tools": [{"type": "gateway:datetime"}],
        "messages": [{"role": "user", "content": "what time is it?"}],
    })
    .to_string()
}

fn is_later_turn(call: &Call) -> bool {
    call.text().contains("tool_result")
}

/// A first turn that calls the clock, with these blocks before the call.
fn first_turn(blocks: &[Value]) -> Behaviour {
    let mut content = blocks.to_vec();
    content.push(call("toolu_1", "gateway_datetime", json!({})));
    streamed(&message(json!(content), "tool_use"))
}

fn streamed(message: &Value) -> Behaviour {
    let frames = frames(message);
    let frames: Vec<&str> = frames.iter().map(String::as_str).collect();
    Behaviour::Answer(upstream::stream(&frames))
}

/// An upstream that calls the clock in its first turn, and fails in every later one.
async fn failing_later(blocks: Vec<Value>) -> Auto {
    Upstream::by(move |call| match is_later_turn(call) {
        false => first_turn(&blocks),
        true => refusal(529, ""),
    })
    .await
}

fn trace(answer: &Answer) -> Vec<(String, u64, u64)> {
    let trace: Value = serde_json::from_str(answer.header("x-tidegate-trace").unwrap()).unwrap();
    let attempts = trace["attempts"].as_array().unwrap().iter().map(|attempt| {
        let target = attempt["target"].as_str().unwrap().to_owned();
        let turn = attempt["turn"].as_u64().unwrap_or(1);
        (target, attempt["status"].as_u64().unwrap(), turn)
    });
    attempts.collect()
}

async fn traced(gateway: &Gateway, body: &str) -> Answer {
    Ask::message(body).header("x-tidegate-debug", "trace").send(gateway.address).await
}

fn noted(target: &str, status: u64, turn: u64) -> (String, u64, u64) {
    (target.to_owned(), status, turn)
}

#[tokio::test]
async fn a_later_turn_that_fails_cools_its_target_down_and_moves_to_the_next_one() {
    let a = failing_later(vec![text("one moment")]).await;
    let b = Upstream::by(|call| fine(&call.body)).await;
    let config = pair(a.address, b.address, "cooldown: 10m");
    let gateway = gateway(&config, &["datetime"], &[]).await;
    let answer = traced(&gateway, &question(false)).await;
    assert_eq!((answer.status, target(&answer)), (200, "b/m"));
    assert_eq!(answer.header("x-tidegate-attempts"), Some("3"));
    assert_eq!(
        trace(&answer),
        [noted("a/ma", 200, 1), noted("a/ma", 529, 2), noted("b/m", 200, 2)]
    );
    assert!(answer.text().contains("hello"), "{}", answer.text());
    // the next request leaves the failed target alone
    let answer = traced(&gateway, &question(false)).await;
    assert_eq!((answer.status, target(&answer)), (200, "b/m"));
    assert_eq!((a.count(), b.count()), (2, 2));
    for (provider, outcome, count) in
        [("a", "success", 1.0), ("a", "failed", 1.0), ("b", "success", 2.0)]
    {
        let labels = format!("provider=\"{provider}\",outcome=\"{outcome}\"");
        assert_eq!(gateway.metric(&format!("tidegate_attempts_total{{{labels}}}")).await, count);
    }
}

#[tokio::test]
async fn a_conversation_with_signed_thinking_stays_at_its_target_and_fails_with_its_answer() {
    let a = failing_later(vec![thinking("hm")]).await;
    let b = Upstream::by(|call| fine(&call.body)).await;
    let config = pair(a.address, b.address, "cooldown: 10m");
    let gateway = gateway(&config, &["datetime"], &[]).await;
    let answer = traced(&gateway, &question(false)).await;
    assert_eq!((answer.status, target(&answer)), (529, "a/ma"));
    assert_eq!(answer.header("x-tidegate-attempts"), Some("2"));
    assert_eq!(trace(&answer), [noted("a/ma", 200, 1), noted("a/ma", 529, 2)]);
    assert_eq!(b.count(), 0);
    let answer = ask(&gateway, &question(false)).await;
    assert_eq!((answer.status, target(&answer)), (200, "b/m"));
}

#[tokio::test]
async fn a_container_binds_the_conversation_to_its_target() {
    let a = Upstream::by(|call| match is_later_turn(call) {
        true => refusal(529, ""),
        false => {
            let mut first = message(json!([call_of_the_clock()]), "tool_use");
            first["container"] = json!({"id": "container_1", "expires_at": "2027-01-01T00:00:00Z"});
            streamed(&first)
        }
    })
    .await;
    let b = Upstream::by(|call| fine(&call.body)).await;
    let gateway = gateway(&pair(a.address, b.address, ""), &["datetime"], &[]).await;
    let answer = ask(&gateway, &question(false)).await;
    assert_eq!((answer.status, target(&answer), b.count()), (529, "a/ma", 0));
}

fn call_of_the_clock() -> Value {
    call_of("gateway_datetime", json!({}))
}

fn call_of(tool: &str, input: Value) -> Value {
    call("toolu_1", tool, input)
}

#[tokio::test]
async fn a_streamed_turn_that_fails_is_an_error_event_and_cools_its_target_down() {
    let a = failing_later(vec![thinking("hm")]).await;
    let b = Upstream::by(|call| fine(&call.body)).await;
    let gateway = gateway(&pair(a.address, b.address, "cooldown: 10m"), &["datetime"], &[]).await;
    let answer = ask(&gateway, &question(true)).await;
    assert_eq!((answer.status, target(&answer)), (200, "a/ma"));
    assert!(answer.text().contains("event: error"), "{}", answer.text());
    assert_eq!(target(&ask(&gateway, &question(true)).await), "b/m");
}

#[tokio::test]
async fn a_later_turn_is_retried_as_the_alias_says() {
    let has_failed = AtomicBool::new(false);
    let a = Upstream::by(move |call| match is_later_turn(call) {
        false => first_turn(&[thinking("hm")]),
        true if has_failed.swap(true, Ordering::Relaxed) => fine(&call.body),
        true => refusal(503, ""),
    })
    .await;
    let config = format!(
        "providers:
  a: {{ type: anthropic, api_key: k, base_url: \"http://{}\" }}
models:
  m: {{ provider: a, retry: {{ attempts: 1, backoff: 1ms }} }}
",
        a.address
    );
    let policy = "fn on_upstream_request(request, target, ctx) {
        set_header(\"x-number\", target.number.to_string());
    }";
    let gateway = gateway(&config, &["datetime"], &[("policies/number.rhai", policy)]).await;
    let answer = traced(&gateway, &question(false)).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(trace(&answer), [noted("a/m", 200, 1), noted("a/m", 503, 2), noted("a/m", 200, 2)]);
    let numbers: Vec<_> =
        a.seen().iter().map(|(head, _)| head.header("x-number").unwrap().to_owned()).collect();
    assert_eq!(numbers, ["1", "2", "3"]);
}

#[tokio::test]
async fn tokens_count_under_the_target_that_used_them() {
    let a = failing_later(vec![]).await;
    let b = Upstream::by(|call| fine(&call.body)).await;
    let gateway = gateway(&pair(a.address, b.address, ""), &["datetime"], &[]).await;
    assert_eq!(ask(&gateway, &question(false)).await.status, 200);
    let used = async |provider: &str, model: &str| {
        let labels = format!(
            "gen_ai_token_type=\"output\",gen_ai_operation_name=\"chat\",gen_ai_provider_name=\"{provider}\",gen_ai_request_model=\"m\",target_model=\"{model}\""
        );
        gateway.metric(&format!("tidegate_gen_ai_client_token_usage_sum{{{labels}}}")).await
    };
    let first = message(json!([call_of_the_clock()]), "tool_use");
    let first = first["usage"]["output_tokens"].as_f64().unwrap();
    assert_eq!((used("a", "ma").await, used("b", "*").await), (first, 2.0));
}

#[tokio::test]
async fn a_forwarded_request_is_an_attempt_of_its_provider() {
    let a = Upstream::script(vec![
        Behaviour::Answer(upstream::json(200, "{\"data\":[]}")),
        Behaviour::Answer(upstream::json(404, "{\"type\":\"error\"}")),
        Behaviour::Close(Vec::new()),
    ])
    .await;
    let config = format!(
        "providers:
  a: {{ type: anthropic, api_key: k, base_url: \"http://{}\" }}
models:
  m: {{ provider: a }}
passthrough: a
",
        a.address
    );
    let gateway = Gateway::start(&config).await;
    for status in [200, 404, 502] {
        let answer = Ask::get("/v1/files").send(gateway.address).await;
        assert_eq!((answer.status, target(&answer)), (status, "a"));
        assert_eq!(answer.header("x-tidegate-attempts"), Some("1"));
    }
    for (outcome, count) in [("success", 1.0), ("refused", 1.0), ("failed", 1.0)] {
        let labels = format!("provider=\"a\",outcome=\"{outcome}\"");
        gateway.until_metric(&format!("tidegate_attempts_total{{{labels}}}"), count).await;
    }
}

#[tokio::test]
async fn an_answer_that_breaks_after_its_first_event_is_an_error_in_the_trace() {
    let error = "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}}\n\n";
    let begun = frames(&message(json!([text("hm")]), "end_turn"));
    let a =
        Upstream::always(Behaviour::Answer(upstream::stream(&[begun[0].as_str(), error]))).await;
    let b = Upstream::by(|call| fine(&call.body)).await;
    let gateway = gateway(&pair(a.address, b.address, ""), &["datetime"], &[]).await;
    let answer = traced(&gateway, &question(false)).await;
    assert_eq!((answer.status, target(&answer), b.count()), (529, "a/ma", 0));
    let trace: Value = serde_json::from_str(answer.header("x-tidegate-trace").unwrap()).unwrap();
    assert_eq!(trace["attempts"][0]["error"], "overloaded_error");
}

#[tokio::test]
async fn a_turn_calls_its_cooling_target_if_no_other_target_answers() {
    let mut a = Upstream::start().await;
    let b = Upstream::by(|call| match is_later_turn(call) {
        true => refusal(529, ""),
        false => fine(&call.body),
    })
    .await;
    let gateway = gateway(&pair(a.address, b.address, "cooldown: 10m"), &["datetime"], &[]).await;
    let led = async {
        let first = a.call().await;
        // meanwhile another request cools the target down
        let other = async { ask(&gateway, crate::support::MESSAGE).await };
        let refused = async {
            a.call().await.finish(upstream::answer(529, "", "{\"type\":\"error\"}")).await;
        };
        let (other, ()) = tokio::join!(other, refused);
        assert_eq!((other.status, target(&other)), (200, "b/m"));
        let Behaviour::Answer(bytes) = first_turn(&[]) else { unreachable!() };
        first.finish(bytes).await;
        let second = a.call().await;
        assert!(is_later_turn(&second));
        let Behaviour::Answer(bytes) = fine(&second.body) else { unreachable!() };
        second.finish(bytes).await;
    };
    let body = question(false);
    let (answer, ()) = tokio::join!(traced(&gateway, &body), led);
    assert_eq!((answer.status, target(&answer)), (200, "a/ma"));
    assert_eq!(answer.header("x-tidegate-attempts"), Some("3"));
}

#[tokio::test]
async fn a_model_call_of_a_plugin_is_an_attempt_that_cools_its_target_down() {
    let a = Upstream::by(|call| match call.text().contains("Be brief.") {
        true => refusal(529, ""),
        false => fine(&call.body),
    })
    .await;
    let b = Upstream::by(|call| match is_later_turn(call) || call.text().contains("Be brief.") {
        true => fine(&call.body),
        false => streamed(&message(
            json!([call_of("gateway_advisor", json!({"prompt": "tea?"}))]),
            "tool_use",
        )),
    })
    .await;
    let config = format!(
        "{}  wise:
    targets: [{{ provider: a, model: ma }}, {{ provider: b, model: wise-b }}]
    cooldown: 10m
  asker: {{ provider: b, model: mb }}
plugins: {{ dir: plugins, config: {{ advisor: {{ allow_models: [\"*\"] }} }} }}
",
        pair(a.address, b.address, "")
    );
    let gateway = gateway(&config, &["advisor"], &[]).await;
    let body = json!({
        "model": "asker",
        "max_tokens": 100,
        "tools": [{"type": "gateway:advisor", "model": "wise", "instructions": "Be brief."}],
        "messages": [{"role": "user", "content": "tea or coffee?"}],
    })
    .to_string();
    for calls_of_a in [1, 1] {
        let answer = ask(&gateway, &body).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        // the client's own exchange has two attempts; the model call has a record of its own
        assert_eq!(answer.header("x-tidegate-attempts"), Some("2"));
        assert_eq!(a.count(), calls_of_a, "a target that cools down is not called");
    }
    let failed = "tidegate_attempts_total{provider=\"a\",outcome=\"failed\"}";
    assert_eq!(gateway.metric(failed).await, 1.0);
}
