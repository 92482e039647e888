//! The time limits of policies, and guards over the largest bodies.
use std::fs;
use std::process::Command;

use serde_json::{Value, json};

use crate::support::client::Ask;
use crate::support::gateway::Gateway;
use crate::support::upstream::{self, Behaviour, Upstream};
use crate::support::{ANSWER, MESSAGE};

/// Takes longer than a millisecond on any machine, and fewer operations than the limit.
const SLOW: &str = "fn on_request(request, ctx) { let sum = 0; for n in 0..200000 { sum += n; } }";

async fn answered(config: &str) -> (u16, String) {
    let up = Upstream::always(Behaviour::Answer(upstream::json(200, ANSWER))).await;
    let gateway = Gateway::with().upstream(up.address).policy("slow", SLOW).config(config);
    let gateway = gateway.start().await;
    let answer = Ask::message(MESSAGE).send(gateway.address).await;
    (answer.status, answer.text())
}

#[tokio::test]
async fn a_policy_has_the_time_of_the_config_or_of_its_stage() {
    let (status, text) = answered("policies: { time_limit: 1ms }").await;
    assert_eq!(status, 500, "{text}");
    assert!(text.contains("it ran longer than 1 ms and 50 ms for each MiB"), "{text}");

    let stage = "policies: { time_limit: 1ms }\npipeline: [{ policy: slow, time_limit: 10m }]";
    assert_eq!(answered(stage).await.0, 200);

    let stage = "policies: { time_limit: 10m }\npipeline: [{ policy: slow, time_limit: 2ms, time_limit_per_mib: 0s }]";
    let (status, text) = answered(stage).await;
    assert_eq!(status, 500, "{text}");
    assert!(text.contains("it ran longer than 2 ms and 0 ms for each MiB"), "{text}");
}

#[test]
fn a_time_limit_without_a_meaning_is_a_problem() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("tidegate.yaml");
    fs::create_dir(folder.path().join("policies")).unwrap();
    for (lines, expected) in [
        ("policies: { time_limit: 0s }", "policies.time_limit: must be at least `1ms`"),
        ("policies: { time_limit: 50 }", "policies.time_limit: "),
        (
            "pipeline: [{ policy: canary, with: { to: x, percent: 1 }, time_limit: 0ms }]",
            "pipeline[0].time_limit: must be at least `1ms`",
        ),
        (
            "pipeline: [{ plugin: brief, time_limit: 1s }]",
            "pipeline[0].time_limit: is for policies: the limit of a plugin is `plugins.config.brief.hook_deadline`",
        ),
    ] {
        let sim = "providers: { sim: { type: simulator } }\nmodels: { \"*\": { provider: sim } }";
        fs::write(&config, format!("{sim}\n{lines}\n")).unwrap();
        let check = Command::new(env!("CARGO_BIN_EXE_tidegate"));
        let output = { check }.arg("check").arg("--config").arg(&config).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{lines}: {said}");
        assert!(said.contains(expected), "{lines}: {said}");
    }
}

/// Returns a conversation of almost the largest body: long texts, many small blocks, and numbers that look
/// like cards. Secrets stand at both ends.
fn large() -> Value {
    let secret = "AKIAIOSFODNN7EXAMPLE of jane@example.com";
    let code = "let größe = 4111_1111; // call +1 and 4111111111111112, see a@b\n".repeat(10_000);
    let small = vec![json!({"type": "text", "text": "x"}); 100_000];
    let mut messages = vec![json!({"role": "user", "content": secret})];
    messages.push(json!({"role": "assistant", "content": small}));
    for _ in 0..40 {
        messages.push(json!({"role": "user", "content": code}));
    }
    messages.push(json!({"role": "user", "content": [{"type": "text", "text": secret}]}));
    json!({"model": "m", "max_tokens": 10, "messages": messages})
}

#[tokio::test]
async fn the_shipped_guards_get_through_the_largest_body() {
    let up = Upstream::always(Behaviour::Answer(upstream::json(200, ANSWER))).await;
    // a debug build on a busy machine needs more time than the default has for it
    let config = "policies: { time_limit: 10m }
pipeline: [{ policy: redact-secrets }, { policy: redact-pii }]";
    let gateway = Gateway::with().upstream(up.address).config(config).start().await;
    let body = large().to_string();
    assert!((28 << 20..32 << 20).contains(&body.len()), "{} bytes", body.len());
    let answer = Ask::message(body.clone()).send(gateway.address).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let sent = up.seen().remove(0).1;
    let expected = body.replace("AKIAIOSFODNN7EXAMPLE of jane@example.com", "[secret] of [email]");
    let at = sent.iter().zip(expected.as_bytes()).position(|(sent, expected)| sent != expected);
    let around =
        |at: usize| String::from_utf8_lossy(&sent[at.saturating_sub(40)..at + 40]).into_owned();
    assert_eq!(at.map(around), None, "the rest of the body changed");
    assert_eq!(sent.len(), expected.len());
}
