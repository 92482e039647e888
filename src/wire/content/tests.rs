//! Tests of the reader of messages and content blocks.
use std::borrow::Cow;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Block, Message, elements, listed};

fn block(json: &str) -> Block<'_> {
    Block::read(json.as_bytes()).unwrap()
}

#[test]
fn strings_without_escapes_are_borrowed() {
    let read = block(r#"{"type":"text","text":"Flut – 5 €"}"#);
    assert!(matches!(read.text(), Some(Cow::Borrowed("Flut – 5 €"))));
    assert!(matches!(read.kind(), Cow::Borrowed("text")));
}

#[test]
fn strings_with_escapes_are_decoded() {
    let read = block(r#"{"ty\u0070e":"te\u0078t","text":"a\n\"b\""}"#);
    assert!(read.is("text"));
    assert_eq!(read.text().as_deref(), Some("a\n\"b\""));
    // half a character
    assert_eq!(block(r#"{"text":"\ud83c"}"#).text(), None);
}

#[test]
fn a_member_of_another_type_is_absent() {
    let read = block(r#"{"type":5,"id":null,"name":["x"],"text":{},"citations":[]}"#);
    assert_eq!(read.kind(), "");
    assert_eq!((read.id(), read.name(), read.text()), (None, None, None));
    assert!(!read.is_cited());
}

#[test]
fn the_last_of_two_members_counts_as_it_does_upstream() {
    let read = block(r#"{"type":"text","input":1,"type":"tool_use","input":{"a":1.50}}"#);
    assert!(read.is("tool_use"));
    assert_eq!(read.input().unwrap().get(), r#"{"a":1.50}"#);
}

#[test]
fn only_objects_are_blocks_and_messages() {
    for json in [r#"["text"]"#, r#""text""#, "null", "{", "", "\u{feff}{}"] {
        assert!(Block::read(json.as_bytes()).is_none(), "{json}");
        assert!(Message::read(json.as_bytes()).is_none(), "{json}");
    }
    assert!(Block::read(b"{\"type\":\"\xff\"}").is_none());
}

#[test]
fn a_source_is_an_address_or_an_object() {
    let result = block(r#"{"type":"search_result","source":"https://sea.example"}"#);
    assert_eq!(result.source_address().as_deref(), Some("https://sea.example"));
    assert!(result.source().is_none());
    let image = block(
        r#"{"type":"image","source":{"type":"base64","media_type":"image/png","data":"aGk="}}"#,
    );
    assert_eq!(image.source_address(), None);
    let source = image.source().unwrap();
    assert_eq!(source.media_type().as_deref(), Some("image/png"));
    assert_eq!(source.data().as_deref(), Some("aGk="));
}

#[test]
fn citations_are_on_where_the_block_says_so() {
    assert!(block(r#"{"citations":{"enabled":true}}"#).is_cited());
    for off in [r#"{"enabled":false}"#, "{}", "null", r#"[{"enabled":true}]"#, r#"{"enabled":1}"#] {
        assert!(!block(&format!(r#"{{"citations":{off}}}"#)).is_cited(), "{off}");
    }
}

#[test]
fn a_message_has_a_role_and_a_content() {
    let message = Message::read(br#" {"role":"user","content":[{"type":"text"},5]} "#).unwrap();
    assert_eq!(message.role().as_deref(), Some("user"));
    let blocks = listed(message.content().unwrap());
    assert_eq!(blocks.iter().map(|raw| raw.get()).collect::<Vec<_>>(), [r#"{"type":"text"}"#, "5"]);
    assert!(Block::of(blocks[0]).is_some_and(|block| block.is("text")));
    assert!(elements(br#""a bare text""#).is_empty());
}

proptest! {
    #[test]
    fn a_block_reads_the_same_values_as_a_parsed_tree(
        kind in ".{0,8}", text in ".{0,24}", name in ".{0,8}", is_pretty in any::<bool>(),
    ) {
        let whole = json!({"more": [{"type": "no"}], "type": kind, "text": text, "name": name});
        let json = match is_pretty {
            true => serde_json::to_string_pretty(&whole).unwrap(),
            false => whole.to_string(),
        };
        let read = block(&json);
        let tree: Value = serde_json::from_str(&json).unwrap();
        prop_assert_eq!(Some(&*read.kind()), tree["type"].as_str());
        let (text, name) = (read.text().unwrap(), read.name().unwrap());
        prop_assert_eq!(Some(&*text), tree["text"].as_str());
        prop_assert_eq!(Some(&*name), tree["name"].as_str());
    }
}
