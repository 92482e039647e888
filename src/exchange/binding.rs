//! Decides whether a conversation is bound to the target of its last turn.
use bytes::Bytes;
use serde_json::Value;

use crate::error::Result;
use crate::wire::content::Block;
use crate::wire::{Document, Kind, MessagesRequest, Step};

/// Returns whether a request names state of one account: a container.
pub(super) fn is_bound(request: &MessagesRequest) -> bool {
    let container = request.document().field("container");
    container.is_some_and(|container| &container[..] != b"null")
}

/// Names the container of an answer in the next request, beside the caller's own members such as `skills`.
pub(super) fn reuse(document: &mut Document, container: &Value) -> Result<()> {
    let Some(id) = container["id"].as_str() else { return Ok(()) };
    let at = Step::Key("container");
    match document.kind(&[at])? {
        Some(Kind::Object) => document.set_value(&[at, Step::Key("id")], &id),
        _ => document.set_value(&[at], &id),
    }
}

/// Returns whether blocks of an answer are valid for their target only. Texts and calls of client
/// tools are valid for every target. Thinking is signed, and citations and results of the
/// upstream's own tools hold encrypted parts. A block of an unknown type may hold anything.
pub(super) fn binds(blocks: &[Bytes]) -> bool {
    blocks.iter().any(|block| match Block::read(block) {
        Some(block) => match &*block.kind() {
            "text" => block.cites(),
            "tool_use" => false,
            _ => true,
        },
        None => true,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_is_named_beside_the_members_that_the_caller_wrote() {
        for (own, wanted) in [
            ("", r#""c2""#),
            (r#","container":null"#, r#""c2""#),
            (r#","container":"c1""#, r#""c2""#),
            (r#","container":{"skills":[1]}"#, r#"{"skills":[1],"id":"c2"}"#),
            (r#","container":{"id":"c1","skills":[]}"#, r#"{"id":"c2","skills":[]}"#),
        ] {
            let mut document = Document::parse(format!(r#"{{"model":"m"{own}}}"#).into()).unwrap();
            reuse(&mut document, &serde_json::json!({"id": "c2", "expires_at": "x"})).unwrap();
            let found = document.field("container").unwrap();
            assert_eq!(std::str::from_utf8(&found).unwrap(), wanted, "{own}");
        }
    }

    #[test]
    fn texts_and_tool_calls_bind_nothing() {
        let free = [
            r#"{"type":"text","text":"hi"}"#,
            r#"{"type":"text","text":"hi","citations":null}"#,
            r#"{"type":"text","text":"hi","citations":[]}"#,
            r#"{"type":"tool_use","id":"toolu_1","name":"x","input":{}}"#,
        ];
        assert!(!binds(&free.map(|block| Bytes::from_static(block.as_bytes()))));
    }

    #[test]
    fn thinking_citations_server_tools_and_unknown_blocks_bind() {
        for block in [
            r#"{"type":"thinking","thinking":"x","signature":"s"}"#,
            r#"{"type":"redacted_thinking","data":"x"}"#,
            r#"{"type":"server_tool_use","id":"srvtoolu_1","name":"web_search","input":{}}"#,
            r#"{"type":"text","text":"hi","citations":[{"type":"web_search_result_location"}]}"#,
            r#"{"type":"block_of_the_future"}"#,
            r#"{"text":"a block without a type"}"#,
            r#"{"type":"text","text":"hi","citations":{"of":"the future"}}"#,
            r#"["text"]"#,
        ] {
            assert!(binds(&[Bytes::from_static(block.as_bytes())]), "{block}");
        }
    }
}
