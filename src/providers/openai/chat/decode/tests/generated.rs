//! Any sequence of chunks ends in a valid Messages stream, or in an error.
use super::*;
use crate::providers::translate::trial::{Numbers, is_valid};

fn piece(numbers: &mut Numbers) -> Value {
    let texts = [Value::Null, json!(""), json!("a"), json!("bé\n"), json!(5), json!({"x": [1]})];
    let ids = [Value::Null, json!(""), json!("a"), json!("b"), json!("null"), json!(3)];
    let args = [
        Value::Null,
        json!(""),
        json!("{}"),
        json!("{\"a\":"),
        json!("1}"),
        json!({"o": 1}),
        json!("oops"),
    ];
    let indexes = [Value::Null, json!(0), json!(1), json!(9), json!("x"), json!(-1)];
    let mut delta = Map::new();
    for key in ["content", "reasoning", "reasoning_content", "refusal", "role", "unknown"] {
        if numbers.below(4) == 0 {
            delta.insert(key.to_owned(), numbers.pick(&texts));
        }
    }
    if numbers.below(2) == 0 {
        let call = json!({"index": numbers.pick(&indexes), "id": numbers.pick(&ids),
            "function": {"name": numbers.pick(&[Value::Null, json!("f"), json!("g"), json!("")]), "arguments": numbers.pick(&args)}});
        delta.insert(
            "tool_calls".to_owned(),
            numbers.pick(&[json!([call]), json!([call, null]), json!(null), json!([])]),
        );
    }
    let reason = numbers.pick(&[
        Value::Null,
        Value::Null,
        Value::Null,
        Value::Null,
        Value::Null,
        json!("stop"),
        json!("tool_calls"),
        json!("length"),
        json!("error"),
        json!(7),
    ]);
    let choice = json!({"index": numbers.pick(&[json!(0), json!(0), Value::Null, json!(1)]), "delta": delta, "finish_reason": reason});
    match numbers.below(12) {
        0 => json!({"choices": []}),
        1 => json!({"choices": null, "usage": {"prompt_tokens": 1, "completion_tokens": "x"}}),
        2 => {
            json!({"choices": [choice], "usage": {"prompt_tokens": 3, "completion_tokens": 4}, "timings": {}})
        }
        _ => json!({"choices": [choice], "id": null}),
    }
}

#[test]
fn any_chunks_end_in_a_valid_stream_or_an_error() {
    let mut numbers = Numbers(0x5eed_1234_9876_0001);
    let (mut good, mut bad) = (0, 0);
    for _ in 0..1000 {
        let mut text = String::new();
        for _ in 0..=numbers.below(12) {
            let chunk = piece(&mut numbers);
            text.push_str(&numbers.pick(&[
                format!("data: {chunk}\n\n"),
                format!("data:{chunk}\r\n\r\n"),
                format!(": c\nevent: message\ndata: {chunk}\n\n"),
            ]));
        }
        if numbers.below(3) > 0 {
            text.push_str("data: [DONE]\n\n");
        }
        let size = numbers.pick(&[1, 3, 17, 4096]);
        match is_valid(&text, events_of(&text, size, frame())) {
            true => good += 1,
            false => bad += 1,
        }
    }
    assert!(good > 100 && bad > 100, "{good} good, {bad} bad");
}
