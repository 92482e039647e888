//! Answers and streams of Gemini become Messages answers.
mod ends;
mod generated;
mod streams;
mod wholes;

use bytes::Bytes;
use serde_json::{Value, json};

use super::*;
use crate::error::Error;
use crate::providers::timed::Decoder;
use crate::providers::translate::decode::{self, Translated};
use crate::providers::translate::envelope::Seal;
use crate::providers::translate::machine::Frame;
use crate::providers::translate::names::{self, Ids, Names};
use crate::testing;
use crate::testing::grammar;
use crate::wire::message::Fold;
use crate::wire::{Event, EventKind};

fn seal() -> Seal {
    Seal::new("up", "studio", "key")
}

fn frame() -> Frame {
    Frame {
        asked_model: "alias".to_owned(),
        model: "m".to_owned(),
        estimate: 7,
        names: Names::default(),
        stops: Vec::new(),
        seal: seal(),
        shows_thinking: true,
    }
}

/// Returns a chunk with these parts.
fn chunk(parts: Value) -> Value {
    json!({"candidates": [{"index": 0, "content": {"role": "model", "parts": parts}}]})
}

/// Returns a last chunk with these parts.
fn last(parts: Value, reason: &str) -> Value {
    let mut chunk = chunk(parts);
    chunk["candidates"][0]["finishReason"] = reason.into();
    chunk
}

fn sse(chunks: &[Value]) -> String {
    chunks.iter().map(|chunk| format!("data: {chunk}\r\n\r\n")).collect()
}

/// Returns the events of a stream. `text` is the body, sent in pieces of `size` bytes.
fn events_of(text: &str, size: usize) -> Result<Vec<Event>, Error> {
    let mut decoder = Translated::new(Gemini::default(), frame());
    let mut events = Vec::new();
    for piece in text.as_bytes().chunks(size) {
        decoder.push(Bytes::copy_from_slice(piece));
        while let Some(event) = decoder.next_event()? {
            events.push(event);
        }
    }
    while !events.last().is_some_and(|event| event.kind == EventKind::MessageStop) {
        match decoder.finish()? {
            Some(event) => events.push(event),
            None => break,
        }
    }
    Ok(events)
}

/// Returns the message that a stream describes, and checks its grammar.
fn fold(events: &[Event]) -> Value {
    assert_eq!(grammar::check(&testing::seen(events)), Ok(()));
    let mut fold = Fold::default();
    for event in events {
        fold.push(event).unwrap();
    }
    message(&fold.finish().unwrap())
}

/// Returns a message without its id, with the upstream's signatures in place of the envelopes.
fn message(json: &[u8]) -> Value {
    let mut message: Value = serde_json::from_slice(json).unwrap();
    assert!(message["id"].as_str().unwrap().starts_with("msg_"));
    message.as_object_mut().unwrap().shift_remove("id");
    for block in message["content"].as_array_mut().unwrap() {
        if let Some(envelope) = block.get("signature").and_then(Value::as_str) {
            block["signature"] = seal().open("m", envelope).unwrap().into();
        }
        if block["type"] == "tool_use" && block["id"].as_str().unwrap().starts_with("toolu_") {
            block["id"] = "made".into();
        }
    }
    message
}

fn whole(body: &Value) -> Result<Value, Error> {
    let body = body.to_string();
    decode::message(&mut Gemini::default(), body.as_bytes(), frame()).map(|json| message(&json))
}

/// Returns the message of these chunks. It is the same at every size of the pieces.
fn streamed(chunks: &[Value]) -> Value {
    let text = sse(chunks);
    let found = fold(&events_of(&text, text.len()).unwrap());
    for size in [1, 2, 7, 64] {
        assert_eq!(fold(&events_of(&text, size).unwrap()), found, "{size}");
    }
    found
}

/// Returns the content of parts, which is the same in a stream and as a whole.
fn content(parts: Value) -> Value {
    let one = whole(&last(parts.clone(), "STOP")).unwrap();
    let mut chunks: Vec<Value> =
        parts.as_array().unwrap().iter().map(|part| chunk(json!([part]))).collect();
    chunks.push(last(json!([{"text": ""}]), "STOP"));
    assert_eq!(streamed(&chunks)["content"], one["content"]);
    one["content"].clone()
}

fn text(text: &str) -> Value {
    json!({"type": "text", "text": text})
}

fn thinking(text: &str, payload: &str) -> Value {
    json!({"type": "thinking", "thinking": text, "signature": payload})
}

fn call(name: &str, input: Value) -> Value {
    json!({"type": "tool_use", "id": "made", "name": name, "input": input})
}

/// Returns the kind, the status and the message of a failed stream after `chunks`.
fn failure(chunks: &[Value]) -> (&'static str, u16, String) {
    let error = events_of(&sse(chunks), 4096).unwrap_err();
    (error.kind.as_str(), error.status().as_u16(), error.message)
}
