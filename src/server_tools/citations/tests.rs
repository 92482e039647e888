//! Citations in answers, in the numbers of upstream and caller.
use crate::server_tools::citations::{Cited, Forms, Sources};
use crate::server_tools::tool::Face;
use serde_json::{Value, json};

use crate::testing::turn::text;

const PAGE: Option<Face> = Some(Face::Fetch { is_cited: true });

fn document() -> Value {
    json!({"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "d"}})
}

fn result(source: &str) -> Value {
    json!({"type": "search_result", "source": source, "title": "t", "content": [text("c")]})
}

/// Returns a citation of a document.
fn place(index: usize) -> Value {
    json!({"type": "char_location", "cited_text": "d", "document_index": index})
}

/// Returns a citation of a search result.
fn found(index: usize, source: &str) -> Value {
    json!({"type": "search_result_location", "search_result_index": index, "source": source,
        "title": "t", "cited_text": "c", "start_block_index": 0, "end_block_index": 1})
}

fn user(content: Value) -> Vec<u8> {
    json!({"role": "user", "content": content}).to_string().into_bytes()
}

fn told(cited: Cited) -> Option<Value> {
    match cited {
        Cited::Same => panic!("it must change"),
        Cited::As(citation) => Some(serde_json::from_str(&citation).unwrap()),
        Cited::Nothing => None,
    }
}

#[test]
fn documents_of_one_side_only_are_not_counted_by_the_other() {
    let mut sources = Sources::new(Forms::default());
    sources.message(&user(json!([document()])));
    // a page that the upstream has as text, then a page that it has as a document
    sources.ours(PAGE, &json!([text("page")]).to_string());
    sources.ours(PAGE, &json!([document()]).to_string());
    // the result of another tool
    sources.ours(Some(Face::Mcp), &json!([document()]).to_string());
    sources.message(&user(
        json!([{"type": "tool_result", "tool_use_id": "t", "content": [document()]}]),
    ));
    assert!(!sources.are_the_same());
    let for_caller = |n: usize| sources.for_caller(place(n).to_string().as_bytes());
    assert_eq!(for_caller(0), Cited::Same);
    assert_eq!(told(for_caller(1)), Some(place(2)));
    assert_eq!(told(for_caller(2)), None);
    assert_eq!(for_caller(3), Cited::Same);
    // a number that the upstream counts and no request contained
    assert_eq!(for_caller(4), Cited::Same);
    let for_upstream = |n: usize| sources.for_upstream(place(n).to_string().as_bytes());
    assert_eq!(for_upstream(0), Cited::Same);
    assert_eq!(told(for_upstream(1)), None);
    assert_eq!(told(for_upstream(2)), Some(place(1)));
    assert_eq!(for_upstream(3), Cited::Same);
}

#[test]
fn a_result_is_known_by_its_source_where_an_upstream_counts_otherwise() {
    let mut sources = Sources::new(Forms::default());
    sources.message(&user(json!([result("kb:1")])));
    sources.ours(Some(Face::Search), &json!([result("a"), result("b")]).to_string());
    let for_caller =
        |n: usize, named: &str| sources.for_caller(found(n, named).to_string().as_bytes());
    for index in [2, 0, 9] {
        let shown = told(for_caller(index, "b")).unwrap();
        assert_eq!(
            (&shown["type"], &shown["url"]),
            (&json!("web_search_result_location"), &json!("b"))
        );
        let back = sources.for_upstream(shown.to_string().as_bytes());
        // unchanged at the same position; an upstream with other numbers gets a new number
        assert_eq!(told(back), Some(found(2, "b")));
    }
    assert_eq!(for_caller(0, "kb:1"), Cited::Same);
    assert_eq!(for_caller(3, "nowhere"), Cited::Same);
}

#[test]
fn citations_that_the_gateway_did_not_make_stay_unchanged() {
    let mut sources = Sources::new(Forms::default());
    sources.ours(Some(Face::Search), &json!([result("a")]).to_string());
    for citation in [
        json!({"type": "web_search_result_location", "encrypted_index": "EqgfCioIARgB", "url": "a"}),
        json!({"type": "future_location", "at": 5}),
        json!("nonsense"),
    ] {
        let citation = citation.to_string();
        assert_eq!(sources.for_caller(citation.as_bytes()), Cited::Same);
        assert_eq!(sources.for_upstream(citation.as_bytes()), Cited::Same);
    }
    // sealed by the gateway, and damaged since
    for sealed in ["tidegate.", "tidegate.!", "tidegate.e30"] {
        let citation = json!({"type": "web_search_result_location", "encrypted_index": sealed});
        assert_eq!(told(sources.for_upstream(citation.to_string().as_bytes())), None);
    }
}

#[test]
fn as_many_citations_as_a_request_can_hold_are_found_without_a_search_for_each() {
    const MANY: usize = 100_000;
    let mut sources = Sources::new(Forms::default());
    sources.ours(PAGE, &json!([text("page")]).to_string());
    sources.ours(Some(Face::Search), &json!([result("a")]).to_string());
    let mut content: Vec<Value> = (0..MANY).map(|_| result("kb")).collect();
    content.extend((0..MANY).map(|_| json!({"type": "document"})));
    sources.message(&user(content.into()));
    // a linear search would take ten thousand million steps each time
    let (last, page) = (found(MANY, "kb").to_string(), place(MANY - 1).to_string());
    let own = found(MANY - 1, "kb").to_string();
    for _ in 1..MANY {
        let told = sources.for_caller(last.as_bytes());
        assert!(matches!(told, Cited::As(_)), "{told:?}");
        assert!(matches!(sources.for_upstream(own.as_bytes()), Cited::As(_)));
        assert!(matches!(sources.for_caller(page.as_bytes()), Cited::As(_)));
    }
    assert_eq!(told(sources.for_caller(last.as_bytes())), Some(found(MANY - 1, "kb")));
    assert_eq!(told(sources.for_upstream(own.as_bytes())), Some(found(MANY, "kb")));
    assert_eq!(told(sources.for_caller(page.as_bytes())), Some(place(MANY)));
}

#[test]
fn documents_nested_deeper_than_the_api_allows_are_not_counted_as_sources() {
    let nested = |depth: usize| {
        (0..depth).fold(document(), |within, _| json!({"type": "tool_result", "content": [within]}))
    };
    for (depth, is_counted) in [(1, true), (300, false)] {
        let mut sources = Sources::new(Forms::default());
        sources.message(&user(json!([nested(depth)])));
        sources.ours(PAGE, &json!([text("page")]).to_string());
        sources.message(&user(json!([document()])));
        let first = sources.for_caller(place(0).to_string().as_bytes());
        assert_eq!(first == Cited::Same, is_counted, "{first:?}");
    }
}

#[test]
fn the_page_age_of_a_result_is_left_out_of_its_cited_text() {
    let mut sources = Sources::new(Forms::default());
    let age = "{\"page_age\":\"3 days ago\"}";
    let mut aged = result("a");
    aged["content"] = json!([text("One."), text(age)]);
    sources.ours(Some(Face::Search), &json!([aged]).to_string());
    for between in ["", "\n"] {
        let mut cited = found(0, "a");
        cited["end_block_index"] = json!(2);
        cited["cited_text"] = format!("One.{between}{age}").into();
        let shown = told(sources.for_caller(cited.to_string().as_bytes())).unwrap();
        assert_eq!(shown["cited_text"], "One.");
        // the upstream reads the text that it wrote
        let back = sources.for_upstream(shown.to_string().as_bytes());
        assert_eq!(told(back), Some(cited));
    }
}
