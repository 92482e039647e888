//! The contents of a conversation as Gemini takes them: turns alternate, the responses of functions stand directly
//! after their calls in the order of these, and the first call of each step has its signature.
use std::borrow::Cow;

use super::body::{
    Content, FunctionCall, FunctionResponse, Json, Media, Outcome, Part, PartBody, Role,
};
use super::config::Backend;
use super::encode::Encoder;
use super::families::Signatures;
use super::signature::{Place, Signed};
use crate::providers::translate::conversation::{self as asked, BlockBody, input_json};
use crate::providers::translate::names::{self, Ids};
use crate::providers::translate::texts;

/// The text for a call without a result.
const NO_RESULT: &str = "[no result]";
/// The text before a conversation that the assistant begins: the upstream expects the user first.
const BEGINNING: &str = "[the conversation begins with the assistant's message]";
/// The signature that the API documents for calls whose own one is not available.
const PLACEHOLDER: &str = "skip_thought_signature_validator";

/// The contents under construction.
#[derive(Default)]
struct Assembler<'a> {
    out: Vec<Content<'a>>,
    /// The calls of the last content of the model, with their responses.
    calls: Vec<Pending<'a>>,
    /// Media of results that cannot stand in a response.
    moved: Vec<Part<'a>>,
    /// Parts of the user in the content of the responses.
    beside: Vec<Part<'a>>,
    /// Parts of the user in a content of their own, from an instruction on.
    apart: Vec<Part<'a>>,
}

struct Pending<'a> {
    /// The id as the client knows it.
    id: &'a str,
    name: Cow<'a, str>,
    result: Option<Response<'a>>,
}

/// The result of a tool.
struct Response<'a> {
    outcome: Outcome<'a>,
    media: Vec<Media<'a>>,
    /// The media that stand after all responses.
    moved: Vec<Part<'a>>,
}

/// The parts of one message of the assistant.
#[derive(Default)]
struct Turn<'a> {
    parts: Vec<Part<'a>>,
    calls: Vec<Pending<'a>>,
    /// The signature of the next call.
    signature: Option<String>,
}

/// Gives the first call of a content the placeholder if it has no signature.
fn sign_first_call(content: &mut Content<'_>) {
    let is_call = |part: &&mut Part<'_>| matches!(part.body, PartBody::FunctionCall(_));
    if let Some(first) = content.parts.iter_mut().find(is_call) {
        first.thought_signature.get_or_insert(Cow::Borrowed(PLACEHOLDER));
    }
}

impl<'a> Assembler<'a> {
    /// Returns whether the last content is the model's, and nothing of the user follows it.
    fn continues(&self) -> bool {
        let is_model = self.out.last().is_none_or(|last| last.role == Role::Model);
        let is_silent = self.moved.is_empty() && self.beside.is_empty() && self.apart.is_empty();
        is_model && is_silent && self.calls.iter().all(|call| call.result.is_none())
    }

    /// Writes the responses of the last calls, and the parts of the user after them.
    fn settle(&mut self, encoder: &Encoder<'a>) {
        let mut parts = Vec::new();
        for call in std::mem::take(&mut self.calls) {
            let result = call.result.unwrap_or_else(|| Response {
                outcome: Outcome::Output(Cow::Borrowed(NO_RESULT)),
                media: Vec::new(),
                moved: Vec::new(),
            });
            self.moved.extend(result.moved);
            parts.push(Part::of(PartBody::FunctionResponse(FunctionResponse {
                name: call.name,
                response: result.outcome,
                id: encoder.id(call.id),
                parts: result.media,
            })));
        }
        parts.append(&mut self.moved);
        parts.append(&mut self.beside);
        for parts in [parts, std::mem::take(&mut self.apart)] {
            if !parts.is_empty() {
                self.out.push(Content { role: Role::User, parts });
            }
        }
    }

    /// Adds parts of the user.
    fn add(&mut self, parts: impl IntoIterator<Item = Part<'a>>) {
        match self.apart.is_empty() {
            true => self.beside.extend(parts),
            false => self.apart.extend(parts),
        }
    }

    fn find(&mut self, id: &str) -> Option<&mut Pending<'a>> {
        self.calls.iter_mut().find(|call| call.id == id)
    }
}

impl<'a> Encoder<'a> {
    /// Returns the contents of the conversation.
    pub(super) fn contents(&mut self) -> Vec<Content<'a>> {
        let mut assembler = Assembler::default();
        let conversation = self.conversation;
        for (n, message) in conversation.messages.iter().enumerate() {
            let place = format!("/messages/{n}/content");
            match message.role {
                asked::Role::System => self.mid_system(message, &mut assembler),
                asked::Role::User => self.user(message, &place, &mut assembler),
                asked::Role::Assistant => self.assistant(message, &place, &mut assembler),
            }
        }
        let is_prefill = assembler.continues() && assembler.calls.is_empty();
        assembler.settle(self);
        let mut out = assembler.out;
        if is_prefill && !out.is_empty() {
            let place = format!("/messages/{}", conversation.messages.len() - 1);
            self.drop_content("prefill", place, "the upstream may begin a new text");
        }
        if out.first().is_some_and(|first| first.role == Role::Model) {
            out.insert(0, Content { role: Role::User, parts: vec![Part::text(BEGINNING)] });
        }
        if self.terms.family.signatures == Signatures::Required {
            out.iter_mut().for_each(sign_first_call);
        }
        out
    }

    /// Returns the upstream's form of a call's id: Vertex AI refuses ids.
    fn id(&self, id: &'a str) -> Option<Cow<'a, str>> {
        match self.terms.backend {
            Backend::Studio => Some(names::for_upstream(id, Ids::Any)),
            Backend::Vertex => None,
        }
    }

    /// Adds an instruction in the middle of the conversation: a marked text of the user that never stands in the
    /// content of responses.
    fn mid_system(&mut self, message: &'a asked::Message<'a>, assembler: &mut Assembler<'a>) {
        for (text, block) in texts::system(&message.content) {
            self.note_cache(block.cache_control, "/messages");
            let part = Part::text(texts::marked_system(text));
            match assembler.calls.is_empty() {
                true => assembler.add([part]),
                false => assembler.apart.push(part),
            }
        }
    }

    fn user(
        &mut self,
        message: &'a asked::Message<'a>,
        place: &str,
        assembler: &mut Assembler<'a>,
    ) {
        for (n, block) in message.content.0.iter().enumerate() {
            let place = format!("{place}/{n}");
            let BlockBody::ToolResult { id, content, is_error } = &block.body else {
                let parts = self.parts(block, &place);
                assembler.add(parts);
                continue;
            };
            self.note_cache(block.cache_control, &place);
            let result = self.result(id, content, *is_error, &place);
            match assembler.find(id) {
                Some(call) if call.result.is_none() => call.result = Some(result),
                _ => {
                    let (Outcome::Output(text) | Outcome::Error(text)) = result.outcome;
                    let label = Part::text(format!("[result of the call {id}]"));
                    let text = (!text.is_empty()).then(|| Part::text(text));
                    let media = result.media.into_iter().map(|m| Part::of(PartBody::Media(m)));
                    assembler.add([label].into_iter().chain(text).chain(media).chain(result.moved));
                }
            }
        }
    }

    /// Returns the result of a tool. Media that the family cannot take in a response move after all responses.
    fn result(
        &mut self,
        id: &'a str,
        content: &'a asked::Content<'a>,
        is_error: bool,
        place: &str,
    ) -> Response<'a> {
        let (mut texts, mut media, mut moved) =
            (Vec::<Cow<'a, str>>::new(), Vec::new(), Vec::new());
        let mut parts = Vec::new();
        for (n, block) in content.0.iter().enumerate() {
            parts.extend(self.parts(block, &format!("{place}/content/{n}")));
        }
        for part in parts {
            match part.body {
                PartBody::Text(text) => texts.push(text),
                PartBody::Media(own) if self.terms.family.takes_media_in_results() => {
                    media.push(own);
                }
                _ => {
                    let number = moved.len() / 2 + 1;
                    let name = format!("[media {number} of the result of call {id}");
                    texts.push(format!("{name} follows the results]").into());
                    moved.push(Part::text(format!("{name}]")));
                    moved.push(part);
                }
            }
        }
        let text = match texts.len() {
            1 => texts.remove(0),
            _ => texts.join("\n").into(),
        };
        let outcome = match (is_error, text.is_empty()) {
            (false, _) => Outcome::Output(text),
            (true, true) => Outcome::Error("Error".into()),
            (true, false) => Outcome::Error(text),
        };
        Response { outcome, media, moved }
    }

    fn assistant(
        &mut self,
        message: &'a asked::Message<'a>,
        place: &str,
        assembler: &mut Assembler<'a>,
    ) {
        let mut turn = Turn::default();
        for (n, block) in message.content.0.iter().enumerate() {
            match &block.body {
                BlockBody::Thinking { text, signature } => {
                    self.earlier_thought(text, signature, &mut turn);
                }
                BlockBody::RedactedThinking => self.foreign_thought(),
                BlockBody::ToolUse { id, name, input } => {
                    self.note_cache(block.cache_control, place);
                    self.call(id, name, input, &mut turn);
                }
                _ => turn.parts.extend(self.parts(block, &format!("{place}/{n}"))),
            }
        }
        if turn.parts.is_empty() {
            return;
        }
        let continues = assembler.continues();
        if !continues {
            assembler.settle(self);
        }
        match assembler.out.last_mut() {
            Some(last) if continues => last.parts.append(&mut turn.parts),
            _ => assembler.out.push(Content { role: Role::Model, parts: turn.parts }),
        }
        assembler.calls.extend(turn.calls);
    }

    fn call(
        &mut self,
        id: &'a str,
        name: &'a str,
        input: &'a serde_json::value::RawValue,
        turn: &mut Turn<'a>,
    ) {
        let name = self.name(name);
        let call = FunctionCall { name: name.clone(), args: args(input), id: self.id(id) };
        let mut part = Part::of(PartBody::FunctionCall(call));
        part.thought_signature = turn.signature.take().map(Cow::Owned);
        turn.parts.push(part);
        turn.calls.push(Pending { id, name, result: None });
    }

    /// Adds a thought of an earlier turn if this upstream made it, and returns its signature to its place.
    fn earlier_thought(&mut self, text: &'a str, signature: &str, turn: &mut Turn<'a>) {
        let opened =
            self.terms.seal.and_then(|seal| seal.open(&self.conversation.model, signature));
        let Some(payload) = opened else { return self.foreign_thought() };
        let signed = Signed::read(&payload);
        if !text.is_empty() {
            let mut part = Part::text(text);
            part.thought = true;
            turn.parts.push(part);
        }
        let Some(Signed { place, signature }) = signed else { return };
        let signature = signature.to_owned();
        match place {
            Place::Call => turn.signature = Some(signature),
            Place::Empty => turn.parts.push(signed_part("", signature)),
            Place::Thought => match turn.parts.last_mut() {
                Some(thought) if !text.is_empty() => {
                    thought.thought_signature = Some(signature.into());
                }
                _ => {
                    let mut part = signed_part("", signature);
                    part.thought = true;
                    turn.parts.push(part);
                }
            },
            Place::Text => match turn.parts.last_mut() {
                Some(part) if is_unsigned_text(part) => {
                    part.thought_signature = Some(signature.into());
                }
                _ => turn.parts.push(signed_part("", signature)),
            },
        }
    }

    fn foreign_thought(&mut self) {
        let reason = "only reasoning of the same upstream and model goes back";
        self.drop_hint("block:thinking", "/messages", reason);
    }
}

fn signed_part(text: &str, signature: String) -> Part<'_> {
    let mut part = Part::text(text);
    part.thought_signature = Some(signature.into());
    part
}

fn is_unsigned_text(part: &Part<'_>) -> bool {
    matches!(part.body, PartBody::Text(_)) && !part.thought && part.thought_signature.is_none()
}

/// Returns the arguments of a call: an object in any case.
fn args(input: &serde_json::value::RawValue) -> Json<'_> {
    let json = input_json(input);
    match json.trim_start().starts_with('{') {
        true => Json(json.into()),
        false => Json(format!("{{\"input\":{json}}}").into()),
    }
}
