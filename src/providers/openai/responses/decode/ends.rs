//! The ends of an answer: its status, and the errors within a success status.
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::providers::openai::members::{is_filled, string};
use crate::providers::openai::usage;
use crate::providers::translate::ops::{Finish, Op};
use crate::providers::translate::rejected::ApiError;

/// The part of an answer that says how it ended.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Ending<'a> {
    #[serde(borrow)]
    status: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
    #[serde(borrow)]
    incomplete_details: Option<&'a RawValue>,
    #[serde(borrow)]
    usage: Option<&'a RawValue>,
}

impl Ending<'_> {
    /// Returns the steps of the end. `refusal` is the text with which the model refused, and `event` the word of
    /// the last event, which counts if the answer itself has no status.
    pub(super) fn steps(self, refusal: Option<String>, searches: u64, event: &str) -> Vec<Op> {
        let mut ops = Vec::new();
        if let Some(mut tokens) = self.usage.and_then(usage::tokens) {
            tokens.searches = searches;
            ops.push(Op::Usage(tokens));
        }
        let status = self.status.and_then(string);
        let status = status.as_deref().filter(|status| !status.is_empty()).unwrap_or(event);
        let error = self.error.filter(|raw| is_filled(raw));
        let last = match status {
            _ if let Some(error) = error => return [ops, failed(&value(Some(error)))].concat(),
            "failed" => return [ops, failed(&json!({}))].concat(),
            "cancelled" | "queued" | "in_progress" => {
                let message = format!("the upstream ended its answer with the status `{status}`");
                Op::Fail(ApiError::failure(&json!({"message": message})))
            }
            "incomplete" => Op::Finish(self.incomplete(refusal)),
            _ => Op::Finish(refusal.map_or(Finish::Turn, |text| Finish::Refusal(Some(text)))),
        };
        ops.extend([last, Op::Done]);
        ops
    }

    fn incomplete(&self, refusal: Option<String>) -> Finish {
        let details = value(self.incomplete_details);
        match details["reason"].as_str() {
            Some("max_output_tokens" | "max_tokens") => Finish::MaxTokens,
            Some("content_filter") => Finish::Refusal(refusal),
            _ => refusal.map_or(Finish::Turn, |text| Finish::Refusal(Some(text))),
        }
    }
}

fn value(raw: Option<&RawValue>) -> Value {
    raw.and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default()
}

/// Returns the steps of an error within an answer. An error of a policy is a refusal of the model.
pub(super) fn failed(error: &Value) -> Vec<Op> {
    let code = error["code"].as_str().unwrap_or_default();
    let message = error["message"].as_str().filter(|message| !message.is_empty());
    let status = match code {
        "bio_policy" | "misalignment_policy_violation" => {
            let finish = Finish::Refusal(message.map(str::to_owned));
            return vec![Op::Finish(finish), Op::Done];
        }
        "server_error" | "vector_store_timeout" => 500,
        "invalid_prompt" | "data_residency_mismatch" | "context_length_exceeded" => 400,
        _ if code.contains("image") => 400,
        _ => return vec![Op::Fail(ApiError::failure(error))],
    };
    let told = json!({"type": code, "code": status, "message": message});
    vec![Op::Fail(ApiError::failure(&told))]
}
