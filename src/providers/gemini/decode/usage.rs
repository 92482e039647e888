//! The token counts of an answer in the Messages API's form.
use serde_json::Value;
use serde_json::value::RawValue;

use crate::providers::translate::ops::Tokens;

/// Reads `usageMetadata`; `None` if it is no object. A count that is left out is 0.
pub(super) fn tokens(raw: &RawValue) -> Option<Tokens> {
    let usage: Value = serde_json::from_str(raw.get()).ok()?;
    usage.as_object()?;
    let count = |name: &str| count(&usage[name]);
    let cached = count("cachedContentTokenCount").unwrap_or_default();
    let prompt = count("promptTokenCount").unwrap_or_default().saturating_sub(cached);
    let thoughts = count("thoughtsTokenCount");
    let candidates = count("candidatesTokenCount").unwrap_or_default();
    Some(Tokens {
        input: prompt.saturating_add(count("toolUsePromptTokenCount").unwrap_or_default()),
        cache_read: cached,
        cache_write: 0,
        output: candidates.saturating_add(thoughts.unwrap_or_default()),
        thinking: thoughts,
        searches: 0,
    })
}

/// Returns a count; `None` if it is absent. A negative one is 0.
fn count(value: &Value) -> Option<u64> {
    match value {
        Value::Number(number) => Some(number.as_u64().unwrap_or_default()),
        // Google writes 64-bit numbers as texts in some answers
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
}
