//! What a request asks of the gateway, by its body or by headers, stands in one place for policies.
use serde_json::{Value, json};

use super::{config, target, three, three_with, with};
use crate::support::MESSAGE;
use crate::support::gateway::Gateway;

/// A gateway with a policy, before the upstreams of another one.
async fn under(policy: &str) -> (super::Three, Gateway) {
    let three = three("").await;
    let files = [("policies/p.rhai", policy)];
    let gateway = Gateway::with()
        .config(config([0, 1, 2].map(|n| three.ups[n].address)))
        .files(&files)
        .start()
        .await;
    (three, gateway)
}

async fn ask(gateway: &Gateway, body: &str, headers: &[(&str, &str)]) -> super::Answer {
    let ask = super::Ask::message(body).header("x-api-key", "all");
    let ask = headers.iter().fold(ask, |ask, (name, value)| ask.header(name, value));
    ask.send(gateway.address).await
}

const TELL: &str =
    "fn on_request(request, ctx) { set_response_header(\"x-seen\", to_json(request.gateway)); }";

#[tokio::test]
async fn policies_see_the_gateway_headers_as_fields_of_the_request() {
    let (three, gateway) = under(TELL).await;
    let seen = |answer: &super::Answer| -> Value {
        serde_json::from_str(answer.header("x-seen").unwrap()).unwrap()
    };
    let headers = [
        ("x-tidegate-models", "spare, lone"),
        ("x-tidegate-only", "b"),
        ("x-tidegate-retry-on", "429,500"),
        ("x-tidegate-tags", "team=x"),
        ("x-tidegate-timeout-ms", "60000"),
        ("x-tidegate-debug", "trace"),
        ("x-aistats-strictness", "warn"),
    ];
    let answer = ask(&gateway, MESSAGE, &headers).await;
    let all = json!({"models": ["spare", "lone"], "only": ["b"], "retry_on": [429, 500], "tags": {"team": "x"},
        "timeout_ms": 60000, "debug": {"trace": true}, "strictness": "warn"});
    assert_eq!((answer.status, seen(&answer)), (200, all));
    assert_eq!(target(&answer), "b/m");
    // what the body says wins, and nothing of it reaches the upstream
    let own = with(MESSAGE, r#"{"only":["c"],"tags":null}"#);
    let answer = ask(&gateway, &own, &[("x-tidegate-only", "b"), ("x-tidegate-tags", "a=b")]).await;
    assert_eq!(seen(&answer), json!({"only": ["c"], "tags": {"a": "b"}}));
    for up in [&three.ups[1], &three.ups[2]] {
        let (_, body) = up.seen().remove(0);
        assert!(!String::from_utf8(body).unwrap().contains("gateway"));
    }
    let answer = ask(&gateway, MESSAGE, &[]).await;
    assert_eq!(seen(&answer), Value::Null);
}

#[tokio::test]
async fn a_policy_that_edits_the_gateway_fields_overrides_the_headers() {
    let policy = "fn on_request(request, ctx) {
    if request.gateway == () { request.gateway = #{}; }
    request.gateway.remove(\"only\");
    request.gateway.order = [\"c\"];
}";
    let (_three, gateway) = under(policy).await;
    for headers in [&[("x-tidegate-only", "b")][..], &[]] {
        assert_eq!(target(&ask(&gateway, MESSAGE, headers).await), "c/x/y");
    }
}

#[tokio::test]
async fn a_request_that_only_headers_speak_for_keeps_its_bytes() {
    let spaced = r#" { "model" : "m", "n":1.0e0 , "max_tokens":16, "messages" : [ {"role":"user","content":"hi"} ] } "#;
    let (three, gateway) = under(TELL).await;
    assert_eq!(ask(&gateway, spaced, &[("x-tidegate-only", "b")]).await.status, 200);
    let (_, body) = three.ups[1].seen().remove(0);
    assert_eq!(String::from_utf8(body).unwrap(), spaced.trim());
}

#[tokio::test]
async fn a_wrong_wish_is_refused_before_a_policy_sees_it_and_by_the_name_that_the_caller_used() {
    let (_three, gateway) = under(TELL).await;
    let answer = ask(&gateway, MESSAGE, &[("x-tidegate-timeout-ms", "soon")]).await;
    assert_eq!(answer.header("x-seen"), None);
    assert!(answer.text().contains("`x-tidegate-timeout-ms` is `soon`"), "{}", answer.text());
    // known only behind the policies
    let answer = ask(&gateway, MESSAGE, &[("x-tidegate-order", "b,azure")]).await;
    assert!(answer.text().contains("`x-tidegate-order[1]`: no target"), "{}", answer.text());
}

#[tokio::test]
async fn a_fallback_is_no_way_around_a_shipped_policy() {
    let rules = "pipeline: [{ policy: downgrade-model, with: { rules: [{ models: [\"lone\"], to: spare }] } }]\n";
    let body = MESSAGE.replace("\"m\"", "\"spare\"");
    let fallback = [("x-tidegate-models", "lone")];
    for (stages, expected) in [("", (200, 1)), (rules, (529, 0))] {
        // the targets of `spare` fail, the only one of `lone` does not
        let three = three_with("bc", stages).await;
        let answer = three.ask(&body, &fallback).await;
        assert_eq!((answer.status, three.counts()[0]), expected, "{stages}");
    }
}
