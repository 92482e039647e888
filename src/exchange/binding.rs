//! Decides whether a conversation is bound to the target of its last turn.
use bytes::Bytes;
use memchr::memmem;
use serde_json::Value;

use crate::error::Result;
use crate::wire::content::Block;
use crate::wire::{Document, Kind, MessagesRequest, Step};

/// Returns whether a request names state of one account: a container or a file.
pub(super) fn is_bound(request: &MessagesRequest) -> bool {
    let container = request.document().field("container");
    container.is_some_and(|container| &container[..] != b"null") || has_files(request)
}

/// Returns whether a block of a request names a file of the account.
pub(super) fn has_files(request: &MessagesRequest) -> bool {
    let messages = request.document().field("messages").unwrap_or_default();
    // in a text, the quotes of a JSON key are escaped
    memmem::find(&messages, b"\"file_id\"").is_some()
        && serde_json::from_slice(&messages).is_ok_and(|messages| names_file(&messages))
}

fn names_file(value: &Value) -> bool {
    let is_file = ["file", "container_upload"].iter().any(|kind| value["type"] == **kind);
    match value {
        Value::Object(_) if is_file && value["file_id"].is_string() => true,
        Value::Object(members) => {
            let outer =
                members.iter().filter(|(key, _)| ["content", "source"].contains(&key.as_str()));
            outer.into_iter().any(|(_, value)| names_file(value))
        }
        Value::Array(items) => items.iter().any(names_file),
        _ => false,
    }
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
    use crate::wire::Endpoint;

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
    fn only_files_of_the_account_are_bound() {
        let binds = |content: &str| {
            let body = format!(
                r#"{{"model":"m","max_tokens":1,"messages":[{{"role":"user","content":{content}}}]}}"#
            );
            let request = MessagesRequest::parse(body.into(), Endpoint::Messages);
            is_bound(&request.unwrap())
        };
        for bound in [
            r#"[{"type":"document","source":{"type":"file","file_id":"f"}}]"#,
            r#"[{"type":"container_upload","file_id":"f"}]"#,
            r#"[{"type":"tool_result","tool_use_id":"t","content":[{"type":"image","source":{"type":"file","file_id":"f"}}]}]"#,
        ] {
            assert!(binds(bound), "{bound}");
        }
        for free in [
            r#""say \"file_id\"""#,
            r#"[{"type":"document","source":{"type":"url","url":"u"}}]"#,
            r#"[{"type":"tool_use","id":"t","name":"n","input":{"type":"file","file_id":"f"}}]"#,
            r#"[{"type":"document","source":{"type":"file","file_id":null}}]"#,
        ] {
            assert!(!binds(free), "{free}");
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
