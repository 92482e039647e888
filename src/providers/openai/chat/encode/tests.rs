//! Messages requests as Chat Completions requests: one case for each row of the tables.
mod fields;
mod tools;
mod turns;

use serde_json::{Value, json};

use super::*;
use crate::error::Result;
use crate::providers::openai::trial::{self, Case, request};
use crate::providers::translate::envelope::Seal;
use crate::providers::translate::facts::{ModelFacts, Sampling};

fn seal() -> Seal {
    Seal::new("up", "chat", "key")
}

fn encoded(flavor: &str, facts: &ModelFacts, request: &Value) -> Result<Case> {
    trial::encoded(flavor, facts, request, &seal(), encode)
}

fn case(flavor: &str, more: Value) -> Case {
    encoded(flavor, &ModelFacts::default(), &request(more)).unwrap()
}

/// Returns the messages of a conversation.
fn messages(flavor: &str, messages: Value) -> Value {
    case(flavor, json!({"messages": messages})).body["messages"].clone()
}
