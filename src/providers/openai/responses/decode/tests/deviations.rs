//! Streams of servers that leave out, change or repeat members of events.
use super::made::*;
use super::*;

fn answer() -> Value {
    response(&[
        thinks(&["One.", "Two."]),
        says(&[said("Hello."), said("More.")]),
        calls("call_1", "f", "{\"a\":1}"),
        calls("call_2", "g", "{\"b\":2}"),
    ])
}

/// Returns the events of the answer after a change, without those that it removes.
fn changed(change: impl Fn(&mut Value) -> bool) -> Vec<Value> {
    events(&answer())
        .into_iter()
        .filter_map(|mut event| change(&mut event).then_some(event))
        .collect()
}

fn without(keys: &[&str]) -> Vec<Value> {
    changed(|event| {
        let object = event.as_object_mut().unwrap();
        keys.iter().for_each(|key| drop(object.remove(*key)));
        true
    })
}

fn is(event: &Value, end: &str) -> bool {
    event["type"].as_str().unwrap().ends_with(end)
}

#[track_caller]
fn same(events: &[Value]) {
    assert_eq!(streamed(events).unwrap(), whole(&answer()).unwrap());
}

#[test]
fn indexes_and_numbers_of_events_are_optional() {
    same(&without(&["sequence_number"]));
    let indexes = ["sequence_number", "output_index", "content_index", "summary_index"];
    same(&without(&indexes));
    same(&without(&[&indexes[..], &["item_id"]].concat()));
    same(&without(&["item_id"]));
}

#[test]
fn null_is_the_same_as_absent() {
    same(&changed(|event| {
        for key in ["content_index", "item_id", "response", "part", "error", "name"] {
            let is_needed = key == "response" && is(event, "completed");
            if event.get(key).is_none() || (event[key].is_string() && !is_needed) {
                event[key] = Value::Null;
            }
        }
        true
    }));
}

#[test]
fn ids_of_items_may_change_between_events() {
    let mut n = 0;
    let mut all = events(&answer());
    for event in &mut all {
        n += 1;
        for place in ["/item_id", "/item/id"] {
            if let Some(id) = event.pointer_mut(place).filter(|id| id.as_str() != Some("rs_1")) {
                *id = format!("other_{n}").into();
            }
        }
    }
    same(&all);
}

#[test]
fn content_that_only_comes_whole_is_taken_once() {
    let deltas = |event: &Value| is(event, ".delta");
    same(&changed(|event| !deltas(event)));
    // no part either
    same(&changed(|event| !deltas(event) && !is(event, "part.added") && !is(event, "part.done")));
    // items only
    same(&changed(|event| is(event, "output_item.done") || is(event, "response.completed")));
    // the last event only
    same(&changed(|event| is(event, "response.completed")));
    // no beginning of items, except for calls, which have their id there
    let is_call = |event: &Value| event["item"]["type"] == "function_call";
    same(&changed(|event| !is(event, "output_item.added") || is_call(event)));
}

#[test]
fn repeated_events_change_nothing() {
    let twice: Vec<Value> = events(&answer())
        .into_iter()
        .flat_map(|event| {
            let times = if is(&event, ".delta") { 1 } else { 2 };
            std::iter::repeat_n(event, times)
        })
        .collect();
    same(&twice);
}

#[test]
fn calls_whose_pieces_alternate_stay_apart() {
    let output = [calls("call_1", "f", "{\"a\":1}"), calls("call_2", "g", "{\"b\":2}")];
    let (one, two) = (item_events(0, &output[0]), item_events(1, &output[1]));
    let mixed = one.into_iter().zip(two).flat_map(|(one, two)| [one, two]);
    let last = json!({"type": "response.completed", "response": response(&output)});
    let found = streamed(&mixed.chain([last]).collect::<Vec<Value>>()).unwrap();
    assert_eq!(found, whole(&response(&output)).unwrap());
}

#[test]
fn one_index_for_all_items_is_no_index() {
    same(&changed(|event| {
        if event.get("output_index").is_some() {
            event["output_index"] = 0.into();
        }
        true
    }));
}

#[test]
fn unknown_events_and_keep_alives_are_ignored() {
    let mut all = events(&answer());
    all.insert(2, json!({"type": "keepalive"}));
    all.insert(2, json!({"type": "response.queued", "response": {}}));
    all.insert(5, json!({"type": "response.audio.delta", "delta": "AAAA", "output_index": 0}));
    same(&all);
    let text = format!(": ping\n\n{}data: [DONE]\n\n", body(&all));
    assert_eq!(fold(&sent(&text, 3, frame()).unwrap()), whole(&answer()).unwrap());
    let unnamed = text.lines().filter(|line| !line.starts_with("event:"));
    let unnamed = unnamed.collect::<Vec<&str>>().join("\r\n") + "\r\n";
    assert_eq!(fold(&sent(&unnamed, 3, frame()).unwrap()), whole(&answer()).unwrap());
}

#[test]
fn done_is_the_servers_word_for_the_end() {
    let all = events(&response(&[says(&[said("x")])]));
    let text = format!("{}data: [DONE]\n\n", body(&all[..all.len() - 1]));
    let found = fold(&sent(&text, usize::MAX, frame()).unwrap());
    assert_eq!((content(&found).len(), &found["stop_reason"]), (1, &json!("end_turn")));
}

#[test]
fn the_name_of_a_call_may_come_late_and_its_arguments_as_an_object() {
    let item = json!({"type": "function_call", "id": "x", "call_id": "call_x", "arguments": ""});
    let late = [
        json!({"type": "response.output_item.added", "item": item}),
        json!({"type": "response.function_call_arguments.delta", "item_id": "x", "delta": "{\"a\":"}),
        json!({"type": "response.function_call_arguments.delta", "item_id": "x", "delta": "1}"}),
        json!({"type": "response.function_call_arguments.done", "item_id": "x", "name": "f", "arguments": "{\"a\":1}"}),
    ];
    let last = json!({"type": "response.completed", "response": {"status": "completed"}});
    let found = content(&streamed(&[&late[..], std::slice::from_ref(&last)].concat()).unwrap());
    assert_eq!((&found[0]["name"], &found[0]["input"]), (&json!("f"), &json!({"a": 1})));
    let object = with(calls("a", "f", ""), json!({"arguments": {"a": 1.0}}));
    let found = content(&whole(&response(&[object])).unwrap());
    assert_eq!((&found[0]["id"], &found[0]["input"]), (&json!("a"), &json!({"a": 1.0})));
}

#[test]
fn arguments_that_are_no_json_are_an_error_of_a_whole_answer() {
    let error = whole(&response(&[calls("a", "f", "{oops")])).unwrap_err();
    assert!(error.kind == ErrorKind::BadUpstream && error.message.contains("`f`"));
}

#[test]
fn an_answer_in_the_other_form_is_read_all_the_same() {
    let json = answer().to_string();
    let all = decode::events(&mut Responses::default(), json.as_bytes(), frame()).unwrap();
    assert_eq!(fold(&all), whole(&answer()).unwrap());
    let text = body(&events(&answer()));
    let folded = decode::folded(&mut Responses::default(), text.as_bytes(), frame()).unwrap();
    assert_eq!(message(&folded), whole(&answer()).unwrap());
}
