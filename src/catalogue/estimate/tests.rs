//! Tests of the estimates: the measured points, every part of a prompt, images and files.
use bytes::Bytes;
use serde_json::json;

use super::*;
use crate::catalogue::{Catalogue, Table};
use crate::wire::Endpoint;

fn request(body: Value) -> MessagesRequest {
    MessagesRequest::parse(Bytes::from(body.to_string()), Endpoint::CountTokens).unwrap()
}

fn asking(content: Value) -> MessagesRequest {
    request(json!({"model": "m", "messages": [{"role": "user", "content": content}]}))
}

fn on(model: &str, request: &MessagesRequest) -> u64 {
    let catalogue = Catalogue::build(&Table::default()).unwrap();
    estimate(request, Some(catalogue.find(None, model).unwrap()))
}

/// A measured count of a Claude model: the text, or its tokens of o200k if it is not public; the tokens of the tools in them.
struct Point {
    model: &'static str,
    o200k: u64,
    has_tools: bool,
    counted: u64,
    /// The error of the estimate in percent of the count.
    error: f64,
}

/// upstreams.md 6: counts of live calls in 2026-08.
const POINTS: [Point; 11] = [
    Point { model: "claude-opus-5", o200k: 1, has_tools: false, counted: 9, error: 11.1 },
    Point { model: "claude-opus-5", o200k: 2, has_tools: false, counted: 10, error: 10.0 },
    Point { model: "claude-sonnet-5", o200k: 1225, has_tools: false, counted: 1944, error: 1.2 },
    Point { model: "claude-sonnet-5", o200k: 2727, has_tools: false, counted: 4332, error: 0.9 },
    Point { model: "claude-opus-5", o200k: 801, has_tools: false, counted: 2006, error: -35.7 },
    Point { model: "claude-opus-4-8", o200k: 15, has_tools: false, counted: 31, error: 3.2 },
    Point { model: "claude-opus-4-7", o200k: 15, has_tools: false, counted: 36, error: -11.1 },
    Point { model: "claude-sonnet-5", o200k: 39, has_tools: false, counted: 57, error: 22.8 },
    Point { model: "claude-opus-5", o200k: 70, has_tools: true, counted: 422, error: 6.6 },
    Point { model: "claude-haiku-4-5", o200k: 15, has_tools: false, counted: 22, error: 13.6 },
    Point { model: "claude-haiku-4-5", o200k: 39, has_tools: false, counted: 49, error: 4.1 },
];

#[test]
fn the_error_at_the_measured_points_is_the_documented_one() {
    let catalogue = Catalogue::build(&Table::default()).unwrap();
    for Point { model, o200k, has_tools, counted, error } in POINTS {
        let tokenizer = catalogue.find(None, model).unwrap().tokenizer;
        let tools = if has_tools { tokenizer.tools } else { 0 };
        let found = tokenizer.request + tokenizer.message + tools + scaled(o200k, tokenizer.factor);
        let off = 100.0 * (found as f64 - counted as f64) / counted as f64;
        assert!((off - error).abs() < 0.06, "{model}, {o200k}: {found} is off by {off:.1} %");
    }
}

#[test]
fn the_public_texts_have_the_tokens_that_were_counted_elsewhere() {
    let long = "Explain distributed consensus. ".repeat(200);
    for (text, o200k) in [("Hi", 1), ("Hello world", 2), (&long, 801)] {
        let request = asking(json!(text));
        assert_eq!(on("gpt-5.4", &request), 3 + 4 + o200k);
        assert_eq!(on("claude-opus-5", &request), 8 + scaled(o200k, 1.6));
        let blocks =
            asking(json!([{"type": "text", "text": text, "cache_control": {"type": "ephemeral"}}]));
        assert_eq!(on("claude-opus-5", &blocks), on("claude-opus-5", &request));
    }
}

#[test]
fn every_part_of_the_prompt_counts() {
    let words = "one two three four five six seven eight nine ten";
    let plain = on("gpt-5.4", &asking(json!("")));
    let source = json!({"type": "text", "media_type": "text/plain", "data": words});
    let inner = json!([{"type": "text", "text": words}]);
    for block in [
        json!({"type": "text", "text": words}),
        json!({"type": "thinking", "thinking": words, "signature": "x".repeat(500)}),
        json!({"type": "document", "source": source}),
        json!({"type": "document", "title": words, "source": {"type": "text", "data": ""}}),
        json!({"type": "document", "source": {"type": "content", "content": inner}}),
        json!({"type": "tool_result", "tool_use_id": "x".repeat(500), "content": inner}),
        json!({"type": "tool_result", "tool_use_id": "toolu_1", "content": words}),
        json!({"type": "search_result", "content": inner}),
        json!({"type": "web_search_tool_result", "content": [{"type": "web_search_result", "title": words, "encrypted_content": "x".repeat(500)}]}),
        json!({"type": "web_fetch_tool_result", "content": {"type": "web_fetch_result", "content": {"type": "document", "source": source}}}),
        json!({"type": "block_of_the_future", "words": [words]}),
    ] {
        assert_eq!(on("gpt-5.4", &asking(json!([block]))), plain + 10, "{block}");
    }
    let call =
        json!([{"type": "tool_use", "id": "toolu_1", "name": "x", "input": {"words": words}}]);
    assert!(on("gpt-5.4", &asking(call)) >= plain + 12);
    let with = |field: &str, value: Value| {
        let mut body = json!({"model": "m", "messages": [{"role": "user", "content": ""}]});
        body[field] = value;
        on("gpt-5.4", &request(body))
    };
    assert_eq!(with("system", json!(words)), plain + 10);
    assert_eq!(with("system", json!([{"type": "text", "text": words}])), plain + 10);
    assert!(
        with(
            "output_config",
            json!({"format": {"type": "json_schema", "schema": {"title": words}}})
        ) > plain + 10
    );
    assert_eq!(with("metadata", json!({"user_id": words})), plain);
}

#[test]
fn images_and_files_count_by_the_rule_of_the_model() {
    let data = |text: &str| json!([{"type": "image", "source": {"type": "base64", "data": text}}]);
    let gif = data("R0lGODlhgAc4BAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA");
    for (model, tokens) in [
        ("claude-opus-5", 2691),
        ("claude-haiku-4-5", 1560),
        ("gemini-2.5-pro", 3 * 2 * 258),
        ("gemini-3.8-flash", 1120),
    ] {
        let found = on(model, &asking(gif.clone())) - on(model, &asking(json!([])));
        assert_eq!(found, tokens, "{model}");
    }
    let by_url = json!([{"type": "image", "source": {"type": "url", "url": "https://a.b/c"}}]);
    assert_eq!(on("gpt-5.4", &asking(by_url)), 7 + 1229);
    let pdf = json!([{"type": "document", "source": {"type": "url", "url": "https://a.b/c.pdf"}}]);
    assert_eq!(on("gemini-3.8-flash", &asking(pdf)), 8 + 560);
}

#[test]
fn a_request_of_a_wrong_shape_has_an_estimate_too() {
    let deep = format!("{}1{}", "[".repeat(120), "]".repeat(120));
    for body in [
        json!({"model": "m", "messages": []}),
        json!({"model": "m", "messages": [1, null, [], {"content": 5}, {"content": [1, {"type": 5}]}]}),
        json!({"model": "m", "messages": [{"content": [{"type": "image"}, {"type": "document"}]}]}),
        json!({"model": "m", "system": 5, "messages": [], "tools": [1, null]}),
        json!({"model": "m", "messages": [serde_json::from_str::<Value>(&deep).unwrap()]}),
    ] {
        let request = request(body);
        assert!(estimate(&request, None) > 0 && quick_estimate(&request, None) > 0);
    }
}

#[test]
fn the_quick_estimate_is_near_the_other_one_and_counts_no_files_as_text() {
    let prose = include_str!("../../../README.md");
    let file = "iVBORw0KGgo".repeat(100_000);
    let image = json!({"type": "image", "source": {"type": "base64", "data": file}});
    for content in [
        json!(prose),
        json!([{"type": "text", "text": prose}]),
        json!([{"type": "text", "text": prose}, image, image]),
    ] {
        let request = asking(content);
        let (exact, quick) =
            (estimate(&request, None) as f64, quick_estimate(&request, None) as f64);
        assert!((0.7..1.4).contains(&(quick / exact)), "{quick} instead of {exact}");
    }
    assert_eq!(files_in(br#"{"data":"short"}"#), (0, 0));
    assert_eq!(files_in(br#"{"data""#), (0, 0));
    assert_eq!(files_in(br#"{"data": 5, "data" : "#), (0, 0));
    let long = format!(r#"{{"data" : "{}"}}"#, "A".repeat(2000));
    assert_eq!(files_in(long.as_bytes()), (2000, 1));
    assert_eq!(files_in(&long.as_bytes()[..1900]), (1889, 1));
    let text = format!(r#"{{"data":"{}"}}"#, "a b ".repeat(2000));
    assert_eq!(files_in(text.as_bytes()), (0, 0));
}

/// Texts with their tokens by `tiktoken`'s o200k, computed by another implementation (bpe-openai 0.3.2).
const COUNTS: &str = include_str!("o200k_counts.tsv");

#[test]
fn texts_of_every_kind_have_the_tokens_of_another_implementation() {
    for line in COUNTS.lines() {
        let (tokens, text) = line.split_once('\t').unwrap();
        let text = ['n', 't', 'r']
            .into_iter()
            .zip(["\n", "\t", "\r"])
            .fold(text.replace("\\\"", "\""), |text, (letter, character)| {
                text.replace(&format!("\\{letter}"), character)
            });
        assert_eq!(tokens::count(&text).to_string(), tokens, "{text:?}");
    }
}

#[test]
fn a_long_text_without_a_space_is_counted_in_parts() {
    // 128 letters are 16 tokens, and a part holds a whole number of them
    assert_eq!(tokens::count(&"a".repeat(128)), 16);
    assert_eq!(tokens::count(&"a".repeat(1 << 18)), 1 << 15);
}
