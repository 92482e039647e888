//! The token counts of an answer in the Messages API's form.
use serde_json::Value;
use serde_json::value::RawValue;

use crate::providers::translate::ops::Tokens;

/// The counts so far. They are cumulative; a count that a later report leaves out keeps its value.
#[derive(Default)]
pub(super) struct Counts {
    prompt: u64,
    cached: u64,
    of_tools: u64,
    candidates: u64,
    thoughts: Option<u64>,
}

impl Counts {
    /// Takes a report and returns the counts; `None` if the report is no object.
    pub(super) fn merge(&mut self, raw: &RawValue) -> Option<Tokens> {
        let usage: Value = serde_json::from_str(raw.get()).ok()?;
        usage.as_object()?;
        let take = |held: &mut u64, name: &str| {
            if let Some(count) = count(&usage[name]) {
                *held = count;
            }
        };
        take(&mut self.prompt, "promptTokenCount");
        take(&mut self.cached, "cachedContentTokenCount");
        take(&mut self.of_tools, "toolUsePromptTokenCount");
        take(&mut self.candidates, "candidatesTokenCount");
        self.thoughts = count(&usage["thoughtsTokenCount"]).or(self.thoughts);
        Some(Tokens {
            input: self.prompt.saturating_sub(self.cached).saturating_add(self.of_tools),
            cache_read: self.cached,
            cache_write: 0,
            output: self.candidates.saturating_add(self.thoughts.unwrap_or_default()),
            thinking: self.thoughts,
            searches: 0,
        })
    }
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
