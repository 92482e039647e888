//! Tests of prompts: the parts that count, and breakpoints at every place.
use serde_json::{Value, json};

use super::*;

fn read(request: &Value) -> Prompt {
    let text = serde_json::to_vec(request).unwrap();
    let document = Document::parse(text.into()).unwrap();
    Prompt::read(&Fields::of(&document))
}

fn user(content: Value) -> Value {
    json!({"role": "user", "content": content})
}

fn marked(text: &str) -> Value {
    json!([{"type": "text", "text": text, "cache_control": {"type": "ephemeral"}}])
}

#[test]
fn a_breakpoint_that_moves_changes_no_part() {
    let first = read(&json!({"messages": [user(marked("a"))]}));
    let next = json!({"messages": [
        user(json!("a")), {"role": "assistant", "content": "b"}, user(marked("c")),
    ]});
    let next = read(&next);
    assert_eq!((first.cached(), next.cached()), (1, 3));
    assert_eq!((next.common(&first), next.difference(&first)), (1, None));
}

#[test]
fn every_place_of_a_breakpoint_is_found() {
    let mark = json!({"type": "ephemeral"});
    let hour = json!({"type": "ephemeral", "ttl": "1h"});
    let tools = json!([{"name": "t"}, {"name": "u", "cache_control": hour}]);
    let text = json!({"type": "text", "text": "x", "cache_control": mark});
    let source = json!({"type": "content", "content": [text]});
    for (request, cached, hours) in [
        (json!({"tools": tools, "messages": [user(json!("a"))]}), 2, 2),
        (json!({"tools": [{"name": "t"}], "system": [text], "messages": [user(json!("a"))]}), 2, 0),
        (json!({"tools": tools, "system": [text], "messages": [user(json!("a"))]}), 3, 2),
        (
            json!({"system": "s", "messages": [user(json!([text, {"type": "text", "text": "y"}]))]}),
            2,
            0,
        ),
        (json!({"messages": [user(json!([{"type": "tool_result", "content": [text]}]))]}), 1, 0),
        (json!({"messages": [user(json!([{"type": "document", "source": source}]))]}), 1, 0),
        (json!({"cache_control": hour, "system": "s", "messages": [user(json!("a"))]}), 2, 2),
        (json!({"cache_control": null, "messages": [user(json!("a"))]}), 0, 0),
        (
            json!({"messages": [user(json!([{"type": "text", "text": "x", "cache_control": null}]))]}),
            0,
            0,
        ),
        (json!({"messages": [user(json!("\"cache_control\": {}"))]}), 0, 0),
        (
            json!({"messages": [user(json!([{"type": "tool_use", "input": {"cache_control": {}}}]))]}),
            0,
            0,
        ),
    ] {
        let prompt = read(&request);
        assert_eq!((prompt.cached(), prompt.hours()), (cached, hours), "{request}");
    }
}

#[test]
fn every_change_of_a_part_is_a_difference_at_its_place() {
    let base = json!({
        "tools": [{"name": "t", "input_schema": {"type": "object"}}],
        "system": [{"type": "text", "text": "s"}],
        "messages": [
            user(json!("a")),
            {"role": "assistant", "content": [{"type": "tool_use", "id": "1", "name": "t", "input": {"x": 1}}]},
            user(json!([{"type": "tool_result", "tool_use_id": "1", "content": "r", "is_error": false}])),
        ],
    });
    for (pointer, value, place) in [
        ("/tools/0/name", json!("u"), Place::Tools),
        ("/tools/0/input_schema/type", json!("string"), Place::Tools),
        ("/system/0/text", json!("S"), Place::System),
        ("/messages/0/content", json!("A"), Place::Message(0)),
        ("/messages/1/role", json!("user"), Place::Message(1)),
        ("/messages/1/content/0/input/x", json!(2), Place::Message(1)),
        ("/messages/2/content/0/content", json!("R"), Place::Message(2)),
        ("/messages/2/content/0/is_error", json!(true), Place::Message(2)),
    ] {
        let mut other = base.clone();
        *other.pointer_mut(pointer).unwrap() = value;
        let (before, after) = (read(&base), read(&other));
        assert_eq!(
            after.difference(&before).map(|part| after.place_of(part)),
            Some(place),
            "{pointer}"
        );
    }
    // the same content in its two forms
    let mut other = base.clone();
    other["system"] = json!("s");
    other["messages"][0]["content"] = json!([{"type": "text", "text": "a"}]);
    other["messages"][2]["content"][0]["content"] = json!([{"type": "text", "text": "r"}]);
    assert_eq!(read(&other), read(&base));
}

#[test]
fn fields_of_another_shape_are_no_panic() {
    for request in [
        json!({"messages": null, "tools": 1, "system": {}}),
        json!({"messages": [1, [], {}, {"role": "user"}, {"content": []}, {"content": {}}], "tools": []}),
        json!({"messages": [user(json!([1, "x", null, []]))], "cache_control": true}),
    ] {
        let prompt = read(&request);
        assert!(!prompt.is_cached() && prompt.common(&read(&request)) == prompt.parts.len());
    }
}

#[test]
fn conversations_are_akin_by_tools_system_or_first_message() {
    let request = |tool: &str, system: &str, message: &str| {
        read(
            &json!({"tools": [{"name": tool}], "system": system, "messages": [user(json!(message))]}),
        )
    };
    let base = request("t", "s", "m");
    for (other, expected) in [
        (request("t", "x", "y"), true),
        (request("x", "s", "y"), true),
        (request("x", "y", "m"), true),
        (request("x", "y", "z"), false),
        (read(&json!({"messages": [user(json!("z"))]})), false),
    ] {
        assert_eq!(other.is_akin(&base), expected, "{other:?}");
    }
    let plain = |message: &str| read(&json!({"messages": [user(json!(message))]}));
    assert!(plain("a").is_akin(&plain("b")));
}
