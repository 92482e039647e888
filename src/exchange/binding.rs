//! Decides whether a conversation is bound to the target of its last turn.
use bytes::Bytes;

use crate::wire::MessagesRequest;
use crate::wire::content::Block;

/// Returns whether a request names state of one account: a container.
pub(super) fn is_bound(request: &MessagesRequest) -> bool {
    let container = request.document().field("container");
    container.is_some_and(|container| &container[..] != b"null")
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
