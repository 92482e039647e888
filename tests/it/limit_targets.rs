//! Limits where a request has several targets, names or turns.
use serde_json::{Value, json};

use crate::limit_rules::{KEYS, answering, ask, limited, remaining, statuses};
use crate::support::MESSAGE;
use crate::support::client::Ask;
use crate::support::gateway::{self, Gateway};
use crate::support::turn::{call, frames, message, text};
use crate::support::upstream::{Auto, Behaviour, Upstream, json, stream};

#[tokio::test]
async fn a_fallback_over_the_limit_of_its_model_is_left_out() {
    let down = Upstream::always(Behaviour::Answer(json(529, "{}"))).await;
    let up = answering().await;
    let gateway = limited(up.address, "{ per: key, when: { model: big }, requests: 1/1m }")
        .provider(
            "down",
            &format!("{{ type: anthropic, api_key: k, base_url: \"http://{}\" }}", down.address),
        )
        .model("broken", "{ provider: down, cooldown: 0s }")
        .model("small", "{ provider: up }")
        .model("big", "{ provider: up }")
        .start()
        .await;
    let ask = async |model: &str, fallback: &str| {
        let body = MESSAGE.replace("\"m\"", &format!("\"{model}\""));
        let ask = Ask::message(body).header("x-api-key", "k-ci");
        let ask = ask.header("x-tidegate-models", fallback).header("x-tidegate-debug", "trace");
        ask.send(gateway.address).await
    };
    assert_eq!(ask("broken", "big").await.header("x-tidegate-target"), Some("up/big"));
    // the fallback does not pass its limit, and the request's own model is served
    assert_eq!(ask("broken", "big").await.status, 529);
    let found = ask("small", "big").await;
    assert_eq!((found.status, found.header("x-tidegate-target")), (200, Some("up/small")));
    let trace: Value = serde_json::from_str(found.header("x-tidegate-trace").unwrap()).unwrap();
    assert_eq!(trace["attempts"][0], json!({"target": "up/big", "skipped": "limit"}));
    ask("big", "small").await.refusal(429, "rate_limit_error");
    // other fallbacks stay
    let found = ask("broken", "big, small").await;
    assert_eq!((found.status, found.header("x-tidegate-target")), (200, Some("up/small")));
}

#[tokio::test]
async fn a_target_over_its_limit_is_passed_over() {
    let (one, two) = (answering().await, answering().await);
    let provider = |up: &Auto| {
        format!("{{ type: anthropic, api_key: k, base_url: \"http://{}\" }}", up.address)
    };
    let gateway = Gateway::with()
        .provider("one", &provider(&one))
        .provider("two", &provider(&two))
        .model("m", "{ targets: [{ provider: one }, { provider: two }] }")
        .config(format!("{KEYS}limits: {{ rules: [{{ per: target, requests: 2/1m }}] }}"))
        .start()
        .await;
    assert_eq!(statuses(&gateway, "k-ci", 2).await, [200, 200]);
    let traced =
        Ask::message(MESSAGE).header("x-api-key", "k-web").header("x-tidegate-debug", "trace");
    let found = traced.send(gateway.address).await;
    assert_eq!((found.status, found.header("x-tidegate-target")), (200, Some("two/m")));
    let trace: Value = serde_json::from_str(found.header("x-tidegate-trace").unwrap()).unwrap();
    assert_eq!(trace["attempts"][0], json!({"target": "one/m", "skipped": "limit"}));
    assert_eq!(statuses(&gateway, "k-ci", 1).await, [200]);
    let found = ask(&gateway, "k-ci").await;
    let message = found.refusal(429, "rate_limit_error");
    assert!(message.contains("2 requests in 1m for the target `one/*`"), "{message}");
    let wait: u64 = found.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=60).contains(&wait), "{wait}");
    assert_eq!((one.count(), two.count()), (2, 2));
}

#[tokio::test]
async fn a_failover_counts_once() {
    let down = Upstream::always(Behaviour::Answer(json(529, "{}"))).await;
    let up = answering().await;
    let gateway = limited(up.address, "{ per: key, requests: 5/1m, tokens: 1000/1m }")
        .provider(
            "down",
            &format!("{{ type: anthropic, api_key: k, base_url: \"http://{}\" }}", down.address),
        )
        .model("m", "{ targets: [{ provider: down }, { provider: up }] }")
        .start()
        .await;
    let found = ask(&gateway, "k-ci").await;
    assert_eq!(found.header("x-tidegate-attempts"), Some("2"));
    assert_eq!(
        (remaining(&found, "requests"), remaining(&found, "tokens")),
        (Some("4"), Some("995"))
    );
}

/// An upstream that calls a tool in the first turn of a request with tools, and answers else.
async fn calling(tool: &'static str, input: Value) -> Auto {
    let first = message(json!([call("c1", tool, input)]), "tool_use");
    let last = message(json!([text("done")]), "end_turn");
    Upstream::by(move |call| {
        let request = call.json();
        let is_first = request["tools"].is_array() && request["messages"][1].is_null();
        let message = if is_first { &first } else { &last };
        Behaviour::Answer(match request["stream"] == true {
            true => stream(&frames(message)),
            false => json(200, &message.to_string()),
        })
    })
    .await
}

#[tokio::test]
async fn all_turns_of_a_tool_loop_are_one_request_that_stays_at_its_target() {
    let up = calling("gateway_datetime", json!({})).await;
    let rules = "limits: { rules: [{ per: key, requests: 5/1m, tokens: 1000/1m, concurrent: 1 }, { per: target, requests: 1/1m }] }";
    let gateway = gateway::looping(up.address).config(rules).start().await;
    let body = json!({"model": "m", "max_tokens": 50, "tools": [{"type": "gateway:datetime"}],
        "messages": [{"role": "user", "content": "hi"}]});
    let found = gateway.ask(&body).await;
    assert_eq!((found.status, up.count()), (200, 2), "{}", found.text());
    // twice 10 of input and 3 of output
    assert_eq!(
        (remaining(&found, "requests"), remaining(&found, "tokens")),
        (Some("4"), Some("974"))
    );
    let message = gateway.ask(&body).await.refusal(429, "rate_limit_error");
    assert!(message.contains("for the target `up/up-1`"), "{message}");
}

#[tokio::test]
async fn a_model_that_a_plugin_calls_counts_tokens_and_takes_no_place() {
    let up = calling("gateway_advisor", json!({"prompt": "tea?"})).await;
    let config = "plugins: { dir: plugins, config: { advisor: { allow_models: [\"*\"] } } }\nlimits: { rules: [{ per: key, requests: 5/1m, tokens: 5000/1m, concurrent: 1 }] }";
    let gateway = gateway::looping(up.address).config(config).start().await;
    let body = json!({"model": "m", "max_tokens": 50, "tools": [{"type": "gateway:advisor", "model": "m"}],
        "messages": [{"role": "user", "content": "hi"}]});
    let found = gateway.ask(&body).await;
    assert_eq!((found.status, up.count()), (200, 3), "{}", found.text());
    assert_eq!(
        (remaining(&found, "requests"), remaining(&found, "tokens")),
        (Some("4"), Some("4961"))
    );
}

#[tokio::test]
async fn a_model_that_a_plugin_calls_does_not_wait_for_the_request_that_calls_it() {
    let up = calling("gateway_advisor", json!({"prompt": "tea?"})).await;
    // the estimates are above the limits of the key, so the client's request holds all of them
    let config = "plugins: { dir: plugins, config: { advisor: { allow_models: [\"*\"] } } }
limits: { rules: [{ per: key, tokens: 60/1m }, { per: target, requests: 1/1m, concurrent: 1 }] }
budgets: { rules: [{ per: key, usd: 0.001, every: month }] }";
    let gateway = gateway::looping(up.address).config(config).start().await;
    let body = json!({"model": "m", "max_tokens": 50, "tools": [{"type": "gateway:advisor", "model": "m"}],
        "messages": [{"role": "user", "content": "hi"}]});
    let found = gateway.ask(&body).await;
    assert_eq!((found.status, up.count()), (200, 3), "{}", found.text());
    assert_eq!(remaining(&found, "tokens"), Some("21"));
    assert!(found.text().contains("done"), "{}", found.text());
}

#[tokio::test]
async fn a_target_is_free_while_tools_run() {
    let mut up = Upstream::start().await;
    let config = "plugins: { dir: plugins, config: { advisor: { allow_models: [\"*\"] } } }
limits: { rules: [{ per: target, concurrent: 1 }] }";
    let gateway = gateway::looping(up.address).config(config).start().await;
    let body = json!({"model": "m", "max_tokens": 50, "tools": [{"type": "gateway:advisor", "model": "m"}],
        "messages": [{"role": "user", "content": "hi"}]});
    let asking = tokio::spawn(Ask::message(body.to_string()).send(gateway.address));
    let call =
        message(json!([call("c1", "gateway_advisor", json!({"prompt": "tea?"}))]), "tool_use");
    up.call().await.finish(stream(&frames(&call))).await;
    // the tool waits for its model
    let advice = up.call().await;
    let other = tokio::spawn(Ask::message(MESSAGE).send(gateway.address));
    let last = message(json!([text("done")]), "end_turn");
    up.call().await.finish(json(200, &last.to_string())).await;
    assert_eq!(other.await.unwrap().status, 200);
    advice.finish(json(200, &last.to_string())).await;
    up.call().await.finish(stream(&frames(&last))).await;
    assert_eq!(asking.await.unwrap().status, 200);
}
