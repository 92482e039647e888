//! The parts that the tests of both encoders share.
use serde_json::{Map, Value, json};

use crate::error::Result;
use crate::net::egress::collector::Fetched;
use crate::providers::dropped::Loss;
use crate::providers::openai::draft::Terms;
use crate::providers::openai::profile::Profile;
use crate::providers::translate::conversation::Conversation;
use crate::providers::translate::encoded::Encoded;
use crate::providers::translate::envelope::Seal;
use crate::providers::translate::facts::ModelFacts;

/// An encoding with its losses.
pub(super) struct Case {
    pub(super) body: Value,
    pub(super) dropped: Vec<String>,
    pub(super) hints: Vec<String>,
    pub(super) stops: Vec<String>,
}

/// The encoder of an API.
pub(super) type Encode = for<'a> fn(&'a Conversation<'a>, Terms<'a>) -> Result<Encoded>;

/// Encodes a request for a server.
pub(super) fn encoded(
    flavor: &str,
    facts: &ModelFacts,
    request: &Value,
    seal: &Seal,
    encode: Encode,
) -> Result<Case> {
    let profile = Profile::build(flavor, &Map::new()).unwrap();
    let raw = request.to_string();
    let conversation = Conversation::read(raw.as_bytes())?;
    let fetched = Fetched::default();
    let terms = Terms { profile: &profile, facts, seal, fetched: &fetched };
    let encoded = encode(&conversation, terms)?;
    let names = |loss: Loss| -> Vec<String> {
        let of_kind = encoded.dropped.iter().filter(|one| one.loss == loss);
        of_kind.map(|one| one.name.to_string()).collect()
    };
    Ok(Case {
        body: serde_json::from_slice(&encoded.body).unwrap(),
        dropped: [names(Loss::Content), names(Loss::Fetch)].concat(),
        hints: names(Loss::Hint),
        stops: encoded.stops.clone(),
    })
}

/// Returns a small request with more members.
pub(super) fn request(more: Value) -> Value {
    let mut body =
        json!({"model": "m", "max_tokens": 99, "messages": [{"role": "user", "content": "hi"}]});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

pub(super) fn user(content: Value) -> Value {
    json!({"role": "user", "content": content})
}

pub(super) fn assistant(content: Value) -> Value {
    json!({"role": "assistant", "content": content})
}

pub(super) fn text(text: &str) -> Value {
    json!({"type": "text", "text": text})
}

pub(super) fn call(id: &str, input: Value) -> Value {
    json!({"type": "tool_use", "id": id, "name": "f", "input": input})
}

pub(super) fn result(id: &str, content: Value) -> Value {
    json!({"type": "tool_result", "tool_use_id": id, "content": content})
}

/// Returns the facts of a model with these values of the effort.
pub(super) fn efforts(list: &[&str]) -> ModelFacts {
    let efforts = list.iter().map(|effort| (*effort).to_owned()).collect();
    ModelFacts { efforts: Some(efforts), ..ModelFacts::default() }
}
