//! Answers and streams of Responses, as servers send them, become Messages answers.
mod deviations;
mod ends;
mod generated;
mod made;
mod outputs;

use serde_json::{Value, json};

use super::*;
use crate::error::{Error, ErrorKind};
use crate::providers::translate::decode;
use crate::providers::translate::machine::Frame;
use crate::providers::translate::trial::{self, fold, message};
use crate::wire::Event as Sent;

fn frame() -> Frame {
    trial::frame("responses")
}

/// Returns events as the body of a stream.
fn body(events: &[Value]) -> String {
    let frame = |event: &Value| {
        let name = event["type"].as_str().unwrap();
        format!("event: {name}\ndata: {event}\n\n")
    };
    events.iter().map(frame).collect()
}

fn sent(text: &str, size: usize, frame: Frame) -> Result<Vec<Sent>, Error> {
    trial::events_of(Responses::default(), text, size, frame)
}

/// Returns the message of a stream of events, however it is cut.
fn streamed(events: &[Value]) -> Result<Value, Error> {
    let text = body(events);
    let found = fold(&sent(&text, usize::MAX, frame())?);
    for size in [1, 7, 64] {
        assert_eq!(fold(&sent(&text, size, frame())?), found, "{size}");
    }
    Ok(found)
}

fn whole(answer: &Value) -> Result<Value, Error> {
    let mut parser = Responses::default();
    let body = answer.to_string();
    decode::message(&mut parser, body.as_bytes(), frame()).map(|json| message(&json))
}

fn content(message: &Value) -> Vec<Value> {
    message["content"].as_array().unwrap().clone()
}

/// Returns the payload of a thinking block.
fn payload(block: &Value) -> Value {
    let payload = frame().seal.open("m", block["signature"].as_str().unwrap()).unwrap();
    serde_json::from_str(&payload).unwrap_or(Value::Null)
}
