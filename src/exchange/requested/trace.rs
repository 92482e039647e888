//! How an answer came about, for a caller that asks: `x-tidegate-trace`.
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use serde_json::{Value, json};

use crate::error::Error;
use crate::net::headers;

/// A header has to stay small, whatever the config says of retries.
const MAX_NOTES: usize = 48;
const MAX_NAME: usize = 128;

/// What happened, in order. Names of the config, statuses and times: no address, no credential.
#[derive(Debug, Default)]
pub struct Trace {
    notes: Vec<Note>,
}

/// One attempt, or a target that was passed over.
#[derive(Debug)]
pub struct Note {
    target: String,
    went: Went,
}

#[derive(Debug)]
enum Went {
    Well(Duration),
    Wrong(Duration, u16, &'static str),
    PassedOver,
}

impl Note {
    /// A target was asked.
    pub fn attempt(target: &HeaderValue, answer: Result<(), &Error>, took: Duration) -> Self {
        let went = match answer {
            Ok(()) => Went::Well(took),
            Err(error) => Went::Wrong(took, error.status().as_u16(), error.kind.as_str()),
        };
        Self { target: name(target), went }
    }

    /// A target was left alone, since it failed a moment ago.
    pub fn cooling(target: &HeaderValue) -> Self {
        Self { target: name(target), went: Went::PassedOver }
    }

    fn to_json(&self) -> Value {
        let target = &self.target;
        match self.went {
            Went::Well(took) => json!({"target": target, "status": 200, "ms": millis(took)}),
            Went::Wrong(took, status, kind) => {
                json!({"target": target, "status": status, "error": kind, "ms": millis(took)})
            }
            Went::PassedOver => json!({"target": target, "skipped": "cooling"}),
        }
    }
}

impl Trace {
    /// More of it.
    pub fn add(&mut self, notes: Vec<Note>) {
        self.notes.extend(notes);
    }

    /// One line of JSON. `editors` are the stages that changed the request.
    pub fn to_header(&self, took: Duration, editors: &[Arc<str>]) -> HeaderValue {
        let shown: Vec<Value> = self.notes.iter().take(MAX_NOTES).map(Note::to_json).collect();
        let mut trace = json!({
            "attempts": shown,
            "ms": millis(took),
        });
        if !editors.is_empty() {
            let names = editors.iter().take(MAX_NOTES);
            trace["edited_by"] =
                names.map(|name| name.chars().take(MAX_NAME).collect::<String>()).collect();
        }
        if self.notes.len() > MAX_NOTES {
            trace["omitted"] = (self.notes.len() - MAX_NOTES).into();
        }
        headers::value(&ascii(&trace.to_string()))
    }
}

fn millis(took: Duration) -> u64 {
    took.as_millis() as u64
}

fn name(target: &HeaderValue) -> String {
    target.to_str().unwrap_or_default().chars().take(MAX_NAME).collect()
}

/// Everything else as JSON escapes: headers carry no other characters.
fn ascii(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c.is_ascii() {
            true => out.push(c),
            false => c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| {
                out.push_str(&format!("\\u{unit:04x}"));
            }),
        }
    }
    out
}
