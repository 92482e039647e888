//! The `message_delta` of a translated answer.
use serde_json::{Value, json};

use crate::providers::translate::ops::{Finish, Tokens};

/// Returns the data of `message_delta`. An answer with tool calls ends for them.
pub(super) fn message_delta(finish: Option<&Finish>, has_calls: bool, tokens: Tokens) -> Value {
    let turn = if has_calls { "tool_use" } else { "end_turn" };
    let (reason, sequence, details) = match finish {
        None | Some(Finish::Turn) => (turn, None, None),
        Some(Finish::MaxTokens) => ("max_tokens", None, None),
        Some(Finish::Stop(sequence)) => ("stop_sequence", Some(sequence), None),
        Some(Finish::Refusal(explanation)) => {
            let details = json!({"type": "refusal", "category": null, "explanation": explanation});
            ("refusal", None, Some(details))
        }
    };
    let mut delta = json!({"stop_reason": reason, "stop_sequence": sequence});
    if let Some(details) = details {
        delta["stop_details"] = details;
    }
    json!({"type": "message_delta", "delta": delta, "usage": usage(tokens)})
}

fn usage(tokens: Tokens) -> Value {
    let mut usage = json!({
        "input_tokens": tokens.input,
        "cache_creation_input_tokens": tokens.cache_write,
        "cache_read_input_tokens": tokens.cache_read,
        "output_tokens": tokens.output,
    });
    if let Some(thinking) = tokens.thinking {
        usage["output_tokens_details"] = json!({"thinking_tokens": thinking});
    }
    if tokens.searches > 0 {
        usage["server_tool_use"] = json!({"web_search_requests": tokens.searches});
    }
    usage
}
