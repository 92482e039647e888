//! Requests as encoders read them.
use serde_json::{Value, json};

use super::*;

fn read(body: &Value) -> Result<(), String> {
    Conversation::read(body.to_string().as_bytes()).map(drop).map_err(|error| error.message)
}

#[test]
fn a_wrong_shape_is_named_by_its_place() {
    let good =
        json!({"model": "m", "max_tokens": 1, "messages": [{"role": "user", "content": "x"}]});
    assert_eq!(read(&good), Ok(()));
    for (pointer, value, place) in [
        ("/messages/0/content", json!(5), "messages[0].content"),
        ("/messages/0/role", json!("robot"), "messages[0].role"),
        ("/messages/0/content", json!([5]), "messages[0].content"),
    ] {
        let mut wrong = good.clone();
        *wrong.pointer_mut(pointer).unwrap() = value;
        let message = read(&wrong).unwrap_err();
        assert!(message.contains(place), "{message}");
    }
}

#[test]
fn texts_borrow_from_the_body_and_inputs_stay_text() {
    let body = br#"{"model":"m","messages":[{"role":"assistant","content":[{"type":"text","text":"plain"},{"type":"tool_use","id":"a","name":"f","input":{"n": 1.0}}]}]}"#;
    let conversation = Conversation::read(body).unwrap();
    let blocks = &conversation.messages[0].content.0;
    assert!(matches!(&blocks[0].body, BlockBody::Text(Cow::Borrowed("plain"))));
    assert!(
        matches!(&blocks[1].body, BlockBody::ToolUse { input, .. } if input.get() == r#"{"n": 1.0}"#)
    );
}

#[test]
fn an_input_that_is_no_object_is_an_empty_one() {
    for (raw, expected) in [("null", "{}"), ("\"\"", "{}"), (r#"{"a":1}"#, r#"{"a":1}"#)] {
        let input: Box<RawValue> = serde_json::from_str(raw).unwrap();
        assert_eq!(input_json(&input), expected);
    }
}
