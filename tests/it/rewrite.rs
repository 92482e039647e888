//! The bundled plugin `rewrite`, through the whole gateway.
use serde_json::{Value, json};
use tidegate_builder::section;

use crate::support::client::Ask;
use crate::support::gateway::{Gateway, to};
use crate::support::upstream::{self, Auto, Behaviour, Upstream};
use crate::support::{ANSWER, MESSAGE, plugins};

/// A gateway whose plugin has this config and these stages, before an upstream.
async fn gateway(config: &str, stages: &str) -> (Auto, Gateway) {
    let up = Upstream::always(Behaviour::Answer(upstream::json(200, ANSWER))).await;
    let folder = plugins::alone("rewrite");
    let yaml = format!(
        "{}plugins: {{ dir: \"{}\", config: {{ rewrite: {config} }} }}\n{stages}",
        to(up.address),
        folder.display()
    );
    let gateway = Gateway::start(&yaml).await;
    (up, gateway)
}

#[tokio::test]
async fn the_config_and_the_stages_edit_the_upstream_request() {
    let config = "{ set: { /metadata/user_id: gateway }, system: { append: Be brief. } }";
    let stages = "pipeline:
  - { plugin: rewrite, with: { cap: { /max_tokens: 10 }, remove: [/top_k] } }
  - { plugin: rewrite, with: { set: { /metadata/user_id: other } }, when: { model: \"other-*\" } }
";
    let (up, gateway) = gateway(config, stages).await;
    let body =
        r#"{"model":"m","n":1.0e0,"top_k":5,"max_tokens":500,"system":"I am.","messages":[]}"#;
    let answer = Ask::message(body).send(gateway.address).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let sent = String::from_utf8(up.seen().remove(0).1).unwrap();
    // what nobody edited keeps its bytes and its place
    assert_eq!(
        sent,
        r#"{"model":"m","n":1.0e0,"max_tokens":10,"system":"I am.\n\nBe brief.","messages":[],"metadata":{"user_id":"gateway"}}"#
    );
}

#[tokio::test]
async fn without_edits_a_request_passes_byte_for_byte() {
    let (up, gateway) = gateway("{}", "").await;
    assert_eq!(Ask::message(MESSAGE).send(gateway.address).await.status, 200);
    assert_eq!(up.seen()[0].1, MESSAGE.as_bytes());
}

#[tokio::test]
async fn a_stage_without_edits_is_never_called_and_one_with_some_is() {
    for (config, stages, calls) in [
        ("{}", "", 0.0),
        ("{ set: {} }", "pipeline: [{ plugin: rewrite, with: { cap: {} } }]\n", 0.0),
        ("{ remove: [/top_k] }", "", 1.0),
        (
            "{}",
            "pipeline: [{ plugin: rewrite }, { plugin: rewrite, with: { remove: [/top_k] } }]\n",
            1.0,
        ),
        ("{ remove: [/top_k] }", "pipeline: [{ plugin: rewrite, with: { cap: {} } }]\n", 1.0),
    ] {
        let (up, gateway) = gateway(config, stages).await;
        assert_eq!(Ask::message(MESSAGE).send(gateway.address).await.status, 200);
        assert_eq!(up.count(), 1);
        let name = "tidegate_stage_duration_seconds_count{stage=\"rewrite\",hook=\"on_request\"}";
        assert_eq!(gateway.metric(name).await, calls, "{config} {stages}");
        // where nothing is called there is nothing to count either
        assert_eq!(gateway.metrics().await.contains("stage=\"rewrite\""), calls > 0.0);
    }
}

#[tokio::test]
async fn a_stage_gives_work_to_a_plugin_that_has_none_by_its_config_and_no_section_that_tells_its_hooks()
 {
    let up = Upstream::always(Behaviour::Answer(upstream::json(200, ANSWER))).await;
    let folder = tempfile::tempdir().unwrap();
    let whole = std::fs::read(plugins::alone("rewrite").join("rewrite.wasm")).unwrap();
    let bare = section::before(&whole, section::MANIFEST);
    assert!(bare.len() < whole.len());
    std::fs::write(folder.path().join("bare.wasm"), bare).unwrap();
    let stage = |with: &str| {
        let dir = folder.path().display();
        let stage = format!("pipeline: [{{ plugin: bare, with: {with} }}]\n");
        format!("{}plugins: {{ dir: \"{dir}\" }}\n{stage}", to(up.address))
    };
    let gateway = Gateway::start(&stage("{ cap: { /max_tokens: 1 } }")).await;
    assert_eq!(Ask::message(MESSAGE).send(gateway.address).await.status, 200);
    let sent: Value = serde_json::from_slice(&up.seen()[0].1).unwrap();
    assert_eq!(sent["max_tokens"], 1);
    // without any it does nothing
    let problems = format!("{:?}", gateway.reload(&stage("{}")).await);
    assert!(problems.contains("the plugin `bare` has no hooks"), "{problems}");
}

#[tokio::test]
async fn an_edit_that_the_body_cannot_take_is_rejected_as_the_callers_error() {
    let (up, gateway) = gateway("{ set: { /metadata/user_id: x } }", "").await;
    let mut body: Value = serde_json::from_str(MESSAGE).unwrap();
    body["metadata"] = json!("text");
    let answer = Ask::message(body.to_string()).send(gateway.address).await;
    let message = answer.refusal(400, "invalid_request_error");
    assert!(message.starts_with("nothing can be set at `/metadata/user_id`"), "{message}");
    assert_eq!(up.count(), 0);
}

#[tokio::test]
async fn a_stage_that_names_no_place_never_goes_live() {
    let (_up, gateway) = gateway("{}", "pipeline: [{ plugin: rewrite }]\n").await;
    let good = std::fs::read_to_string(gateway.file()).unwrap();
    for (with, expect) in [
        ("{ capp: {} }", "unknown field `capp`"),
        ("{ remove: [top_k] }", "`remove`: `top_k` is no place in a request"),
    ] {
        let stage = format!("{{ plugin: rewrite, with: {with} }}");
        let bad = good.replace("{ plugin: rewrite }", &stage);
        let problems = format!("{:?}", gateway.reload(&bad).await);
        assert!(problems.contains("pipeline[0].with"), "{problems}");
        assert!(problems.contains("the plugin `rewrite` refuses its parameters: "), "{problems}");
        assert!(problems.contains(expect), "{problems}");
        assert_eq!(Ask::message(MESSAGE).send(gateway.address).await.status, 200);
    }
}

#[tokio::test]
async fn a_config_that_names_no_place_never_goes_live() {
    let (_up, gateway) = gateway("{}", "").await;
    let good = std::fs::read_to_string(gateway.file()).unwrap();
    let bad = good.replace("rewrite: {}", "rewrite: { remove: [top_k] }");
    assert_ne!(good, bad);
    let problems = format!("{:?}", gateway.reload(&bad).await);
    assert!(problems.contains("`remove`: `top_k` is no place in a request"), "{problems}");
    assert_eq!(Ask::message(MESSAGE).send(gateway.address).await.status, 200);
}
