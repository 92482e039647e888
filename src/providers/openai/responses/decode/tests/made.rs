//! Items, answers, and the events that lead to them.
use super::*;

pub(super) fn said(text: &str) -> Value {
    json!({"type": "output_text", "text": text, "annotations": [], "logprobs": []})
}

pub(super) fn refused(text: &str) -> Value {
    json!({"type": "refusal", "refusal": text})
}

pub(super) fn says(parts: &[Value]) -> Value {
    json!({"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": parts})
}

pub(super) fn calls(id: &str, name: &str, arguments: &str) -> Value {
    json!({"type": "function_call", "id": format!("fc_{id}"), "call_id": id, "name": name, "arguments": arguments, "status": "completed"})
}

pub(super) fn thinks(summary: &[&str]) -> Value {
    let summary: Vec<Value> =
        summary.iter().map(|text| json!({"type": "summary_text", "text": text})).collect();
    json!({"type": "reasoning", "id": "rs_1", "summary": summary, "encrypted_content": "gA"})
}

pub(super) fn searches(id: &str, action: Value) -> Value {
    json!({"type": "web_search_call", "id": id, "status": "completed", "action": action})
}

pub(super) fn response(output: &[Value]) -> Value {
    json!({
        "id": "resp_1", "object": "response", "status": "completed", "error": null, "incomplete_details": null,
        "model": "gpt", "output": output, "usage": {
            "input_tokens": 90, "input_tokens_details": {"cached_tokens": 64, "cache_write_tokens": 6},
            "output_tokens": 40, "output_tokens_details": {"reasoning_tokens": 22}, "total_tokens": 130},
    })
}

/// Returns a value with other members.
pub(super) fn with(mut value: Value, more: Value) -> Value {
    value.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    value
}

/// Returns the events of a whole answer, which ends with the status of `last`.
pub(super) fn events(last: &Value) -> Vec<Value> {
    let begun = with(last.clone(), json!({"status": "in_progress", "output": [], "usage": null}));
    let mut all = vec![
        json!({"type": "response.created", "response": begun}),
        json!({"type": "response.in_progress", "response": begun}),
    ];
    for (n, item) in last["output"].as_array().unwrap().iter().enumerate() {
        all.extend(item_events(n, item));
    }
    let status = last["status"].as_str().unwrap();
    all.push(json!({"type": format!("response.{status}"), "response": last}));
    for (n, event) in all.iter_mut().enumerate() {
        event["sequence_number"] = n.into();
    }
    all
}

pub(super) fn item_events(n: usize, item: &Value) -> Vec<Value> {
    let at = json!({"output_index": n, "item_id": item["id"]});
    let event = |kind: &str, more: Value| {
        with(with(json!({"type": format!("response.{kind}")}), at.clone()), more)
    };
    let item_event = |kind: &str, item: &Value| json!({"type": format!("response.output_item.{kind}"), "output_index": n, "item": item});
    let mut begun = with(item.clone(), json!({"status": "in_progress"}));
    let mut inside = Vec::new();
    match item["type"].as_str().unwrap() {
        "message" => {
            begun["content"] = json!([]);
            for (n, part) in item["content"].as_array().unwrap().iter().enumerate() {
                inside.extend(
                    part_events(part, json!({"content_index": n}))
                        .into_iter()
                        .map(|(kind, more)| event(&kind, more)),
                );
            }
        }
        "reasoning" => {
            begun["summary"] = json!([]);
            begun.as_object_mut().unwrap().remove("encrypted_content");
            for (n, part) in item["summary"].as_array().into_iter().flatten().enumerate() {
                let at = |more: Value| with(json!({"summary_index": n}), more);
                inside.push(event("reasoning_summary_part.added", at(json!({"part": {}}))));
                for half in halves(&part["text"]) {
                    inside.push(event("reasoning_summary_text.delta", at(json!({"delta": half}))));
                }
                let text = json!({"text": part["text"]});
                inside.push(event("reasoning_summary_text.done", at(text)));
                inside.push(event("reasoning_summary_part.done", at(json!({"part": part}))));
            }
            for (n, part) in item["content"].as_array().into_iter().flatten().enumerate() {
                for half in halves(&part["text"]) {
                    let more = json!({"content_index": n, "delta": half});
                    inside.push(event("reasoning_text.delta", more));
                }
            }
        }
        "function_call" => {
            begun["arguments"] = json!("");
            for half in halves(&item["arguments"]) {
                inside.push(event("function_call_arguments.delta", json!({"delta": half})));
            }
            let more = json!({"arguments": item["arguments"], "name": item["name"]});
            inside.push(event("function_call_arguments.done", more));
        }
        _ => {}
    }
    let (first, last) = (item_event("added", &begun), item_event("done", item));
    [first].into_iter().chain(inside).chain([last]).collect()
}

fn part_events(part: &Value, at: Value) -> Vec<(String, Value)> {
    let kind = part["type"].as_str().unwrap();
    let key = if kind == "refusal" { "refusal" } else { "text" };
    let mut events = vec![(
        "content_part.added".to_owned(),
        json!({"part": with(part.clone(), json!({key: ""}))}),
    )];
    for half in halves(&part[key]) {
        events.push((format!("{kind}.delta"), json!({"delta": half, "obfuscation": "x"})));
    }
    events.push((format!("{kind}.done"), json!({key: part[key]})));
    events.push(("content_part.done".to_owned(), json!({"part": part})));
    events.into_iter().map(|(kind, more)| (kind, with(at.clone(), more))).collect()
}

fn halves(text: &Value) -> Vec<String> {
    let letters: Vec<char> = text.as_str().unwrap_or_default().chars().collect();
    let (first, second) = letters.split_at(letters.len().div_ceil(2));
    [first, second]
        .iter()
        .filter(|half| !half.is_empty())
        .map(|half| half.iter().collect())
        .collect()
}
