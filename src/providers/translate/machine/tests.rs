//! Steps in every order become valid streams.
use serde_json::{Map, Value, json};

use super::*;
use crate::wire::EventKind;

fn frame() -> Frame {
    Frame {
        asked_model: "alias".to_owned(),
        model: "m".to_owned(),
        estimate: 7,
        names: Names::default(),
        stops: Vec::new(),
        seal: Seal::new("up", "chat", "key"),
        shows_thinking: true,
    }
}

fn kinds(events: &[Event]) -> Vec<&'static str> {
    events.iter().map(|event| event.kind.as_str()).collect()
}

fn call(key: u64, id: Option<&str>, name: Option<&str>) -> Op {
    Op::Call { key, id: id.map(str::to_owned), name: name.map(str::to_owned) }
}

fn args(key: u64, json: &str) -> Op {
    Op::Args { key, json: json.to_owned() }
}

#[test]
fn nothing_is_sent_before_the_first_content() {
    let mut machine = Machine::new(frame());
    assert!(
        machine
            .push(vec![Op::Usage(Tokens::default()), Op::Text(String::new())])
            .unwrap()
            .is_empty()
    );
    assert!(machine.push(vec![call(0, Some("a"), None)]).unwrap().is_empty());
    let events = machine.push(vec![call(0, None, Some("f"))]).unwrap();
    assert_eq!(kinds(&events), ["message_start", "content_block_start"]);
}

#[test]
fn a_silent_upstream_gets_an_early_start_once() {
    let mut machine = Machine::new(frame());
    assert_eq!(kinds(&machine.begin_early().unwrap()), ["message_start", "ping"]);
    assert!(machine.begin_early().unwrap().is_empty());
    let events = machine.push(vec![Op::Text("a".to_owned())]).unwrap();
    assert_eq!(kinds(&events), ["content_block_start", "content_block_delta"]);
}

#[test]
fn a_complete_call_ends_when_the_next_one_begins_and_an_open_one_holds_it_back() {
    let mut machine = Machine::new(frame());
    machine.push(vec![call(0, Some("a"), Some("f")), args(0, "{\"x\":")]).unwrap();
    // the second call waits for the first
    assert!(machine.push(vec![call(1, Some("b"), Some("g")), args(1, "{}")]).unwrap().is_empty());
    let events = machine.push(vec![args(0, "1}")]).unwrap();
    let expected =
        ["content_block_delta", "content_block_stop", "content_block_start", "content_block_delta"];
    assert_eq!(kinds(&events), expected);
}

#[test]
fn late_arguments_of_an_ended_call_are_an_error() {
    let mut machine = Machine::new(frame());
    let ops = vec![call(0, Some("a"), Some("f")), args(0, "{}"), Op::Text("t".to_owned())];
    machine.push(ops).unwrap();
    assert!(machine.push(vec![args(0, " ")]).is_ok());
    assert_eq!(machine.push(vec![args(0, "{}")]).unwrap_err().kind, ErrorKind::BadUpstream);
}

#[test]
fn a_call_without_a_name_is_an_error() {
    let mut machine = Machine::new(frame());
    machine.push(vec![args(0, "{}")]).unwrap();
    let error = machine.push(vec![Op::Finish(Finish::Turn), Op::Done]).unwrap_err();
    assert!(error.message.contains("without a name"));
}

#[test]
fn a_failure_is_an_error_with_its_status_and_nothing_follows() {
    let mut machine = Machine::new(frame());
    let failure = Failure {
        kind: ErrorKind::RateLimit,
        status: 429,
        message: "slow".to_owned(),
        retry_after: None,
    };
    let error = machine.push(vec![Op::Text("a".to_owned()), Op::Fail(failure)]).unwrap_err();
    assert_eq!(
        (error.kind, error.upstream().unwrap().status.unwrap().as_u16()),
        (ErrorKind::RateLimit, 429)
    );
}

#[test]
fn an_answer_has_one_end_whatever_follows_it() {
    let mut machine = Machine::new(frame());
    let ops = vec![
        Op::Text("a".to_owned()),
        Op::Finish(Finish::MaxTokens),
        Op::Finish(Finish::Turn),
        Op::Done,
        Op::Done,
        Op::Text("b".to_owned()),
    ];
    let events = machine.push(ops).unwrap();
    let ends = events.iter().filter(|event| event.kind == EventKind::MessageDelta).count();
    assert_eq!((ends, events.last().unwrap().kind), (1, EventKind::MessageStop));
    assert!(machine.end().unwrap().is_empty());
    let delta: Map<String, Value> =
        serde_json::from_slice(&events[events.len() - 2].data()).unwrap();
    assert_eq!(delta["delta"]["stop_reason"], json!("max_tokens"));
}

#[test]
fn a_whole_block_and_an_empty_signature_have_their_places() {
    let mut machine = Machine::new(frame());
    let block = json!({"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}})
        .to_string();
    let mut events = machine
        .push(vec![
            Op::Signature("p".to_owned()),
            Op::Block(block),
            Op::Text("t".to_owned()),
            Op::Finish(Finish::Turn),
        ])
        .unwrap();
    events.extend(machine.end().unwrap());
    let starts: Vec<Value> = events
        .iter()
        .filter(|event| event.kind == EventKind::ContentBlockStart)
        .map(|event| {
            serde_json::from_slice::<Value>(&event.data()).unwrap()["content_block"]["type"].clone()
        })
        .collect();
    assert_eq!(starts, ["thinking", "server_tool_use", "text"]);
}
