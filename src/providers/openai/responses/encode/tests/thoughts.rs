//! Reasoning of earlier answers.
use super::*;
use crate::providers::openai::trial::{assistant, call, result, text, user};

fn payload(id: &str, e: &str, n: &[usize], phase: Value) -> String {
    json!({"id": id, "e": e, "n": n, "phase": phase}).to_string()
}

fn thinking(text: &str, payload: &str) -> Value {
    json!({"type": "thinking", "thinking": text, "signature": seal().close("m", payload)})
}

fn reasoning(id: &str, summary: &[&str]) -> Value {
    let summary: Vec<Value> =
        summary.iter().map(|text| json!({"type": "summary_text", "text": text})).collect();
    json!({"type": "reasoning", "id": id, "summary": summary, "encrypted_content": "gA"})
}

fn one(id: &str, text: &str, n: &[usize]) -> Value {
    thinking(text, &payload(id, "gA", n, Value::Null))
}

#[test]
fn reasoning_stands_before_the_item_that_it_led_to() {
    let found = items(json!([
        user(json!("q")),
        assistant(json!([
            one("rs_1", "One.\n\nTwo.", &[4, 4]),
            call("a", json!({})),
            one("rs_2", "", &[]),
            text("so"),
            call("b", json!({})),
        ])),
        user(json!([result("a", json!("1")), result("b", json!("2"))])),
    ]));
    let expected = [
        reasoning("rs_1", &["One.", "Two."]),
        function_call("a", "{}"),
        reasoning("rs_2", &[]),
        json!({"role": "assistant", "content": "so"}),
        function_call("b", "{}"),
    ];
    assert_eq!(found.as_array().unwrap()[1..6], expected);
}

#[test]
fn reasoning_that_led_to_nothing_is_left_out() {
    let user_item = |text: &str| input(json!([input_text(text)]));
    let alone =
        json!([user(json!("q")), assistant(json!([one("rs_1", "x", &[1])])), user(json!("more")),]);
    assert_eq!(items(alone), json!([user_item("q"), user_item("more")]));
    let last = json!([
        user(json!("q")),
        assistant(json!([text("a"), one("rs_1", "x", &[1])])),
        user(json!("more")),
    ]);
    let said = json!({"role": "assistant", "content": "a"});
    assert_eq!(items(last), json!([user_item("q"), said, user_item("more")]));
}

#[test]
fn the_phase_of_a_message_comes_back() {
    let block = thinking("", &payload("rs_1", "gA", &[], json!("commentary")));
    let found = items(json!([
        user(json!("q")),
        assistant(json!([block, text("Looking."), text("Found.")])),
        user(json!("more")),
    ]));
    let expected = [
        reasoning("rs_1", &[]),
        json!({"role": "assistant", "content": "Looking.", "phase": "commentary"}),
        json!({"role": "assistant", "content": "Found."}),
    ];
    assert_eq!(found.as_array().unwrap()[1..4], expected);
}

#[test]
fn foreign_and_unsigned_reasoning_counts_as_absent() {
    let of =
        |signature: Value| json!({"type": "thinking", "thinking": "x", "signature": signature});
    let good = payload("rs_1", "gA", &[1], Value::Null);
    for block in [
        of(json!("")),
        of(json!("EqQBCgIYAhIM")),
        of(json!(Seal::new("other", "responses", "key").close("m", &good))),
        of(json!(Seal::new("up", "chat", "key").close("m", &good))),
        of(json!(seal().close("another-model", &good))),
        json!({"type": "redacted_thinking", "data": "x"}),
        // without encrypted content the server could not find the item
        thinking("x", &payload("rs_1", "", &[1], Value::Null)),
        thinking("x", ""),
    ] {
        let found =
            items(json!([user(json!("q")), assistant(json!([block, call("a", json!({}))])),]));
        assert_eq!(found[1], function_call("a", "{}"), "{block}");
    }
}

#[test]
fn a_request_can_be_encoded_without_earlier_reasoning() {
    let block = one("rs_1", "x", &[1]);
    let more =
        json!({"messages": [user(json!("q")), assistant(json!([block, call("a", json!({}))]))]});
    let without = trial::encoded(
        "openai",
        &ModelFacts::default(),
        &request(more.clone()),
        &seal(),
        |conversation, terms| encode(conversation, terms, Purpose::WithoutReasoning),
    );
    let (with, without) = (case(more).body, without.unwrap().body);
    let kinds = |body: &Value| -> Vec<Value> {
        body["input"].as_array().unwrap().iter().map(|item| item["type"].clone()).collect()
    };
    assert_eq!(kinds(&with)[1..], ["reasoning", "function_call", "function_call_output"]);
    assert_eq!(kinds(&without)[1..], ["function_call", "function_call_output"]);
}
