//! Tests of the walk over the texts of a document.
use bytes::Bytes;

use super::*;
use crate::wire::content::places::Part::{
    Messages, References, System, ToolInputs, ToolResults, Tools, Unknown, User,
};

const ALL: &[Part] = &[System, Messages, ToolResults, ToolInputs, Tools, References, User, Unknown];

/// Returns path and JSON of every text and value of these parts.
fn seen(json: &str, place: &[Step<'_>], parts: &[Part]) -> Vec<String> {
    let mut document = Document::parse(Bytes::copy_from_slice(json.as_bytes())).unwrap();
    let mut all = Vec::new();
    let walked = document.texts(place, parts, |seen| {
        let (sign, found) = match seen {
            Seen::Object => return Ok(()),
            Seen::Text(found) => ("", found),
            Seen::Values(found) => ("*", found),
        };
        let path: Vec<String> = found
            .path
            .iter()
            .map(|name| match name {
                Name::Key(key) => key.to_string(),
                Name::Index(index) => index.to_string(),
            })
            .collect();
        all.push(format!("{sign}{}={}", path.join("."), String::from_utf8_lossy(&found.json)));
        Ok(())
    });
    walked.unwrap();
    all
}

const REQUEST: &str = r#"{"system":"s","messages":[{"role":"user","content":"a"},{"role":"assistant","content":[{"type":"text","text":"b"},{"type":"tool_use","input":{"x":["c"]}}]},{"role":"user","content":[{"type":"tool_result","content":[{"type":"text","text":"d"},{"type":"document","title":"e","source":{"type":"text","data":"f"}}]}]}],"tools":[{"name":"n","description":"g"}]}"#;

#[test]
fn each_text_is_visited_with_its_path() {
    assert_eq!(
        seen(REQUEST, &[], ALL),
        [
            r#"system="s""#,
            r#"messages.0.content="a""#,
            r#"messages.1.content.0.text="b""#,
            r#"*messages.1.content.1.input={"x":["c"]}"#,
            r#"messages.2.content.0.content.0.text="d""#,
            r#"messages.2.content.0.content.1.title="e""#,
            r#"messages.2.content.0.content.1.source.data="f""#,
            r#"tools.0.description="g""#,
        ]
    );
}

#[test]
fn a_reader_chooses_parts() {
    for (parts, expected) in [
        (&[System][..], &[r#"system="s""#][..]),
        (&[Messages], &[r#"messages.0.content="a""#, r#"messages.1.content.0.text="b""#]),
        (
            &[ToolResults],
            &[
                r#"messages.2.content.0.content.0.text="d""#,
                r#"messages.2.content.0.content.1.title="e""#,
                r#"messages.2.content.0.content.1.source.data="f""#,
            ],
        ),
        (&[ToolInputs], &[r#"*messages.1.content.1.input={"x":["c"]}"#]),
        (&[Tools], &[r#"tools.0.description="g""#]),
        (&[User, References, Unknown], &[]),
    ] {
        assert_eq!(seen(REQUEST, &[], parts), expected, "{parts:?}");
    }
}

#[test]
fn a_walk_may_begin_anywhere() {
    let [messages, content] = [Step::Key("messages"), Step::Key("content")];
    assert_eq!(seen(REQUEST, &[messages, Step::Index(1), content], &[Messages]), [r#"0.text="b""#]);
    assert_eq!(seen(REQUEST, &[messages, Step::Index(0)], &[Messages]), [r#"content="a""#]);
    assert_eq!(
        seen(REQUEST, &[messages], &[Messages]),
        [r#"0.content="a""#, r#"1.content.0.text="b""#]
    );
    assert_eq!(seen(REQUEST, &[Step::Key("system")], ALL), [""; 0]);
}

#[test]
fn edits_before_are_seen() {
    let mut document = Document::parse(Bytes::from_static(REQUEST.as_bytes())).unwrap();
    let path = [Step::Key("messages"), Step::Index(0)];
    document.set(&path, r#" {"role":"user","content": "new" } "#).unwrap();
    document.insert(&path, r#" {"role":"user","content":"first"} "#).unwrap();
    let mut texts = Vec::new();
    document
        .texts(&[], &[Messages], |seen| {
            if let Seen::Text(found) = seen {
                texts.push(String::from_utf8_lossy(&found.json).into_owned());
            }
            Ok(())
        })
        .unwrap();
    assert_eq!(texts, [r#""first""#, r#""new""#, r#""b""#]);
}

#[test]
fn unknown_blocks_and_fields_are_read_without_opaque_members() {
    let block = r#"{"messages":[{"content":[{"type":"new","id":"i","signature":"s","words":["a",{"b":"c"}],"content":[{"type":"image","source":{"type":"base64","data":"d"}},{"type":"text","text":"e"}]},{"type":"text","text":{"odd":"f"}},5,"g"]}]}"#;
    assert_eq!(
        seen(block, &[], &[Messages, Unknown]),
        [
            r#"messages.0.content.0.words.0="a""#,
            r#"messages.0.content.0.words.1.b="c""#,
            r#"messages.0.content.0.content.1.text="e""#,
            r#"messages.0.content.1.text.odd="f""#,
            r#"messages.0.content.3="g""#,
        ]
    );
    assert_eq!(seen(block, &[], &[Messages]), [r#"messages.0.content.0.content.1.text="e""#; 0]);
}
