//! Events that policies send by `emit`.
use serde_json::{Value, json};

use super::{FILE, types, written};
use crate::commands::{CONFIG, folder, tidegate};
use crate::support::client::Ask;
use crate::support::gateway::Gateway;
use crate::support::upstream::{self, Auto, Behaviour, Upstream};
use crate::support::{ANSWER, FRAMES, MESSAGE, STREAM};

async fn answering() -> Auto {
    Upstream::by(|call| {
        let is_stream = call.json()["stream"] == true;
        let answer =
            if is_stream { upstream::stream(&FRAMES) } else { upstream::json(200, ANSWER) };
        Behaviour::Answer(answer)
    })
    .await
}

async fn gateway(up: &Auto, policy: &str) -> Gateway {
    Gateway::with().upstream(up.address).policy("watch", policy).config(FILE).start().await
}

#[tokio::test]
async fn a_policys_event_has_its_fields_its_policy_and_its_request() {
    let up = answering().await;
    let policy = "fn on_request(request, ctx) {
    emit(\"asked\", #{n: 1, list: [1.5, true, ()], place: request.messages.len(), inner: #{b: \"ü\\n\", a: 2}});
}
fn on_response(message, ctx) { emit(\"answered\", message.usage); }";
    let gateway = gateway(&up, policy).await;
    Ask::message(MESSAGE).send(gateway.address).await;
    let events = written(&gateway, "exchange.ended").await;
    assert_eq!(types(&events), ["policy.asked", "policy.answered", "exchange.ended"]);
    let data = &events[0]["data"];
    assert_eq!(data["policy"], "watch");
    assert_eq!(data["request_id"], events[2]["data"]["request_id"]);
    assert_eq!(
        data["fields"],
        json!({"n": 1, "list": [1.5, true, null], "place": 1, "inner": {"a": 2, "b": "ü\n"}})
    );
    let usage: Value = serde_json::from_str::<Value>(ANSWER).unwrap()["usage"].clone();
    assert_eq!(events[1]["data"]["fields"], usage);
}

#[tokio::test]
async fn a_policy_that_denies_sends_its_events_and_one_that_fails_sends_none() {
    let up = answering().await;
    let policy = "fn on_request(request, ctx) {
    emit(\"seen\", #{});
    if request.max_tokens == 1 { throw \"no\"; }
    deny(\"not today\");
}";
    let gateway = gateway(&up, policy).await;
    let one = MESSAGE.replace("\"max_tokens\":16", "\"max_tokens\":1");
    assert_ne!(one, MESSAGE, "the message must have the limit that is replaced");
    assert!(Ask::message(one).send(gateway.address).await.status >= 500);
    assert_eq!(Ask::message(MESSAGE).send(gateway.address).await.status, 400);
    let events = super::until_number(&gateway, 3).await;
    assert_eq!(types(&events), ["exchange.ended", "policy.seen", "exchange.ended"]);
}

#[tokio::test]
async fn an_event_of_a_stream_is_sent_from_its_hooks() {
    let up = answering().await;
    let policy =
        "fn on_event(event, ctx) { if event.type == \"message_stop\" { emit(\"stop\", #{}); } }";
    let gateway = gateway(&up, policy).await;
    assert_eq!(Ask::message(STREAM).send(gateway.address).await.status, 200);
    let events = written(&gateway, "exchange.ended").await;
    assert_eq!(types(&events), ["policy.stop", "exchange.ended"]);
}

#[tokio::test]
async fn names_sizes_and_numbers_of_events_are_bounded_and_a_script_may_catch_that() {
    let up = answering().await;
    let policy = "fn tried(name, fields) {
    let said = \"sent\";
    try { emit(name, fields); } catch (error) { said = `${error}`; }
    said
}
fn on_request(request, ctx) {
    let big = \"x\";
    while big.len() < 9000 { big += big; }
    let said = [tried(\"a b\", #{}), tried(\"\", #{}), tried(\"big\", #{big: big}), tried(\"f\", #{f: |x| x})];
    let sent = 0;
    for n in 0..20 { if tried(\"n\", #{n: n}) == \"sent\" { sent += 1; } }
    emit_more(said, sent);
}
fn emit_more(said, sent) { respond(`${sent}|${said[0]}|${said[1]}|${said[2]}|${said[3]}`); }";
    let gateway = gateway(&up, policy).await;
    let answer = Ask::message(MESSAGE).send(gateway.address).await;
    let text = answer.json()["content"][0]["text"].as_str().unwrap().to_owned();
    let said: Vec<&str> = text.split('|').collect();
    assert_eq!(said[0], "16", "{text}");
    assert!(said[1].contains("`emit` takes a name of at most 64") && said[2] == said[1], "{text}");
    assert!(said[3].contains("at most 8192 bytes as JSON"), "{text}");
    assert_ne!(said[4], "sent", "{text}");
    let events = written(&gateway, "exchange.ended").await;
    assert_eq!(events.len(), 17);
}

#[test]
fn a_case_expects_the_events_of_a_policy() {
    let policy = "fn on_request(request, ctx) {
    if (request.max_tokens ?? 0) > 32000 { emit(\"long-answer\", #{max_tokens: request.max_tokens}); }
}";
    let long = "request: { model: m, max_tokens: 64000, messages: [{ role: user, content: hi }] }";
    let expected = "[{ name: long-answer, fields: { max_tokens: 64000 } }]";
    let all = [
        (format!("{long}\n  expect: {{ events: {expected} }}"), "1 passed, 0 failed"),
        (
            format!("{long}\n  expect: {{ events: [{{ name: long-answer }}], unchanged: true }}"),
            "1 passed, 0 failed",
        ),
        ("expect: { events: [] }".to_owned(), "1 passed, 0 failed"),
        (format!("{long}\n  expect: {{ events: [] }}"), "events[0]"),
        (format!("expect: {{ events: {expected} }}"), "events[0]"),
        (format!("{long}\n  expect: {{ events: [{{ name: other }}] }}"), "events[0]"),
        (
            format!(
                "{long}\n  expect: {{ events: [{{ name: long-answer, fields: {{ max_tokens: 1 }} }}] }}"
            ),
            "events[0].fields.max_tokens",
        ),
    ];
    for (case, said) in all {
        let cases = format!("- name: a case\n  {case}\n");
        let files = [("policies/p.rhai", policy), ("policies/p.cases.yaml", &*cases)];
        let (_folder, file) = folder(CONFIG, &files);
        let output = tidegate(&file, &["test"]);
        let printed = String::from_utf8(output.stdout).unwrap();
        assert!(printed.contains(said), "{cases}: {printed}");
    }
}
