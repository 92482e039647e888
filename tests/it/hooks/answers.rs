//! `on_response` and `on_error`, tags and counts.
use serde_json::json;

use super::{gateway, said, saying};
use crate::support::client::Ask;
use crate::support::gateway::{Gateway, to};
use crate::support::upstream::{self, Behaviour, Upstream};
use crate::support::{ANSWER, MESSAGE, STREAM};

#[tokio::test]
async fn a_whole_answer_is_edited_or_refused() {
    let up = Upstream::always(Behaviour::Answer(upstream::json(200, ANSWER))).await;
    let policy = r#"fn on_response(message, ctx) {
        message.content[0].text += " there";
        set_response_header("x-tokens", message.usage.output_tokens);
    }"#;
    let gateway = gateway(&up, policy).await;
    let answer = Ask::message(MESSAGE).send(gateway.address).await;
    assert_eq!(answer.text(), ANSWER.replace("hello", "hello there"));
    assert_eq!(answer.header("x-tokens"), Some("2"));
    let gateway = self::gateway(&up, "fn on_response(message, ctx) { deny(403, \"no\"); }").await;
    let answer = Ask::message(MESSAGE).send(gateway.address).await;
    assert_eq!(answer.refusal(403, "permission_error"), "no");
}

#[tokio::test]
async fn a_streamed_answer_is_observed_when_it_is_whole() {
    let policy = r#"fn on_response(message, ctx) {
        tag("stop", message.stop_reason);
        tag("said", message.content[0].text);
        message.content[0].text = "too late";
    }"#;
    let up = saying(&["hel", "lo"]).await;
    let gateway = gateway(&up, policy).await;
    let answer = Ask::message(STREAM).send(gateway.address).await;
    assert_eq!(answer.text(), said(&["hel", "lo"]).concat());
    gateway
        .until_metric("tidegate_tagged_requests_total{tag=\"stop\",value=\"end_turn\"}", 1.0)
        .await;
    assert_eq!(
        gateway.metric("tidegate_tagged_requests_total{tag=\"said\",value=\"hello\"}").await,
        1.0
    );
    let tokens = "tidegate_tagged_tokens_total{tag=\"stop\",value=\"end_turn\",gen_ai_token_type=\"output\"}";
    assert_eq!(gateway.metric(tokens).await, 2.0);
}

#[tokio::test]
async fn errors_are_reworded_the_upstreams_too() {
    let refusal = r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded", "x": 1.0},"request_id":"req_up"}"#;
    let up = Upstream::always(Behaviour::Answer(upstream::json(529, refusal))).await;
    let policy = r#"fn on_error(error, ctx) {
        count("errors", 2);
        set_response_header("x-help", "chat");
        error.message = error.status + " " + error.type + ": " + error.message + "; ask the platform team";
    }"#;
    let gateway = gateway(&up, policy).await;
    let answer = Ask::message(MESSAGE).send(gateway.address).await;
    assert_eq!((answer.status, answer.header("x-help")), (529, Some("chat")));
    assert_eq!(
        answer.text(),
        refusal.replace("Overloaded", "529 overloaded_error: Overloaded; ask the platform team")
    );
    gateway.until_metric("tidegate_policy_counts_total{name=\"errors\"}", 2.0).await;
}

#[tokio::test]
async fn an_error_of_a_known_caller_reaches_on_error_whatever_is_wrong_with_the_request() {
    let up = Upstream::always(Behaviour::Answer(upstream::json(200, ANSWER))).await;
    let policy = r#"fn on_error(error, ctx) {
        set_response_header("x-help", ctx.key + ":" + ctx.model);
        error.message += "; ask the platform team";
    }"#;
    let config = format!(
        "{}keys:\n  - {{ name: ci, key: secret, models: [\"m*\"] }}\nserver: {{ workers: 1, max_body_bytes: 1024 }}\n",
        to(up.address)
    );
    let gateway = Gateway::with().config(&config).policy("help", policy).start().await;
    let large = MESSAGE.replace("hi", &"x".repeat(2000));
    let unknown = MESSAGE.replace("\"m\"", "\"other\"");
    for (body, status, kind, model) in [
        ("{", 400, "invalid_request_error", ""),
        ("{}", 400, "invalid_request_error", ""),
        ("{\"model\":7}", 400, "invalid_request_error", ""),
        (large.as_str(), 413, "request_too_large", ""),
        (unknown.as_str(), 403, "permission_error", "other"),
    ] {
        let answer = Ask::message(body).header("x-api-key", "secret").send(gateway.address).await;
        let message = answer.refusal(status, kind);
        assert!(message.ends_with("; ask the platform team"), "{message}");
        assert_eq!(answer.header("x-help"), Some(&*format!("ci:{model}")));
    }
    // a caller that is not known has no key to choose its policies by
    let answer = Ask::message(MESSAGE).header("x-api-key", "wrong").send(gateway.address).await;
    assert!(!answer.refusal(401, "authentication_error").contains("platform team"));
}

#[tokio::test]
async fn the_response_hooks_see_the_target_the_attempts_and_the_usage() {
    let refused = Behaviour::Answer(upstream::json(503, "{\"type\":\"error\"}"));
    let fine = Behaviour::Answer(upstream::json(200, ANSWER));
    let up = Upstream::script(vec![refused.clone(), fine, refused]).await;
    let policy = r#"
        fn note(ctx) {
            let usage = ctx.usage;
            set_response_header("x-note", `${ctx.target} ${ctx.attempts} ${usage.input_tokens}+${usage.output_tokens}`);
        }
        fn on_request(request, ctx) { if ctx.attempts != 0 || ctx.target != "" { deny("too early"); } }
        fn on_response(message, ctx) { note(ctx); }
        fn on_error(error, ctx) { note(ctx); }
    "#;
    let config = to(up.address)
        .replace("{ provider: up }", "{ provider: up, retry: { attempts: 1, backoff: 1ms } }");
    let gateway = Gateway::with().config(&config).policy("note", policy).start().await;
    let answer = Ask::message(MESSAGE).send(gateway.address).await;
    assert_eq!((answer.status, answer.header("x-note")), (200, Some("up/m 2 3+2")));
    let answer = Ask::message(MESSAGE).send(gateway.address).await;
    assert_eq!((answer.status, answer.header("x-note")), (503, Some("up/m 2 0+0")));
}

#[tokio::test]
async fn a_stream_that_breaks_is_reworded_as_well() {
    let frames = said(&["hi"]);
    let frames: Vec<&str> = frames[..3].iter().map(String::as_str).collect();
    let up = Upstream::always(Behaviour::Close(upstream::broken(&frames))).await;
    let policy = "fn on_error(error, ctx) { error.message = \"call 555\"; }";
    let gateway = gateway(&up, policy).await;
    let text = Ask::message(STREAM).send(gateway.address).await.text();
    assert!(text.starts_with(&frames.concat()) && text.contains("call 555"), "{text}");
}

#[tokio::test]
async fn an_error_survives_a_policy_that_breaks_over_it() {
    let up = Upstream::always(Behaviour::Answer(upstream::json(404, "{\"odd\": true}"))).await;
    let gateway = gateway(&up, "fn on_error(error, ctx) {\n  error.a.b\n}").await;
    let answer = Ask::message(MESSAGE).send(gateway.address).await;
    assert_eq!((answer.status, answer.text()), (404, "{\"odd\": true}".to_owned()));
}

#[tokio::test]
async fn a_response_from_a_policy_passes_through_the_same_hooks() {
    let up = Upstream::always(Behaviour::Answer(upstream::json(200, ANSWER))).await;
    let policy = r#"fn on_request(request, ctx) { ctx.state.n = 1; respond("a dog"); }
    fn on_text(text, ctx) { text.replace("dog", "cat" + ctx.state.n); text }"#;
    let gateway = gateway(&up, policy).await;
    let answer = Ask::message(MESSAGE).send(gateway.address).await;
    let text = json!({"type": "text", "text": "a cat1", "citations": null});
    assert_eq!(answer.json()["content"], json!([text]));
    let answer = Ask::message(STREAM).send(gateway.address).await;
    assert!(answer.text().contains("a cat1"), "{}", answer.text());
    assert_eq!(up.count(), 0);
}

#[tokio::test]
async fn names_and_numbers_of_metrics_are_checked() {
    let up = Upstream::always(Behaviour::Answer(upstream::json(200, ANSWER))).await;
    for wrong in ["count(\"a b\")", "count(\"a\", -1)", "tag(\"\", 1)", "tag(\"a\", #{})"] {
        let policy = format!("fn on_request(request, ctx) {{\n  {wrong};\n}}");
        let gateway = gateway(&up, &policy).await;
        let answer = Ask::message(MESSAGE).send(gateway.address).await;
        let message = answer.refusal(500, "api_error");
        assert!(message.contains("p.rhai:2:3: `"), "{message}");
    }
}

#[tokio::test]
async fn a_header_is_taken_out_of_an_error_too() {
    let head = "content-type: application/json\r\nanthropic-organization-id: org\r\n";
    let up = Upstream::always(Behaviour::Answer(upstream::answer(429, head, "{}"))).await;
    let policy =
        "fn on_request(request, ctx) { set_response_header(\"anthropic-organization-id\", ()); }";
    let gateway = gateway(&up, policy).await;
    let answer = Ask::message(MESSAGE).send(gateway.address).await;
    assert_eq!((answer.status, answer.header("anthropic-organization-id")), (429, None));
}

#[tokio::test]
async fn a_refusal_stands_whatever_the_policy_has_made_of_the_request() {
    let up = Upstream::always(Behaviour::Answer(upstream::json(200, ANSWER))).await;
    let config = to(up.address) + "pipeline:\n  - { policy: p, on_error: skip }\n";
    let policy = "fn on_request(request, ctx) { request.max_tokens = (); deny(403, \"no\"); }";
    let gateway = Gateway::with().config(&config).policy("p", policy).start().await;
    let answer = Ask::message(MESSAGE).send(gateway.address).await;
    assert_eq!(answer.refusal(403, "permission_error"), "no");
    assert_eq!(up.count(), 0);
}

#[tokio::test]
async fn a_fallback_does_not_lead_past_the_policies_that_are_for_it() {
    let up = Upstream::always(Behaviour::Answer(upstream::json(200, ANSWER))).await;
    let config = to(up.address) + "pipeline:\n  - { policy: p, when: { model: \"*opus*\" } }\n";
    let policy = "fn on_request(request, ctx) { deny(403, \"no opus\"); }";
    let gateway = Gateway::with().config(&config).policy("p", policy).start().await;
    let asks = |model: &str| Ask::message(MESSAGE).header("x-tidegate-models", model);
    let answer = asks("claude-opus").send(gateway.address).await;
    assert!(answer.refusal(403, "permission_error").contains("different policies apply to"));
    assert_eq!(asks("claude-haiku").send(gateway.address).await.status, 200);
}
