//! The token counts of OpenAI's APIs in the Messages API's form. Chat Completions and Responses name them differently.
use serde_json::Value;
use serde_json::value::RawValue;

use crate::providers::translate::ops::Tokens;

/// Reads `usage`; `None` if it is no object.
pub(super) fn tokens(raw: &RawValue) -> Option<Tokens> {
    let usage: Value = serde_json::from_str(raw.get()).ok()?;
    usage.as_object()?;
    let details = either(&usage, "prompt_tokens_details", "input_tokens_details");
    let cached = first(&[
        &details["cached_tokens"],
        &usage["prompt_cache_hit_tokens"],
        &usage["cached_tokens"],
    ]);
    let written = count(&details["cache_write_tokens"]);
    let prompt = count(either(&usage, "prompt_tokens", "input_tokens"));
    let completion = count(either(&usage, "completion_tokens", "output_tokens"));
    let thinking =
        &either(&usage, "completion_tokens_details", "output_tokens_details")["reasoning_tokens"];
    let reasoning = count(thinking);
    // xAI counts reasoning beside the completion, and only its total says so
    let is_beside = reasoning > 0
        && usage["total_tokens"].is_number()
        && count(&usage["total_tokens"]) == prompt + completion + reasoning;
    Some(Tokens {
        input: prompt.saturating_sub(cached).saturating_sub(written),
        cache_read: cached,
        cache_write: written,
        output: if is_beside { completion + reasoning } else { completion },
        thinking: thinking.is_number().then_some(reasoning),
        searches: 0,
    })
}

/// Returns a member by its name on Chat Completions, else by its name on Responses.
fn either<'v>(usage: &'v Value, chat: &str, responses: &str) -> &'v Value {
    if usage[chat].is_null() { &usage[responses] } else { &usage[chat] }
}

fn first(values: &[&Value]) -> u64 {
    values.iter().find(|value| value.is_number()).map_or(0, |value| count(value))
}

/// Returns a count; some servers send fractions, negative numbers or `null`.
pub(super) fn count(value: &Value) -> u64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the number is at least 0, and a cast ends at the largest count"
    )]
    let rounded = |number: f64| number.max(0.0) as u64;
    value.as_u64().or_else(|| value.as_f64().map(rounded)).unwrap_or_default()
}
