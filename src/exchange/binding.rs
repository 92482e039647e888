//! Decides whether a conversation holds for the target of its last turn only.
use std::borrow::Cow;

use bytes::Bytes;
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::wire::MessagesRequest;

/// A content block, as far as it may bind.
#[derive(Deserialize)]
struct Block<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    citations: Option<Vec<IgnoredAny>>,
}

/// Returns whether a request names state of one account: a container.
pub(super) fn is_bound(request: &MessagesRequest) -> bool {
    let container = request.document().field("container");
    container.is_some_and(|container| &container[..] != b"null")
}

/// Returns whether blocks of an answer hold for their target only. Texts and calls of client tools are
/// good anywhere. Thinking is signed, citations and results of the upstream's own tools hold encrypted
/// parts, and a type that the gateway does not know may hold anything.
pub(super) fn binds(blocks: &[Bytes]) -> bool {
    blocks.iter().any(|block| match serde_json::from_slice::<Block<'_>>(block) {
        Ok(Block { kind, citations }) => match &*kind {
            "text" => citations.is_some_and(|citations| !citations.is_empty()),
            "tool_use" => false,
            _ => true,
        },
        Err(_) => true,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

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
        ] {
            assert!(binds(&[Bytes::from_static(block.as_bytes())]), "{block}");
        }
    }
}
