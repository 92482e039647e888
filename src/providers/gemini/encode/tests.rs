//! Messages requests as `generateContent` requests: one case for each row of the tables.
mod fields;
mod media;
mod reasoning;
mod signatures;
mod tools;
mod turns;

use serde_json::{Value, json};

use super::*;
use crate::providers::dropped::Loss;
use crate::providers::gemini::signature::{Place, Signed};
use crate::providers::translate::names;

/// A model whose calls need signatures.
const NEW: &str = "gemini-3.5-flash";
/// A model of the generation before.
const OLD: &str = "gemini-2.5-flash";

/// An encoding with its losses.
struct Case {
    body: Value,
    dropped: Vec<String>,
    hints: Vec<String>,
    encoded: Encoded,
}

/// The facts of a test.
struct Given {
    model: &'static str,
    backend: Backend,
    facts: ModelFacts,
    fetched: Fetched,
}

impl Given {
    fn new(model: &'static str) -> Self {
        let (facts, fetched) = (ModelFacts::default(), Fetched::default());
        Self { model, backend: Backend::Studio, facts, fetched }
    }

    fn vertex(model: &'static str) -> Self {
        Self { backend: Backend::Vertex, ..Self::new(model) }
    }

    fn seal(&self) -> Seal {
        Seal::new("up", self.backend.name(), "key")
    }

    /// Returns the signature of a thinking block that this upstream has made.
    fn signature(&self, place: Place, signature: &str) -> String {
        self.seal().close(self.model, &Signed { place, signature }.payload())
    }

    fn encode(&self, more: Value) -> Result<Case> {
        let messages = json!([{"role": "user", "content": "hi"}]);
        let mut request = json!({"model": self.model, "max_tokens": 9, "messages": messages});
        request.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let raw = request.to_string();
        let conversation = Conversation::read(raw.as_bytes())?;
        let seal = self.seal();
        let encoded = encode(
            &conversation,
            Terms {
                backend: self.backend,
                family: Family::of(self.model),
                facts: &self.facts,
                seal: Some(&seal),
                fetched: &self.fetched,
                safety: &[],
            },
        )?;
        let names = |loss: Loss| -> Vec<String> {
            let of_kind = encoded.dropped.iter().filter(|one| one.loss == loss);
            of_kind.map(|one| one.name.to_string()).collect()
        };
        Ok(Case {
            body: serde_json::from_slice(&encoded.body).unwrap(),
            dropped: [names(Loss::Content), names(Loss::Fetch)].concat(),
            hints: names(Loss::Hint),
            encoded,
        })
    }

    fn case(&self, more: Value) -> Case {
        self.encode(more).unwrap()
    }

    /// Returns the contents of a conversation.
    fn contents(&self, messages: Value) -> Value {
        self.case(json!({"messages": messages})).body["contents"].clone()
    }
}

fn case(more: Value) -> Case {
    Given::new(NEW).case(more)
}

fn contents(messages: Value) -> Value {
    Given::new(NEW).contents(messages)
}

fn user(content: Value) -> Value {
    json!({"role": "user", "content": content})
}

fn assistant(content: Value) -> Value {
    json!({"role": "assistant", "content": content})
}

fn call(id: &str, name: &str) -> Value {
    json!({"type": "tool_use", "id": id, "name": name, "input": {}})
}

fn result(id: &str, content: Value) -> Value {
    json!({"type": "tool_result", "tool_use_id": id, "content": content})
}

/// Returns parts without their signatures.
fn unsigned(mut contents: Value) -> Value {
    for content in contents.as_array_mut().unwrap() {
        for part in content["parts"].as_array_mut().unwrap() {
            part.as_object_mut().unwrap().shift_remove("thoughtSignature");
        }
    }
    contents
}
