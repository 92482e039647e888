//! Messages requests as Responses requests: one case for each row of the tables.
mod fields;
mod items;
mod thoughts;
mod tools;

use serde_json::{Value, json};

use super::*;
use crate::error::Result;
use crate::providers::openai::trial::{self, Case, request};
use crate::providers::translate::envelope::Seal;
use crate::providers::translate::facts::{ModelFacts, Sampling};

fn seal() -> Seal {
    Seal::new("up", "responses", "key")
}

fn encoded(flavor: &str, facts: &ModelFacts, request: &Value) -> Result<Case> {
    trial::encoded(flavor, facts, request, &seal(), |conversation, terms| {
        encode(conversation, terms, Purpose::Answer)
    })
}

fn with_facts(facts: &ModelFacts, more: Value) -> Case {
    encoded("openai", facts, &request(more)).unwrap()
}

fn case(more: Value) -> Case {
    with_facts(&ModelFacts::default(), more)
}

/// Returns the items of a conversation.
fn items(messages: Value) -> Value {
    case(json!({"messages": messages})).body["input"].clone()
}

/// Returns a message of the user as the server receives it.
fn input(parts: Value) -> Value {
    json!({"role": "user", "content": parts})
}

fn input_text(text: &str) -> Value {
    json!({"type": "input_text", "text": text})
}

fn function_call(id: &str, arguments: &str) -> Value {
    json!({"type": "function_call", "call_id": id, "name": "f", "arguments": arguments})
}

fn output(id: &str, output: Value) -> Value {
    json!({"type": "function_call_output", "call_id": id, "output": output})
}
