//! Rate-limit headers of answers, what a request reserves, and what a caller that leaves gives back.
use serde_json::json;

use crate::limit_rules::{KEYS, answering, ask, limited, remaining, statuses};
use crate::support::client::{Answer, Ask};
use crate::support::gateway::Gateway;
use crate::support::upstream::{self, Auto, Behaviour, Upstream, json};
use crate::support::{ANSWER, MESSAGE, until};

#[tokio::test]
async fn a_limited_client_never_sees_the_limits_of_the_upstreams_account() {
    let lines = "content-type: application/json\r\nanthropic-ratelimit-requests-limit: 999\r\nanthropic-ratelimit-unified-status: rejected\r\nanthropic-ratelimit-unified-5h-utilization: 0.9\r\nanthropic-priority-input-tokens-limit: 8\r\n";
    // a message and a count at once
    let whole = ANSWER.replacen('{', r#"{"input_tokens":5,"#, 1);
    for (status, body) in [(200, whole.as_str()), (400, r#"{"type":"error"}"#)] {
        let up = Upstream::always(Behaviour::Answer(upstream::answer(status, lines, body))).await;
        for rules in [
            "limits: { rules: [{ per: key, when: { key: ci }, requests: 9/1m }] }",
            "limits: { rules: [{ per: \"tag:team\", when: { key: ci, model: other }, tokens: 9/1m }] }",
            "limits: { rules: [{ per: target, when: { key: ci }, requests: 9/1m }] }",
            "budgets: { rules: [{ per: key, when: { key: ci }, usd: 1, every: day }] }",
        ] {
            assert_hides(&up, rules, status).await;
        }
    }
}

/// Asserts that a gateway with these rules for the key `ci` hides the limits of the upstream's account from it.
async fn assert_hides(up: &Auto, rules: &str, status: u16) {
    let config = format!("{KEYS}{rules}\npassthrough: up");
    let gateway = Gateway::with().upstream(up.address).config(config).start().await;
    for (method, path, body) in [
        ("POST", "/v1/messages", MESSAGE),
        ("POST", "/v1/messages/count_tokens", MESSAGE),
        ("POST", "/v1/messages/batches", "{}"),
        ("GET", "/v1/messages/batches/x", ""),
    ] {
        let place = format!("{status} {rules} {method} {path}");
        let ask = || match method {
            "GET" => Ask::get(path),
            _ => Ask::post(path, body),
        };
        let found = ask().header("x-api-key", "k-ci").send(gateway.address).await;
        assert_is_limited(&found, status, &place);
        // no rule can apply to the other client
        let other = ask().header("x-api-key", "k-ops").send(gateway.address).await;
        let upstreams = other.header("anthropic-ratelimit-requests-limit");
        assert_eq!((other.status, upstreams), (status, Some("999")), "{place}");
    }
}

/// Asserts that an answer has no limits of the upstream's account but those of its priority tier.
fn assert_is_limited(found: &Answer, status: u16, place: &str) {
    assert_eq!(found.status, status, "{place} {}", found.text());
    let own = found.header("anthropic-ratelimit-requests-limit");
    assert!(own.is_none_or(|own| own == "9"), "{place}: {own:?}");
    // the standing against a budget of the client
    let own = found.header("anthropic-ratelimit-unified-status");
    assert!(own.is_none_or(|own| own == "allowed"), "{place}: {own:?}");
    assert_eq!(found.header("anthropic-ratelimit-unified-5h-utilization"), None, "{place}");
    assert_eq!(found.header("anthropic-priority-input-tokens-limit"), Some("8"), "{place}");
}

#[tokio::test]
async fn the_edits_of_a_policy_come_after_the_clients_rate_limits() {
    let policy = "fn on_request(request, ctx) { set_response_header(\"anthropic-ratelimit-requests-limit\", \"7\"); }";
    let up = answering().await;
    let gateway = limited(up.address, "{ per: key, requests: 1/1m }").policy("own", policy);
    let gateway = gateway.start().await;
    for status in [200, 429] {
        let found = ask(&gateway, "k-ci").await;
        assert_eq!(found.status, status);
        assert_eq!(found.header("anthropic-ratelimit-requests-limit"), Some("7"), "{status}");
        assert_eq!(remaining(&found, "requests"), Some("0"), "{status}");
    }
}

#[tokio::test]
async fn the_max_tokens_that_are_really_sent_are_reserved() {
    let policy = "fn on_request(request, ctx) { request.max_tokens = 30; }";
    let mut up = Upstream::start().await;
    let gateway = limited(up.address, "{ per: key, output_tokens: 40/1m }").policy("more", policy);
    let gateway = gateway.start().await;
    let running =
        tokio::spawn(Ask::message(MESSAGE).header("x-api-key", "k-ci").send(gateway.address));
    let call = up.call().await;
    assert_eq!(call.json()["max_tokens"], json!(30));
    let message = ask(&gateway, "k-ci").await.refusal(429, "rate_limit_error");
    assert!(message.contains("40 output tokens in 1m"), "{message}");
    call.finish(json(200, ANSWER)).await;
    assert_eq!(running.await.unwrap().status, 200);
}

#[tokio::test]
async fn a_caller_that_leaves_before_the_upstream_answers_frees_its_place() {
    let mut up = Upstream::start().await;
    let gateway = limited(up.address, "{ per: key, concurrent: 1 }").start().await;
    for _ in 0..3 {
        let running =
            tokio::spawn(Ask::message(MESSAGE).header("x-api-key", "k-ci").send(gateway.address));
        let _call = up.call().await;
        // others that are refused do not keep the place for longer
        assert_eq!(statuses(&gateway, "k-ci", 2).await, [429, 429]);
        running.abort();
        until("the place to be free", async || {
            gateway.metric("tidegate_active_requests").await == 0.0
        })
        .await;
    }
    let answered = async { up.call().await.finish(json(200, ANSWER)).await };
    let (found, ()) = tokio::join!(ask(&gateway, "k-ci"), answered);
    assert_eq!(found.status, 200);
}
