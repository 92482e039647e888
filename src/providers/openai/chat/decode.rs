//! The parser of Chat Completions: answers and chunks of a stream, as steps. Servers differ in nearly every
//! member, so an absent member, `null` and a member of a wrong kind are the same here.
mod calls;
mod details;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use calls::{Calls, Function, Piece, ToolCall};
use details::Details;

use crate::error::Result;
use crate::providers::openai::chat::think::ThinkTags;
use crate::providers::openai::members::{event_error, failure, is_filled, string};
use crate::providers::openai::profile::Profile;
use crate::providers::openai::usage;
use crate::providers::translate::decode::{Parser, unreadable};
use crate::providers::translate::ops::{Finish, Op};
use crate::providers::translate::rejected::ApiError;
use crate::providers::translate::sse::SseEvent;

/// The parser of one answer.
#[derive(Default)]
pub(crate) struct Chat {
    calls: Calls,
    details: Details,
    tags: Option<ThinkTags>,
    /// The text that the server repeats at the beginning of a whole answer.
    prefill: Option<String>,
    refusal: Option<String>,
}

/// A chunk of a stream, or a whole answer.
#[derive(Deserialize)]
struct Chunk<'a> {
    #[serde(borrow)]
    error: Option<&'a RawValue>,
    #[serde(borrow)]
    choices: Option<Vec<Choice<'a>>>,
    #[serde(borrow)]
    usage: Option<&'a RawValue>,
    #[serde(borrow)]
    x_groq: Option<Groq<'a>>,
}

#[derive(Deserialize)]
struct Groq<'a> {
    #[serde(borrow)]
    error: Option<&'a RawValue>,
    #[serde(borrow)]
    usage: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Choice<'a> {
    #[serde(borrow)]
    index: Option<&'a RawValue>,
    #[serde(borrow)]
    delta: Option<Delta<'a>>,
    #[serde(borrow)]
    message: Option<Delta<'a>>,
    #[serde(borrow)]
    finish_reason: Option<&'a RawValue>,
    /// vLLM: the stop sequence that matched.
    #[serde(borrow)]
    stop_reason: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Delta<'a> {
    #[serde(borrow)]
    content: Option<&'a RawValue>,
    #[serde(borrow)]
    refusal: Option<&'a RawValue>,
    #[serde(borrow)]
    reasoning_content: Option<&'a RawValue>,
    #[serde(borrow)]
    reasoning: Option<&'a RawValue>,
    #[serde(borrow)]
    reasoning_details: Option<&'a RawValue>,
    #[serde(borrow)]
    tool_calls: Option<Vec<Option<ToolCall<'a>>>>,
    #[serde(borrow)]
    function_call: Option<Function<'a>>,
}

impl Delta<'_> {
    /// Numbers the calls of a whole message. Each is a call of its own, whatever its id is.
    fn number_calls(&mut self) {
        let calls = self.tool_calls.iter_mut().flatten().flatten();
        for (n, call) in (0..).zip(calls) {
            call.position = Some(n);
        }
    }
}

impl Chat {
    /// Makes the parser of an answer. `prefill` is the text that the request ended with.
    pub(crate) fn new(profile: &Profile, prefill: Option<String>) -> Self {
        let tags = profile.think_tags.then(ThinkTags::default);
        Self { tags, prefill, ..Self::default() }
    }

    fn chunk(&mut self, chunk: Chunk<'_>) -> Vec<Op> {
        let groq = chunk.x_groq.as_ref();
        let error = chunk.error.or(groq.and_then(|groq| groq.error)).filter(|raw| is_filled(raw));
        let mut ops = Vec::new();
        let usage = chunk.usage.or(groq.and_then(|groq| groq.usage));
        ops.extend(usage.and_then(usage::tokens).map(Op::Usage));
        if let Some(error) = error {
            ops.push(failure(error));
            return ops;
        }
        let is_first = |choice: &Choice<'_>| {
            choice.index.is_none_or(|index| matches!(index.get(), "0" | "null"))
        };
        if let Some(choice) = chunk.choices.into_iter().flatten().find(is_first) {
            ops.extend(self.choice(choice));
        }
        ops
    }

    fn choice(&mut self, choice: Choice<'_>) -> Vec<Op> {
        let mut ops = Vec::new();
        match (choice.delta, choice.message) {
            (Some(delta), _) => ops.extend(self.delta(delta)),
            (None, Some(mut message)) => {
                message.number_calls();
                ops.extend(self.delta(message));
            }
            (None, None) => {}
        }
        if let Some(error) = choice.error.filter(|raw| is_filled(raw)) {
            ops.push(failure(error));
            return ops;
        }
        if let Some(reason) = choice.finish_reason.and_then(string) {
            ops.extend(self.rest());
            let matched = choice.stop_reason.and_then(string);
            ops.push(self.finish(&reason, matched));
        }
        ops
    }

    fn delta(&mut self, delta: Delta<'_>) -> Vec<Op> {
        let mut ops = Vec::new();
        let reasoning = [delta.reasoning_content, delta.reasoning];
        let text = reasoning.into_iter().flatten().filter_map(string).find(|text| !text.is_empty());
        let detailed = delta.reasoning_details.and_then(|raw| self.details.push(raw));
        ops.extend(text.map(Cow::into_owned).or(detailed).map(Op::Thinking));
        if let Some(content) = delta.content {
            ops.extend(self.content(content));
        }
        if let Some(refusal) = delta.refusal.and_then(string).filter(|text| !text.is_empty()) {
            self.refusal.get_or_insert_default().push_str(&refusal);
            ops.push(Op::Text(refusal.into_owned()));
        }
        for call in delta.tool_calls.into_iter().flatten().flatten() {
            let piece = Piece::of(&call);
            ops.extend(self.details.take());
            ops.extend(self.calls.push(piece));
        }
        if let Some(function) = delta.function_call {
            ops.extend(self.details.take());
            ops.extend(self.calls.push(Piece::of_function(&function)));
        }
        ops
    }

    /// Reads a content: a text, or a list of parts as Mistral sends it.
    fn content(&mut self, content: &RawValue) -> Vec<Op> {
        let mut ops = Vec::new();
        match string(content) {
            Some(text) if text.is_empty() => {}
            Some(text) => {
                ops.extend(self.details.take());
                ops.extend(self.calls.settle());
                match &mut self.tags {
                    Some(tags) => ops.extend(tags.push(&text)),
                    None => ops.push(Op::Text(text.into_owned())),
                }
            }
            None => {
                let parts: Vec<Value> = serde_json::from_str(content.get()).unwrap_or_default();
                for part in &parts {
                    ops.extend(part_of(part));
                }
            }
        }
        ops
    }

    /// Returns the steps that only the end of the content completes.
    fn rest(&mut self) -> Vec<Op> {
        let mut ops: Vec<Op> = self.details.take().into_iter().collect();
        ops.extend(self.calls.settle());
        ops.extend(self.tags.as_mut().and_then(ThinkTags::flush));
        ops
    }

    fn finish(&self, reason: &str, matched: Option<Cow<'_, str>>) -> Op {
        let finish = match reason {
            "length" | "model_length" | "max_tokens" => Finish::MaxTokens,
            "content_filter"
            | "content_filtered"
            | "sensitive"
            | "guardrail_intervened"
            | "safety" => Finish::Refusal(self.refusal.clone()),
            "error" | "network_error" | "abort" => {
                let message = format!("the upstream ended its answer with `{reason}`");
                let value = serde_json::json!({"message": message});
                return Op::Fail(ApiError::failure(&value));
            }
            _ => match (&self.refusal, matched) {
                (Some(refusal), _) => Finish::Refusal(Some(refusal.clone())),
                (None, Some(stop)) if reason == "stop" && !stop.is_empty() => {
                    Finish::Stop(stop.into_owned())
                }
                _ => Finish::Turn,
            },
        };
        Op::Finish(finish)
    }
}

impl Parser for Chat {
    fn event(&mut self, event: &SseEvent) -> Result<Vec<Op>> {
        let data = event.data.trim_ascii();
        if data == b"[DONE]" {
            let mut ops = self.rest();
            ops.push(Op::Done);
            return Ok(ops);
        }
        if event.name == "error" {
            return Ok(vec![Op::Fail(ApiError::failure(&event_error(data)))]);
        }
        let chunk = serde_json::from_slice::<Chunk<'_>>(data).map_err(|e| {
            unreadable("the upstream sent an event that is no chunk of Chat Completions")
                .with_source(e)
        })?;
        Ok(self.chunk(chunk))
    }

    fn whole(&mut self, body: &[u8]) -> Result<Vec<Op>> {
        let chunk: Chunk<'_> = serde_json::from_slice(body).map_err(|e| {
            unreadable("the upstream's answer is none of Chat Completions").with_source(e)
        })?;
        if chunk.choices.as_ref().is_none_or(Vec::is_empty) && chunk.error.is_none() {
            return Err(unreadable("the upstream's answer has no `choices`"));
        }
        let mut ops = self.chunk(chunk);
        if let Some(prefill) = self.prefill.take() {
            without_prefill(&mut ops, &prefill);
        }
        // an answer without a reason ends as its content says
        ops.extend(self.rest());
        ops.push(Op::Finish(Finish::Turn));
        Ok(ops)
    }
}

/// Removes the text that some servers repeat at the beginning of a whole answer.
fn without_prefill(ops: &mut [Op], prefill: &str) {
    let first = ops.iter_mut().find_map(|op| match op {
        Op::Text(text) => Some(text),
        _ => None,
    });
    if let Some(text) = first
        && let Some(rest) = text.strip_prefix(prefill)
    {
        *text = rest.to_owned();
    }
}

fn part_of(part: &Value) -> Vec<Op> {
    let text = |value: &Value| value.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
    match part["type"].as_str() {
        Some("text" | "output_text") => text(&part["text"]).map(Op::Text).into_iter().collect(),
        Some("refusal") => text(&part["refusal"]).map(Op::Text).into_iter().collect(),
        Some("thinking") => {
            let inner = part["thinking"].as_array().into_iter().flatten();
            inner.filter_map(|one| text(&one["text"])).map(Op::Thinking).collect()
        }
        _ => Vec::new(),
    }
}
