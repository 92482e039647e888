//! Messages requests as Chat Completions requests: one case for each row of the tables.
mod fields;
mod tools;
mod turns;

use serde_json::{Map, Value, json};

use super::*;
use crate::error::Result;
use crate::providers::dropped::Loss;
use crate::providers::openai::profile::Profile;
use crate::providers::translate::encoded::Fetched;
use crate::providers::translate::envelope::Seal;
use crate::providers::translate::facts::{ModelFacts, Sampling};

/// An encoding with its losses of content.
struct Case {
    body: Value,
    dropped: Vec<String>,
    hints: Vec<String>,
    stops: Vec<String>,
}

fn seal() -> Seal {
    Seal::new("up", "chat", "key")
}

fn encoded(flavor: &str, facts: &ModelFacts, request: &Value) -> Result<Case> {
    let profile = Profile::build(flavor, &Map::new()).unwrap();
    let raw = request.to_string();
    let conversation = Conversation::read(raw.as_bytes())?;
    let (seal, fetched) = (seal(), Fetched::new());
    let terms = Terms { profile: &profile, facts, seal: &seal, fetched: &fetched };
    let encoded = encode(&conversation, terms)?;
    let names = |loss: Loss| -> Vec<String> {
        let of_kind = encoded.dropped.iter().filter(|one| one.loss == loss);
        of_kind.map(|one| one.name.to_string()).collect()
    };
    Ok(Case {
        body: serde_json::from_slice(&encoded.body).unwrap(),
        dropped: names(Loss::Content),
        hints: names(Loss::Hint),
        stops: encoded.stops.clone(),
    })
}

fn request(more: Value) -> Value {
    let mut body =
        json!({"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

fn case(flavor: &str, more: Value) -> Case {
    encoded(flavor, &ModelFacts::default(), &request(more)).unwrap()
}

/// Returns the messages of a conversation.
fn messages(flavor: &str, messages: Value) -> Value {
    case(flavor, json!({"messages": messages})).body["messages"].clone()
}
