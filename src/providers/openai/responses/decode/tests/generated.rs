//! Any sequence of events ends in a valid Messages stream, or in an error.
use super::made::*;
use super::*;
use crate::providers::translate::trial::{Numbers, is_valid};

fn item(numbers: &mut Numbers) -> Value {
    let texts = ["", "a", "b\u{e9}\n", "\"x\""];
    let text = |numbers: &mut Numbers| numbers.pick(&texts);
    match numbers.below(5) {
        0 => {
            let parts: Vec<Value> = (0..numbers.below(3)).map(|_| said(text(numbers))).collect();
            says(&parts)
        }
        1 => says(&[refused(text(numbers))]),
        2 => {
            let parts: Vec<&str> = (0..numbers.below(3)).map(|_| text(numbers)).collect();
            thinks(&parts)
        }
        3 => searches("ws_1", json!({"type": "search", "query": text(numbers)})),
        _ => {
            let id = numbers.pick(&["", "a", "b", "\u{e9}"]);
            let arguments = numbers.pick(&["", "{}", "{\"a\":1}", "{\"a\":", "oops"]);
            calls(id, numbers.pick(&["f", "g", ""]), arguments)
        }
    }
}

fn last(numbers: &mut Numbers, output: &[Value]) -> Value {
    let error =
        numbers.pick(&[Value::Null, Value::Null, json!({"code": "x"}), json!("words"), json!(7)]);
    let details = numbers.pick(&[Value::Null, json!({"reason": "max_output_tokens"}), json!([1])]);
    let more = numbers.pick(&[
        json!({}),
        json!({}),
        json!({}),
        json!({"usage": null}),
        json!({"usage": {"input_tokens": "x", "output_tokens": -3, "output_tokens_details": null}}),
        json!({"status": "incomplete", "incomplete_details": details}),
        json!({"status": "failed", "error": error}),
    ]);
    with(response(output), more)
}

/// Changes a member of an event to a value that no server should send, or removes it.
fn spoil(numbers: &mut Numbers, event: &mut Value) {
    let values = [
        Value::Null,
        json!(0),
        json!(9),
        json!(-1),
        json!("x"),
        json!(""),
        json!({"x": [1]}),
        json!([]),
    ];
    let keys = [
        "output_index",
        "item_id",
        "content_index",
        "summary_index",
        "delta",
        "text",
        "item",
        "part",
        "arguments",
        "name",
        "unknown",
    ];
    let key = numbers.pick(&keys);
    match numbers.below(3) {
        0 => drop(event.as_object_mut().unwrap().remove(key)),
        _ => event[key] = numbers.pick(&values),
    }
}

fn sequence(numbers: &mut Numbers) -> Vec<Value> {
    let output: Vec<Value> = (0..numbers.below(5)).map(|_| item(numbers)).collect();
    let mut all = Vec::new();
    for event in events(&last(numbers, &output)) {
        let mut event = event;
        if numbers.below(12) == 0 {
            spoil(numbers, &mut event);
        }
        match numbers.below(20) {
            0 => {}
            1 => all.extend([event.clone(), event]),
            2 if !all.is_empty() => {
                let at = numbers.below(all.len());
                all.insert(at, event);
            }
            _ => all.push(event),
        }
    }
    all
}

#[test]
fn any_events_end_in_a_valid_stream_or_an_error() {
    let mut numbers = Numbers(0x5eed_0000_7777_0003);
    let (mut good, mut bad) = (0, 0);
    for _ in 0..1500 {
        let all = sequence(&mut numbers);
        let mut text = String::new();
        for event in &all {
            let name = event["type"].as_str().unwrap();
            text.push_str(&numbers.pick(&[
                format!("event: {name}\ndata: {event}\n\n"),
                format!("data:{event}\r\n\r\n"),
                format!(": c\ndata: {event}\n\n"),
            ]));
        }
        if numbers.below(8) == 0 {
            text.push_str("data: [DONE]\n\n");
        }
        let size = numbers.pick(&[1, 3, 17, 4096]);
        match is_valid(&text, sent(&text, size, frame())) {
            true => good += 1,
            false => bad += 1,
        }
    }
    assert!(good > 100 && bad > 100, "{good} good, {bad} bad");
}
