//! Thinking of another upstream in a conversation: it is removed for an upstream that cannot read it.
use memchr::memmem;
use serde::Deserialize;

use crate::error::{Error, Result};
use crate::wire::content::{Block, Message, elements, listed};
use crate::wire::{Document, MessagesRequest, Step};

/// The beginning of the gateway's own signatures, which hold the reasoning of a translated upstream.
const OURS: &str = "tidegate.";
/// The name of the blocks for clients.
const BLOCKS: &str = "block:thinking";
/// The name of the parameter for clients.
const PARAMETER: &str = "thinking";

/// The blocks to remove.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Which {
    /// Those that no native upstream has signed.
    Unsigned,
    /// All.
    All,
}

/// Removes the thinking that no native upstream has signed. Returns the names of what was removed.
pub(super) fn remove_unsigned(request: &mut MessagesRequest) -> Result<Vec<&'static str>> {
    let Some(messages) = request.document().field("messages") else { return Ok(Vec::new()) };
    // most conversations have none
    match memmem::find(&messages, b"thinking\"").is_some() {
        true => remove(request.document_mut(), Which::Unsigned),
        false => Ok(Vec::new()),
    }
}

/// Removes all thinking. Returns the names of what was removed.
pub(super) fn remove_all(request: &mut MessagesRequest) -> Result<Vec<&'static str>> {
    remove(request.document_mut(), Which::All)
}

/// Returns whether an upstream refused a conversation for thinking that it has not signed.
pub(super) fn is_refused(error: &Error) -> bool {
    let is_400 = error.upstream().is_some_and(|upstream| upstream.status.is_some_and(|s| s == 400));
    let Some(answer) = error.answer().filter(|_| is_400) else { return false };
    let has = |text: &str| memmem::find(answer.body(), text.as_bytes()).is_some();
    has("thinking") && (has("signature") || has("redacted_thinking"))
}

fn remove(document: &mut Document, which: Which) -> Result<Vec<&'static str>> {
    let messages = document.field("messages").unwrap_or_default();
    let mut has_removed = false;
    for (n, message) in elements(&messages).into_iter().enumerate().rev() {
        let content = Message::of(message).and_then(|message| message.content());
        let blocks = content.map(listed).unwrap_or_default();
        let is_gone: Vec<bool> = blocks.iter().map(|block| goes(block.get(), which)).collect();
        let gone = is_gone.iter().enumerate().filter(|(_, is_gone)| **is_gone).map(|(at, _)| at);
        let message = [Step::Key("messages"), Step::Index(n as i64)];
        match is_gone.iter().all(|is_gone| *is_gone) {
            // a message without content is refused
            true if !is_gone.is_empty() => {
                document.remove(&message)?;
            }
            _ => {
                for at in gone.rev() {
                    let [messages, message] = message;
                    document.remove(&[
                        messages,
                        message,
                        Step::Key("content"),
                        Step::Index(at as i64),
                    ])?;
                }
            }
        }
        has_removed |= is_gone.contains(&true);
    }
    match has_removed {
        false => Ok(Vec::new()),
        true if turn_off(document, &messages)? => Ok(vec![BLOCKS, PARAMETER]),
        true => Ok(vec![BLOCKS]),
    }
}

/// Returns whether a block is removed.
fn goes(block: &str, which: Which) -> bool {
    #[derive(Deserialize)]
    struct Signed {
        signature: Option<String>,
    }
    let Some(read) = Block::read(block.as_bytes()) else { return false };
    match (&*read.kind(), which) {
        ("thinking" | "redacted_thinking", Which::All) => true,
        ("thinking", Which::Unsigned) => {
            let signed = serde_json::from_str::<Signed>(block).ok();
            let signature = signed.and_then(|signed| signed.signature).unwrap_or_default();
            signature.is_empty() || signature.starts_with(OURS)
        }
        _ => false,
    }
}

/// Turns thinking with a budget off if the last turn is not finished: such a turn has to begin with thinking.
fn turn_off(document: &mut Document, messages: &[u8]) -> Result<bool> {
    #[derive(Deserialize)]
    struct Thinking {
        r#type: String,
    }
    let thinking = document.field("thinking");
    let thinking = thinking.and_then(|text| serde_json::from_slice::<Thinking>(&text).ok());
    if thinking.is_none_or(|thinking| thinking.r#type != "enabled") {
        return Ok(false);
    }
    let last = elements(messages).pop().and_then(Message::of);
    let blocks = last.and_then(|message| message.content()).map(listed).unwrap_or_default();
    let is_open =
        blocks.into_iter().any(|block| Block::of(block).is_some_and(|b| b.is("tool_result")));
    if is_open {
        document.set(&[Step::Key("thinking")], r#"{"type":"disabled"}"#)?;
    }
    Ok(is_open)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::Response;
    use serde_json::{Value, json};

    use super::*;
    use crate::providers::refusal;
    use crate::wire::Endpoint;

    fn request(messages: Value, thinking: &str) -> MessagesRequest {
        let body = json!({"model": "m", "max_tokens": 9, "thinking": {"type": thinking}, "messages": messages});
        MessagesRequest::parse(Bytes::from(body.to_string()), Endpoint::Messages).unwrap()
    }

    fn messages(request: &MessagesRequest) -> Value {
        serde_json::from_slice(&request.document().field("messages").unwrap()).unwrap()
    }

    fn thinking(signature: &str) -> Value {
        json!({"type": "thinking", "thinking": "x", "signature": signature})
    }

    fn conversation() -> Value {
        let text = json!({"type": "text", "text": "y"});
        let result = json!({"type": "tool_result", "tool_use_id": "t", "content": "z"});
        json!([
            {"role": "user", "content": "a"},
            {"role": "assistant", "content": [thinking("tidegate.abc"), text, thinking("native"), thinking("")]},
            {"role": "user", "content": [text]},
            {"role": "assistant", "content": [{"type": "thinking", "thinking": "x"}]},
            {"role": "user", "content": [result]},
        ])
    }

    #[test]
    fn thinking_that_no_native_upstream_signed_is_removed() {
        let mut request = request(conversation(), "adaptive");
        assert_eq!(remove_unsigned(&mut request).unwrap(), ["block:thinking"]);
        let left = messages(&request);
        assert_eq!(left[1]["content"], json!([{"type": "text", "text": "y"}, thinking("native")]));
        // a message of nothing else is gone
        assert_eq!(left.as_array().unwrap().len(), 4);
        assert_eq!(remove_unsigned(&mut request).unwrap(), [""; 0]);
        assert_eq!(remove_all(&mut request).unwrap(), ["block:thinking"]);
        assert_eq!(messages(&request)[1]["content"], json!([{"type": "text", "text": "y"}]));
    }

    #[test]
    fn a_conversation_without_foreign_thinking_stays_byte_for_byte() {
        let own = json!([
            {"role": "user", "content": "thinking\" aloud"},
            {"role": "assistant", "content": [thinking("native"), {"type": "redacted_thinking", "data": "d"}]},
            {"role": "user", "content": []},
            5,
        ]);
        let mut request = request(own, "enabled");
        assert_eq!(remove_unsigned(&mut request).unwrap(), [""; 0]);
        assert!(!request.document().is_edited());
    }

    #[test]
    fn a_budget_is_turned_off_in_the_middle_of_a_turn_only() {
        let mut open = request(conversation(), "enabled");
        assert_eq!(remove_unsigned(&mut open).unwrap(), ["block:thinking", "thinking"]);
        assert_eq!(&open.document().field("thinking").unwrap()[..], br#"{"type":"disabled"}"#);
        let mut closed = conversation();
        closed.as_array_mut().unwrap().truncate(3);
        let mut closed = request(closed, "enabled");
        assert_eq!(remove_unsigned(&mut closed).unwrap(), ["block:thinking"]);
        assert_eq!(&closed.document().field("thinking").unwrap()[..], br#"{"type":"enabled"}"#);
    }

    #[test]
    fn refusals_of_thinking_are_known_by_their_words() {
        let refused = |status: u16, message: &str| {
            let body = Bytes::from(json!({"error": {"message": message}}).to_string());
            is_refused(&refusal(Response::builder().status(status).body(body).unwrap()))
        };
        assert!(refused(400, "messages.1.content.0: Invalid `signature` in `thinking` block"));
        assert!(refused(400, "Invalid data in `redacted_thinking` block"));
        assert!(refused(400, "messages.1.content.0.thinking.signature: Field required"));
        assert!(!refused(400, "thinking.type: enabled is not supported"));
        assert!(!refused(500, "Invalid `signature` in `thinking` block"));
        assert!(!is_refused(&Error::invalid("thinking signature")));
    }
}
