//! The parser of Gemini: answers and chunks of a stream, as steps. A chunk is a whole answer whose parts are added
//! to those before it. An absent member, `null` and a member of a wrong kind are the same here.
mod chunk;
#[cfg(test)]
mod tests;
mod usage;

use std::borrow::Cow;

use serde_json::value::RawValue;
use serde_json::{Value, json};

use chunk::{Call, Candidate, Chunk, Part, object, string};

use super::signature::{Place, Signed};
use crate::error::Result;
use crate::providers::translate::decode::{Parser, unreadable};
use crate::providers::translate::ops::{Finish, Op};
use crate::providers::translate::rejected::ApiError;
use crate::providers::translate::sse::SseEvent;
use crate::wire::message::is_object;

/// The parser of one answer.
#[derive(Default)]
pub(crate) struct Gemini {
    /// The number of calls so far.
    calls: u64,
    /// Whether a text, a call or a placeholder has come.
    has_content: bool,
}

impl Gemini {
    fn chunk(&mut self, raw: &RawValue) -> Vec<Op> {
        let chunk: Chunk<'_> = object(raw).unwrap_or_default();
        let mut ops = Vec::new();
        ops.extend(chunk.usage_metadata.and_then(usage::tokens).map(Op::Usage));
        if let Some(error) = chunk.error.filter(|raw| is_filled(raw)) {
            let error: Value = serde_json::from_str(error.get()).unwrap_or_default();
            ops.push(Op::Fail(ApiError::failure(&error)));
            return ops;
        }
        match chunk.candidate() {
            Some(candidate) => self.candidate(&candidate, &mut ops),
            None => ops.extend(chunk.prompt_feedback.and_then(blocked)),
        }
        ops
    }

    fn candidate(&mut self, candidate: &Candidate<'_>, ops: &mut Vec<Op>) {
        for part in candidate.parts() {
            self.part(&part, ops);
        }
        if let Some(reason) = candidate.finish_reason.and_then(string)
            && !reason.is_empty()
        {
            let message = candidate.finish_message.and_then(string);
            ops.push(self.finish(&reason, message));
        }
    }

    fn part(&mut self, part: &Part<'_>, ops: &mut Vec<Op>) {
        let signature = part.thought_signature.and_then(string);
        let signed = |place| {
            let signature = signature.as_deref().filter(|signature| !signature.is_empty())?;
            Some(Op::Signature(Signed { place, signature }.payload()))
        };
        let text = part.text.and_then(string);
        if let Some(call) = part.function_call.and_then(object) {
            ops.extend(signed(Place::Call));
            self.call(&call, ops);
        } else if let Some(text) = text.as_deref().filter(|text| !text.is_empty()) {
            let is_thought = part.thought.is_some_and(|raw| raw.get() == "true");
            let place = if is_thought { Place::Thought } else { Place::Text };
            ops.push(match is_thought {
                true => Op::Thinking(text.to_owned()),
                false => Op::Text(text.to_owned()),
            });
            self.has_content |= !is_thought;
            ops.extend(signed(place));
        } else if let Some(shown) = part.shown() {
            // the signature of a part that the client does not receive cannot come back on that part
            self.has_content = true;
            ops.push(Op::Text(shown));
        } else {
            ops.extend(signed(Place::Empty));
        }
    }

    fn call(&mut self, call: &Call<'_>, ops: &mut Vec<Op>) {
        let name = call.name.and_then(string).map(Cow::into_owned);
        let args = call.args.map_or("{}", |raw| match raw.get() {
            "null" => "{}",
            json => json,
        });
        let shown: String = name.as_deref().unwrap_or_default().chars().take(128).collect();
        if call.is_partial() {
            let message = format!(
                "the upstream sent the arguments of its call of the tool `{shown}` in pieces, which the gateway did not request"
            );
            return ops.push(failed(&message));
        }
        if !is_object(args.as_bytes()) {
            let message = format!(
                "the upstream's call of the tool `{shown}` has arguments that are no JSON object"
            );
            return ops.push(failed(&message));
        }
        let key = self.calls;
        self.calls += 1;
        self.has_content = true;
        let id = call.id.and_then(string).map(Cow::into_owned);
        ops.push(Op::Call { key, id, name });
        ops.push(Op::Args { key, json: args.to_owned() });
    }

    fn finish(&self, reason: &str, message: Option<Cow<'_, str>>) -> Op {
        let message = message.filter(|message| !message.is_empty()).map(Cow::into_owned);
        let words = || {
            let default = || format!("the upstream ended its answer with `{reason}`");
            message.clone().unwrap_or_else(default)
        };
        Op::Finish(match reason {
            "STOP" => Finish::Turn,
            // the limit of one request; the upstream could go on in another one
            "MAX_TOKENS" | "CONTINUATION" => Finish::MaxTokens,
            "SAFETY"
            | "RECITATION"
            | "BLOCKLIST"
            | "PROHIBITED_CONTENT"
            | "SPII"
            | "LANGUAGE"
            | "MODEL_ARMOR"
            | "IMAGE_SAFETY"
            | "IMAGE_PROHIBITED_CONTENT"
            | "IMAGE_RECITATION"
            | "ESCALATION"
            | "PUP_LIMITED_DISABLED" => Finish::Refusal(message),
            "MISSING_THOUGHT_SIGNATURE" => {
                let error = json!({"code": 400, "status": "INVALID_ARGUMENT", "message": words()});
                return Op::Fail(ApiError::failure(&error));
            }
            "MALFORMED_FUNCTION_CALL"
            | "UNEXPECTED_TOOL_CALL"
            | "TOO_MANY_TOOL_CALLS"
            | "MALFORMED_RESPONSE" => return failed(&words()),
            // `OTHER`, and reasons that nobody knows yet
            _ if self.has_content => Finish::Turn,
            _ => return failed(&words()),
        })
    }

    /// Reads the data of an event: a chunk, or a list of chunks from a proxy that ignores `alt=sse`.
    fn chunks(&mut self, data: &[u8]) -> Result<Vec<Op>> {
        let wrong =
            |e| unreadable("the upstream sent an answer that is none of Gemini's").with_source(e);
        if data.trim_ascii_start().first() == Some(&b'[') {
            let list: Vec<&RawValue> = serde_json::from_slice(data).map_err(wrong)?;
            return Ok(list.into_iter().flat_map(|raw| self.chunk(raw)).collect());
        }
        let raw: &RawValue = serde_json::from_slice(data).map_err(wrong)?;
        Ok(self.chunk(raw))
    }
}

impl Parser for Gemini {
    fn event(&mut self, event: &SseEvent) -> Result<Vec<Op>> {
        let data = event.data.trim_ascii();
        match data {
            // some proxies add the end that other APIs have
            b"[DONE]" => Ok(Vec::new()),
            _ => self.chunks(data),
        }
    }

    fn whole(&mut self, body: &[u8]) -> Result<Vec<Op>> {
        let body = body.trim_ascii();
        let mut ops = self.chunks(body)?;
        let is_end = |op: &Op| matches!(op, Op::Finish(_) | Op::Fail(_));
        // a single answer leaves out a reason that is unspecified; a list of chunks without one was cut
        if body.first() == Some(&b'{') && !ops.iter().any(is_end) {
            match self.has_content {
                true => ops.push(Op::Finish(Finish::Turn)),
                false => return Err(unreadable("the upstream's answer has no content")),
            }
        }
        Ok(ops)
    }
}

/// Returns the refusal of a prompt that the upstream blocked.
fn blocked(feedback: &RawValue) -> Option<Op> {
    let feedback: Value = serde_json::from_str(feedback.get()).ok()?;
    let reason = feedback["blockReason"].as_str().filter(|reason| !reason.is_empty())?;
    let message = feedback["blockReasonMessage"].as_str().filter(|message| !message.is_empty());
    let default = || format!("the upstream blocked the prompt: {reason}");
    let explanation = message.map_or_else(default, str::to_owned);
    Some(Op::Finish(Finish::Refusal(Some(explanation))))
}

fn failed(message: &str) -> Op {
    Op::Fail(ApiError::failure(&json!({"message": message})))
}

fn is_filled(raw: &RawValue) -> bool {
    !matches!(raw.get(), "null" | "false" | "{}" | "\"\"")
}
