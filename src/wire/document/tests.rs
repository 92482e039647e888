//! Tests of the scan and the document: the text survives a round trip, and an edit changes its own span only.
use crate::error::ErrorKind;
use crate::wire::{Document, Endpoint, MessagesRequest, Step, scan};
mod json;

use bytes::Bytes;
use proptest::prelude::*;
use proptest::sample::Index;
use serde::de::IgnoredAny;
use serde_json::Value;

use json::{Hop, path};

fn parse(text: &str) -> Document {
    Document::parse(Bytes::copy_from_slice(text.as_bytes())).unwrap()
}

/// Valid and invalid pieces of strings; in random strings each of them gets to every position of a block.
const PIECES: [&str; 14] = [
    "a", "seven c", "\\n", "\\\"", "\\\\", "\\t", "\\/", "\\u00e9", "\\u00", "\\x", "\\é", "é漢",
    "\u{1}", "\"",
];

proptest! {
    #![proptest_config(crate::testing::cases())]

    #[test]
    fn a_string_is_taken_or_refused_as_others_do(
        pieces in prop::collection::vec((0..100_usize, 1..9_usize), 0..90),
    ) {
        // faults are rare, so that some strings have none
        let piece = |&(n, times): &(usize, usize)| PIECES[if n == 0 { 8 + times % 6 } else { n % 8 }].repeat(times);
        let text = format!("\"{}\"", pieces.iter().map(piece).collect::<String>());
        let expected = serde_json::from_str::<String>(&text).is_ok();
        prop_assert_eq!(scan::value(text.as_bytes()).is_ok(), expected, "{}", text);
        let known = text.replace("\\u00e9", "漢");
        prop_assert_eq!(scan::value(known.as_bytes()).is_ok(), expected, "{}", known);
    }

    #[test]
    fn a_document_that_is_only_read_keeps_its_bytes(given in json::object()) {
        let mut document = parse(&given.text);
        for (hops, span) in &given.spots {
            let found = document.get(&path(hops)).unwrap().unwrap();
            prop_assert_eq!(&found[..], given.text[span.clone()].as_bytes());
        }
        prop_assert!(!document.is_edited());
        prop_assert_eq!(&document.to_bytes()[..], given.text.as_bytes());
    }

    #[test]
    fn an_edit_changes_its_own_span_only(
        given in json::object(), at in any::<Index>(), new in json::scalar(),
    ) {
        prop_assume!(!given.spots.is_empty());
        let (hops, span) = at.get(&given.spots);
        let mut document = parse(&given.text);
        document.set(&path(hops), new.clone()).unwrap();
        let mut expected = given.text.clone();
        expected.replace_range(span.clone(), &new);
        // white space around the outermost bracket is dropped
        prop_assert_eq!(document.to_bytes(), expected.trim());
    }

    #[test]
    fn the_scan_accepts_valid_json_and_nothing_else(
        given in json::object(),
        edits in prop::collection::vec((any::<Index>(), any::<Index>(), 0..3), 0..3),
    ) {
        const SIGNS: [char; 22] = [
            '{', '}', '[', ']', ',', ':', '"', '\\', '0', '1', '-', '+', '.', 'e', 'u', 't',
            'n', ' ', '\n', '\u{1}', 'é', 'x',
        ];
        let mut signs: Vec<char> = given.text.chars().collect();
        for (at, sign, how) in edits {
            let at = at.index(signs.len() + 1);
            match how {
                0 => signs.insert(at, *sign.get(&SIGNS)),
                1 if at < signs.len() => signs[at] = *sign.get(&SIGNS),
                _ if at < signs.len() => { signs.remove(at); }
                _ => {}
            }
        }
        let text: String = signs.into_iter().collect();
        let is_json = serde_json::from_str::<IgnoredAny>(&text).is_ok();
        prop_assert_eq!(scan::value(text.as_bytes()).is_ok(), is_json, "{:?}", text);
    }

    #[test]
    fn any_bytes_are_scanned_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        let is_json = std::str::from_utf8(&bytes)
            .is_ok_and(|text| serde_json::from_str::<IgnoredAny>(text).is_ok());
        prop_assert_eq!(scan::value(&bytes).is_ok(), is_json);
        prop_assert!(Document::parse(bytes.into()).is_err() || is_json);
    }

    #[test]
    fn edits_change_a_document_as_they_change_a_tree(
        given in json::object(),
        edits in prop::collection::vec((any::<Index>(), 0..5, json::scalar(), any::<Index>()), 1..12),
    ) {
        let mut document = parse(&given.text);
        let mut tree: Value = serde_json::from_str(&given.text).unwrap();
        for (at, what, new, place) in edits {
            let mut spots = Vec::new();
            places(&tree, &mut Vec::new(), &mut spots);
            edit(&mut document, &mut tree, &spots[at.index(spots.len())], (what, &new, place));
            let found: Value = serde_json::from_slice(&document.to_bytes()).unwrap();
            // as text, since maps ignore the order when they are compared
            prop_assert_eq!(found.to_string(), tree.to_string());
            prop_assert_eq!(joined(&document), document.to_bytes());
        }
    }

    #[test]
    fn in_pieces_an_edited_text_is_the_same_and_long_runs_of_it_are_the_callers_own(
        sizes in prop::collection::vec((0..40_000_usize, any::<bool>()), 1..8),
        at in any::<Index>(), how in 0..3, is_below in any::<bool>(),
    ) {
        let member = |(n, (size, is_spaced)): (usize, &(usize, bool))| {
            let space = if *is_spaced { " \n" } else { "" };
            format!("{space}\"k{n}\"{space}:{space}[1,\"{}\"]{space}", "x".repeat(*size))
        };
        let members: Vec<String> = sizes.iter().enumerate().map(member).collect();
        let text = Bytes::from(format!("{{{}}}", members.join(",")));
        let mut document = Document::parse(text.clone()).unwrap();
        let key = format!("k{}", at.index(sizes.len()));
        let path = [Step::Key(&key), Step::Index(0)];
        let path = if is_below { &path[..] } else { &path[..1] };
        match how {
            0 => document.set(path, "[]").unwrap(),
            1 => assert!(document.remove(path).unwrap()),
            _ => document.set(&[Step::Key("new")], "1").unwrap(),
        }
        prop_assert_eq!(joined(&document), document.to_bytes());
        let own = text.as_ptr_range();
        let pieces = document.to_pieces();
        prop_assert_eq!(pieces.len(), document.to_bytes().len());
        let parts = pieces.as_slice();
        let copied = parts.iter().filter(|part| !own.contains(&part.as_ptr()));
        // only short members and edits are copied, never a run of 16 KiB
        let most = 17_000 * (sizes.len() + 1);
        prop_assert!(copied.map(Bytes::len).sum::<usize>() < most);
        // one of them may have been edited
        let long = sizes.iter().filter(|(size, _)| *size > 17_000).count();
        prop_assert!(long < 2 || parts.iter().any(|part| own.contains(&part.as_ptr())));
    }
}

fn joined(document: &Document) -> Vec<u8> {
    document.to_pieces().as_slice().concat()
}

/// Collects every place in a tree, also the root.
fn places(tree: &Value, here: &mut Vec<Hop>, found: &mut Vec<Vec<Hop>>) {
    found.push(here.clone());
    let below: Vec<(Hop, &Value)> = match tree {
        Value::Array(items) => items.iter().enumerate().map(|(n, v)| (Hop::Index(n), v)).collect(),
        Value::Object(map) => map.iter().map(|(k, v)| (Hop::Key(k.clone()), v)).collect(),
        _ => return,
    };
    for (hop, value) in below {
        here.push(hop);
        places(value, here, found);
        here.pop();
    }
}

fn at<'a>(tree: &'a mut Value, hops: &[Hop]) -> &'a mut Value {
    hops.iter().fold(tree, |tree, hop| match hop {
        Hop::Key(key) => &mut tree[key],
        Hop::Index(index) => &mut tree[*index],
    })
}

/// Makes the same edit on both. An invalid edit must fail and change nothing.
fn edit(document: &mut Document, tree: &mut Value, hops: &[Hop], how: (i32, &str, Index)) {
    let (what, new, place) = how;
    let value: Value = serde_json::from_str(new).unwrap();
    let mut way = path(hops);
    match (what, at(tree, hops)) {
        (0, Value::Object(map)) => {
            way.push(Step::Key("added"));
            document.set(&way, new.to_owned()).unwrap();
            map.insert("added".to_owned(), value);
        }
        (1, Value::Array(items)) => {
            document.push(&way, new.to_owned()).unwrap();
            items.push(value);
        }
        (2, Value::Array(items)) => {
            let n = place.index(items.len() + 1);
            way.push(Step::Index(n as i64));
            document.insert(&way, new.to_owned()).unwrap();
            items.insert(n, value);
        }
        (3, _) if !hops.is_empty() => {
            assert!(document.remove(&way).unwrap());
            match (at(tree, &hops[..hops.len() - 1]), hops.last().unwrap()) {
                (Value::Array(items), Hop::Index(n)) => drop(items.remove(*n)),
                (Value::Object(map), Hop::Key(key)) => drop(map.shift_remove(key)),
                _ => unreachable!(),
            }
        }
        (4, target) if !hops.is_empty() => {
            document.set(&way, new.to_owned()).unwrap();
            *target = value;
        }
        (1 | 2, _) => {
            way.push(Step::Index(0));
            document.insert(&way, new.to_owned()).unwrap_err();
        }
        (3, _) => assert!(!document.remove(&way).unwrap()),
        (4, _) => drop(document.set(&way, new.to_owned()).unwrap_err()),
        _ => {
            way.push(Step::Key("added"));
            document.set(&way, new.to_owned()).unwrap_err();
        }
    }
}

#[test]
fn set_rejects_a_text_that_is_not_one_json_value() {
    for wrong in ["", "1 2", "{", "nul", "\"", "[1,]", "\u{1}"] {
        let mut document = parse(r#"{"a":1}"#);
        let error = document.set(&[Step::Key("a")], wrong).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Api);
        assert_eq!(document.to_bytes(), r#"{"a":1}"#, "{wrong}");
    }
}

#[test]
fn negative_indexes_count_from_the_end() {
    let mut document = parse(r#"{"a":[1, 2,3 ]}"#);
    let a = Step::Key("a");
    assert_eq!(document.get(&[a, Step::Index(-1)]).unwrap().unwrap(), "3");
    assert_eq!(document.get(&[a, Step::Index(-4)]).unwrap(), None);
    document.insert(&[a, Step::Index(-1)], "0").unwrap();
    assert_eq!(document.to_bytes(), r#"{"a":[1, 2,0,3 ]}"#);
    document.remove(&[a, Step::Index(-4)]).unwrap();
    assert_eq!(document.to_bytes(), r#"{"a":[ 2,0,3 ]}"#);
}

#[test]
fn a_key_that_occurs_twice_is_refused_however_it_is_spelled() {
    let few = r#"{"model":"a","mod\u0065l":"b"}"#.to_owned();
    let many: String = (0..40).map(|n| format!("\"k{n}\":0,")).collect();
    let many = format!("{{{many}\"\\u006b7\":1}}");
    for (text, key) in [(few, "`model`"), (many, "`k7`")] {
        let error = Document::parse(text.into()).unwrap_err();
        assert_eq!(error.kind, ErrorKind::InvalidRequest);
        assert!(error.message.contains(key), "{}", error.message);
    }
}

#[test]
fn a_key_that_occurs_twice_below_is_refused_when_somebody_looks() {
    let text = r#"{"a":{"b":1,"\u0062":2},"c":3}"#;
    let mut document = parse(text);
    assert_eq!(document.get(&[Step::Key("c")]).unwrap().unwrap(), "3");
    let error = document.get(&[Step::Key("a"), Step::Key("b")]).unwrap_err();
    assert_eq!(error.kind, ErrorKind::InvalidRequest);
    assert_eq!(document.to_bytes(), text);
}

#[test]
fn a_key_of_half_a_character_is_refused() {
    let error = Document::parse(r#"{"a\ud800":1}"#.into()).unwrap_err();
    assert!(error.message.contains("surrogate"), "{}", error.message);
}

#[test]
fn brackets_by_the_hundred_thousand_are_refused() {
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let depth = 100_000;
        let text = format!("{{\"a\":{}1{}}}", open.repeat(depth), close.repeat(depth));
        let error = Document::parse(text.into()).unwrap_err();
        assert_eq!(error.kind, ErrorKind::InvalidRequest);
        assert!(error.message.contains("nested deeper"), "{}", error.message);
        let unclosed = format!("{{\"a\":{}", open.repeat(depth));
        Document::parse(unclosed.into()).unwrap_err();
    }
}

#[test]
fn a_document_at_the_depth_limit_is_accepted_and_can_be_edited_at_the_bottom() {
    let depth = scan::MAX_DEPTH;
    let text = format!("{{\"a\":{}1{}}}", "[".repeat(depth), "]".repeat(depth));
    let mut document = parse(&text);
    let mut path = vec![Step::Key("a")];
    path.extend(vec![Step::Index(0); depth]);
    assert_eq!(document.get(&path).unwrap().unwrap(), "1");
    document.set(&path, "2").unwrap();
    assert_eq!(document.to_bytes(), text.replace('1', "2"));
}

#[test]
fn a_refusal_names_the_place() {
    let table = [
        ("", "empty"),
        ("[1]", "not a JSON object"),
        ("hello", "not a JSON object"),
        ("{\"a\":1", "ends early at byte 6"),
        ("{\"a\":1,}", "line 1, column 8 (byte 7)"),
        ("{\"a\":\n  tru}", "line 2, column 3"),
        ("{\"a\":01}", "column 7"),
        ("{\"a\":1} x", "the end of the text"),
        ("{\"a\":\"\t\"}", "control character"),
        ("{\"a\":\"\\x\"}", "a known escape"),
        ("{a:1}", "double quotes"),
    ];
    for (text, expected) in table {
        let error = Document::parse(text.into()).unwrap_err();
        assert_eq!(error.kind, ErrorKind::InvalidRequest);
        assert!(error.message.contains(expected), "{text:?}: {}", error.message);
    }
    let not_utf8 = Document::parse(Bytes::from_static(b"{\"a\":\"\xff\"}")).unwrap_err();
    assert_eq!(not_utf8.kind, ErrorKind::InvalidRequest);
}

#[test]
fn the_models_name_alone_changes_under_an_alias() {
    let text = "{ \"max_tokens\" : 1e1 ,\"mod\\u0065l\":\t\"fast\", \"messages\":[], \"n\":1.50 }";
    let given = text.replace("1e1", "10");
    let mut request = MessagesRequest::parse(given.clone().into(), Endpoint::Messages).unwrap();
    request.set_model("claude-opus-4-6").unwrap();
    assert_eq!(request.to_bytes(), given.replace("fast", "claude-opus-4-6"));
    assert_eq!(request.model(), "claude-opus-4-6");
}

#[test]
fn a_source_of_type_url_is_found_and_other_uses_of_the_word_are_not() {
    let may_have = |content: &str| {
        let body = format!(
            r#"{{"model":"m","max_tokens":1,"system":"\"url\" ","messages":[{{"role":"user","content":{content}}}]}}"#
        );
        let request = MessagesRequest::parse(body.into(), Endpoint::Messages).unwrap();
        request.may_have_url_sources()
    };
    for content in [
        r#"[{"type":"image","source":{"type":"url","url":"https://x"}}]"#,
        r#"[{"source":{"url":"x" , "type" : "url" }}]"#,
    ] {
        assert!(may_have(content), "{content}");
    }
    for content in [
        r#""see \"url\", and url""#,
        r#"[{"type":"tool_use","input":{"url":"https://x","my\"url": 1, "url" : 2}}]"#,
        r#"[{"type":"image","source":{"type":"base64","data":"url"}}]"#.replace("\"url\"", "\"AA\"").as_str(),
    ] {
        assert!(!may_have(content), "{content}");
    }
}
