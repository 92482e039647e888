//! Answers and streams of Chat Completions, as servers send them, become Messages answers.
mod deltas;
mod generated;
mod wholes;

use serde_json::{Map, Value, json};

use super::*;
use crate::error::Error;
use crate::providers::translate::decode;
use crate::providers::translate::machine::Frame;
use crate::providers::translate::trial::{self, fold, message};
use crate::wire::Event;

pub(super) fn frame() -> Frame {
    trial::frame("chat")
}

fn parser(flavor: &str) -> Chat {
    Chat::new(&Profile::build(flavor, &Map::new()).unwrap(), None)
}

fn events_of(text: &str, size: usize, frame: Frame) -> Result<Vec<Event>, Error> {
    trial::events_of(parser("generic"), text, size, frame)
}

/// Returns the message of a stream of chunks; `delta` chunks are given by their `choices[0]`.
fn streamed(choices: &[Value]) -> Value {
    let mut text = String::new();
    for choice in choices {
        text.push_str(&format!("data: {}\n\n", json!({"choices": [choice]})));
    }
    text.push_str("data: [DONE]\n\n");
    fold(&events_of(&text, usize::MAX, frame()).unwrap())
}

fn whole(body: &Value) -> Result<Value, Error> {
    let body = body.to_string();
    decode::message(&mut parser("generic"), body.as_bytes(), frame()).map(|json| message(&json))
}

fn delta(delta: Value) -> Value {
    json!({"index": 0, "delta": delta, "finish_reason": null})
}

fn end(reason: &str) -> Value {
    json!({"index": 0, "delta": {}, "finish_reason": reason})
}

fn call(index: Value, id: Value, name: Value, arguments: Value) -> Value {
    delta(json!({"tool_calls": [
        {"index": index, "id": id, "type": "function", "function": {"name": name, "arguments": arguments}},
    ]}))
}

fn tool_use(id: &str, name: &str, input: Value) -> Value {
    json!({"type": "tool_use", "id": id, "name": name, "input": input})
}
