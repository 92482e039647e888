//! Several turns as one stream: for any upstream events, the caller receives one message in order.
mod generated;

use crate::policy::ToolOutput;
use crate::server_tools::splice::Splice;
use crate::server_tools::tool::ServerTool;
use crate::wire::{Endpoint, Event, EventKind, MessagesRequest};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::testing::grammar;
use crate::testing::turn::{call, message, plain_text, result, text, thinking};
use crate::testing::turns::{events, folded, hidden, restored, shown};

/// The outcome of a loop over turns with tools that answer `ran <id>`.
struct Run {
    /// The events that the caller receives.
    seen: Vec<Event>,
    /// The assistant's and the user's messages that went back upstream.
    sent: Vec<Value>,
}

fn run(tools: &[ServerTool], turns: &[Value]) -> Run {
    run_events(tools, turns.iter().map(events).collect(), None)
}

fn run_events(tools: &[ServerTool], turns: Vec<Vec<Event>>, pause: Option<&str>) -> Run {
    let mut splice = Splice::new(tools);
    let mut run = Run { seen: Vec::new(), sent: Vec::new() };
    let count = turns.len();
    for (n, turn) in turns.into_iter().enumerate() {
        for event in turn {
            run.seen.extend(splice.push(event).unwrap());
        }
        assert!(splice.is_turn_complete());
        let calls = splice.calls();
        let mut results = Vec::new();
        for call in &calls {
            splice.count(call);
            let content = ran(&tools[call.tool].name, &call.id);
            run.seen.extend(splice.result(call, &ToolOutput::new(content.to_string())).unwrap());
            results.push(result(&call.id, content));
        }
        let is_last = n + 1 == count;
        if calls.is_empty() || splice.callers_call().is_some() || is_last {
            assert!(is_last, "turn {n} ends the message, {} are left", count - n - 1);
            run.sent.push(json!({"role": "assistant", "content": blocks(&splice)}));
            run.sent.push(json!({"role": "user", "content": results}));
            let is_ours = !calls.is_empty() && splice.callers_call().is_none();
            let pause = pause.or(is_ours.then_some("pause_turn"));
            run.seen.extend(splice.finish(pause).unwrap());
            break;
        }
        run.sent.push(json!({"role": "assistant", "content": blocks(&splice)}));
        run.sent.push(json!({"role": "user", "content": results}));
        splice.next_turn().unwrap();
    }
    run
}

/// Returns the output of a tool; every other call of search and fetch has their own form.
fn ran(tool: &str, id: &str) -> Value {
    let is_even = id.bytes().last().is_some_and(|byte| byte % 2 == 0);
    let told = match tool {
        "web_search" if is_even => {
            r#"{"query":null,"results":[{"title":"t","url":"u","page_age":null,"snippet":"s","more":[1.50]}]}"#
        }
        "web_fetch" if is_even => {
            r#"{"url":"u","title":"t","text":"x\ny","retrieved_at":null,"truncated":true,"next_cursor":"9"}"#
        }
        _ => return json!([text(&format!("ran {id}"))]),
    };
    json!([text(told)])
}

fn blocks(splice: &Splice<'_>) -> Value {
    let blocks = splice.blocks().unwrap();
    blocks.iter().map(|block| serde_json::from_slice::<Value>(block).unwrap()).collect()
}

fn frames(events: &[Event]) -> Vec<&[u8]> {
    events.iter().map(|event| &event.frame()[..]).collect()
}

fn data(event: &Event) -> Value {
    serde_json::from_slice(&event.data()).unwrap()
}

fn frame(text: &str) -> Event {
    Event::from_frame(text.to_owned().into())
}

fn now(id: &str) -> Value {
    call(id, "gateway_now", json!({"zone": "UTC"}))
}

#[test]
fn a_message_without_calls_of_ours_keeps_every_byte() {
    let tools = [shown("now")];
    let theirs = call("c1", "weather", json!({"city": "Paris"}));
    let turn = events(&message(json!([thinking("hm"), text("hi"), theirs]), "tool_use"));
    let mut padded: Vec<Event> = Vec::new();
    for event in &turn {
        let text = std::str::from_utf8(event.frame()).unwrap().replace("}\n\n", "}   \n\n");
        padded.push(frame(&text));
        padded.push(frame(": a comment\n\n"));
        padded.push(Event::ping());
    }
    let run = run_events(&tools, vec![padded.clone()], None);
    assert_eq!(frames(&run.seen), frames(&padded));
}

#[test]
fn the_first_turn_keeps_its_bytes_up_to_our_call() {
    let tools = [shown("now")];
    let first = message(json!([thinking("hm"), text("let me see"), now("c1")]), "tool_use");
    let run = run(&tools, &[first.clone(), message(json!([text("noon")]), "end_turn")]);
    let upstream = events(&first);
    let ours = upstream.iter().position(|event| data(event)["content_block"]["id"] == "c1");
    let ours = ours.unwrap();
    assert_eq!(frames(&run.seen[..ours]), frames(&upstream[..ours]));
    grammar::check(&crate::testing::seen(&run.seen)).unwrap();
    let message = folded(&run.seen);
    assert_eq!(
        message["content"],
        json!([
            thinking("hm"),
            text("let me see"),
            {"type": "mcp_tool_use", "id": "c1", "name": "now", "input": {"zone": "UTC"}, "server_name": "gateway"},
            {"type": "mcp_tool_result", "tool_use_id": "c1", "is_error": false, "content": [plain_text("ran c1")]},
            text("noon"),
        ])
    );
    assert_eq!(message["stop_reason"], "end_turn");
}

#[test]
fn usage_is_the_sum_of_all_turns_and_counts_the_calls() {
    let mut first = message(json!([now("c1"), now("c2")]), "tool_use");
    first["usage"] = json!({
        "input_tokens": 10, "output_tokens": 3, "cache_creation_input_tokens": 100,
        "cache_read_input_tokens": null, "service_tier": "standard",
        "cache_creation": {"ephemeral_5m_input_tokens": 100, "ephemeral_1h_input_tokens": 0},
        "output_tokens_details": {"thinking_tokens": 1},
        "iterations": [{"type": "message", "output_tokens": 3}],
    });
    let mut second = message(json!([text("noon")]), "end_turn");
    second["usage"] = json!({
        "input_tokens": 1, "output_tokens": 5, "cache_creation_input_tokens": 20,
        "cache_read_input_tokens": 110, "service_tier": "standard",
        "cache_creation": {"ephemeral_5m_input_tokens": 20, "ephemeral_1h_input_tokens": 0},
        "output_tokens_details": {"thinking_tokens": 2},
        "iterations": [{"type": "message", "output_tokens": 5}],
    });
    let run = run(&[shown("now")], &[first, second]);
    grammar::check(&crate::testing::seen(&run.seen)).unwrap();
    assert_eq!(
        folded(&run.seen)["usage"],
        json!({
            "input_tokens": 11, "output_tokens": 8, "cache_creation_input_tokens": 120,
            "cache_read_input_tokens": 110, "service_tier": "standard",
            "cache_creation": {"ephemeral_5m_input_tokens": 120, "ephemeral_1h_input_tokens": 0},
            "output_tokens_details": {"thinking_tokens": 3},
            "iterations": [{"type": "message", "output_tokens": 3}, {"type": "message", "output_tokens": 5}],
            "server_tool_use": {"web_search_requests": 0, "web_fetch_requests": 0, "now_requests": 2},
        })
    );
}

#[test]
fn counters_of_native_server_tools_stay_beside_ours() {
    let mut first = message(json!([now("c1")]), "tool_use");
    first["usage"]["server_tool_use"] = json!({"web_search_requests": 2, "web_fetch_requests": 1});
    let mut second = message(json!([text("noon")]), "end_turn");
    second["usage"]["server_tool_use"] = json!({"web_search_requests": 1, "web_fetch_requests": 0});
    let seen = run(&[shown("now")], &[first, second]).seen;
    assert_eq!(
        folded(&seen)["usage"]["server_tool_use"],
        json!({"web_search_requests": 3, "web_fetch_requests": 1, "now_requests": 1})
    );
}

#[test]
fn hidden_calls_leave_no_trace() {
    let first = message(json!([text("let me see"), now("c1"), text("and")]), "tool_use");
    let second = message(json!([now("c2")]), "tool_use");
    let run = run(&[hidden("now")], &[first, second, message(json!([text("noon")]), "end_turn")]);
    grammar::check(&crate::testing::seen(&run.seen)).unwrap();
    let message = folded(&run.seen);
    assert_eq!(message["content"], json!([text("let me see"), text("and"), text("noon")]));
    assert_eq!(message["usage"]["server_tool_use"], json!(null));
    assert_eq!(message["usage"]["input_tokens"], 30);
    assert_eq!(run.sent[1]["content"][0]["tool_use_id"], "c1");
}

#[test]
fn searches_that_are_hidden_count_where_the_api_has_a_counter() {
    let search = message(json!([call("c1", "gateway_web_search", json!({}))]), "tool_use");
    let run = run(&[hidden("web_search")], &[search, message(json!([text("so")]), "end_turn")]);
    let message = folded(&run.seen);
    assert_eq!(message["content"], json!([text("so")]));
    let counts = json!({"web_search_requests": 1, "web_fetch_requests": 0});
    assert_eq!(message["usage"]["server_tool_use"], counts);
}

#[test]
fn a_mixed_turn_ends_with_our_results_and_the_callers_calls() {
    let theirs = call("c2", "weather", json!({"city": "Paris"}));
    let turn = message(json!([text("both"), now("c1"), theirs.clone(), now("c3")]), "tool_use");
    let run = run(&[shown("now")], &[turn]);
    grammar::check(&crate::testing::seen(&run.seen)).unwrap();
    let message = folded(&run.seen);
    let kinds: Vec<&str> = message["content"]
        .as_array()
        .unwrap()
        .iter()
        .map(|b| b["type"].as_str().unwrap())
        .collect();
    assert_eq!(
        kinds,
        ["text", "mcp_tool_use", "tool_use", "mcp_tool_use", "mcp_tool_result", "mcp_tool_result"]
    );
    assert_eq!(message["content"][2], theirs);
    assert_eq!(message["stop_reason"], "tool_use");
}

#[test]
fn a_call_that_was_cut_off_is_not_run() {
    let mut turn = events(&message(json!([text("let me see"), now("c1")]), "max_tokens"));
    let cut = turn.iter().position(|event| data(event)["delta"]["partial_json"].is_string());
    turn[cut.unwrap()] = frame(
        "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":1,\"delta\":{\"type\":\"input_json_delta\",\"partial_json\":\"{\\\"zo\"}}\n\n",
    );
    let run = run_events(&[shown("now")], vec![turn], None);
    let message = folded(&run.seen);
    assert_eq!(message["stop_reason"], "max_tokens");
    assert_eq!(message["content"][1]["type"], "mcp_tool_use");
    assert_eq!(message["content"][1]["input"], json!({}));
    assert_eq!(message["content"].as_array().unwrap().len(), 2);
}

#[test]
fn a_refusal_after_a_call_keeps_its_stop_details() {
    let mut last = message(json!([]), "refusal");
    last["stop_details"] = json!({"type": "refusal", "category": "cyber", "explanation": "no"});
    let run = run(&[shown("now")], &[message(json!([now("c1")]), "tool_use"), last]);
    grammar::check(&crate::testing::seen(&run.seen)).unwrap();
    let message = folded(&run.seen);
    assert_eq!(message["stop_reason"], "refusal");
    assert_eq!(message["stop_details"]["category"], "cyber");
}

#[test]
fn the_fields_of_the_last_message_delta_are_kept() {
    let mut last = events(&message(json!([text("noon")]), "end_turn"));
    let at = last.len() - 2;
    last[at] = frame(
        "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\",\"stop_sequence\":null,\"container\":{\"id\":\"box\"}},\"usage\":{\"output_tokens\":3},\"context_management\":{\"applied_edits\":[]}}\n\n",
    );
    let first = events(&message(json!([now("c1")]), "tool_use"));
    let seen = run_events(&[shown("now")], vec![first, last], None).seen;
    grammar::check(&crate::testing::seen(&seen)).unwrap();
    let message = folded(&seen);
    assert_eq!(message["container"], json!({"id": "box"}));
    assert_eq!(message["context_management"], json!({"applied_edits": []}));
}

#[test]
fn several_message_deltas_become_one() {
    let mut last = events(&message(json!([text("noon")]), "end_turn"));
    let at = last.len() - 1;
    last.insert(
        at,
        frame("event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{},\"usage\":{\"output_tokens\":9}}\n\n"),
    );
    let first = events(&message(json!([now("c1")]), "tool_use"));
    let seen = run_events(&[shown("now")], vec![first, last], None).seen;
    grammar::check(&crate::testing::seen(&seen)).unwrap();
    let message = folded(&seen);
    assert_eq!(message["stop_reason"], "end_turn");
    assert_eq!(message["usage"]["output_tokens"], 12);
}

#[test]
fn a_pause_says_so_and_keeps_the_rest() {
    let turn = events(&message(json!([text("one"), now("c1")]), "tool_use"));
    let seen = run_events(&[shown("now")], vec![turn], Some("pause_turn")).seen;
    grammar::check(&crate::testing::seen(&seen)).unwrap();
    let message = folded(&seen);
    assert_eq!(message["stop_reason"], "pause_turn");
    assert_eq!(message["content"][2]["type"], "mcp_tool_result");
    assert_eq!(message["usage"]["output_tokens"], 3);
}

#[test]
fn blocks_from_the_gateway_have_every_field_of_the_api_schema() {
    for (tool, use_members, result_members) in [
        (
            "now",
            &["id", "name", "server_name", "input"][..],
            &["tool_use_id", "is_error", "content"][..],
        ),
        ("web_search", &["id", "name", "input", "caller"], &["tool_use_id", "content", "caller"]),
        ("web_fetch", &["id", "name", "input", "caller"], &["tool_use_id", "content", "caller"]),
    ] {
        let ours = call("c1", &format!("gateway_{tool}"), json!({}));
        let last = message(json!([text("noon")]), "end_turn");
        let seen = run(&[shown(tool)], &[message(json!([ours]), "tool_use"), last]).seen;
        let whole = folded(&seen);
        let has = |value: &Value, members: &[&str]| {
            for member in members {
                assert!(value.get(member).is_some(), "{tool}: no `{member}` in {value}");
            }
        };
        has(&whole["content"][0], use_members);
        has(&whole["content"][1], result_members);
        let end = seen.iter().find(|event| event.kind == EventKind::MessageDelta).unwrap();
        has(&data(end)["delta"], &["stop_reason", "stop_sequence", "stop_details", "container"]);
        let usage = [
            "input_tokens",
            "output_tokens",
            "cache_creation_input_tokens",
            "cache_read_input_tokens",
            "output_tokens_details",
            "server_tool_use",
        ];
        has(&data(end)["usage"], &usage);
    }
}

#[test]
fn a_container_that_the_upstream_names_at_the_start_survives() {
    let mut last = events(&message(json!([text("noon")]), "end_turn"));
    let mut start = data(&last[0]);
    start["message"]["container"] = json!({"id": "box"});
    last[0] = Event::new(EventKind::MessageStart, start.to_string().as_bytes());
    let first = events(&message(json!([now("c1")]), "tool_use"));
    let seen = run_events(&[shown("now")], vec![first, last], None).seen;
    assert_eq!(folded(&seen)["container"], json!({"id": "box"}));
}

#[test]
fn an_upstream_that_leaves_its_last_block_open_gets_it_closed() {
    let mut last = events(&message(json!([text("noon")]), "end_turn"));
    last.retain(|event| event.kind != EventKind::ContentBlockStop);
    let first = events(&message(json!([now("c1")]), "tool_use"));
    let seen = run_events(&[shown("now")], vec![first, last], None).seen;
    assert_eq!(grammar::check(&crate::testing::seen(&seen)), Ok(()));
}

#[test]
fn an_event_out_of_order_is_an_error_of_the_upstream() {
    let tools = [shown("now")];
    let turn = events(&message(json!([text("a"), text("b")]), "end_turn"));
    let stop = turn.iter().position(|event| event.kind == EventKind::ContentBlockStop).unwrap();
    let mut splice = Splice::new(&tools);
    let turn = turn.into_iter().enumerate().filter(|(n, _)| *n != stop).map(|(_, event)| event);
    let error = turn.map(|event| splice.push(event)).find_map(Result::err).unwrap();
    assert!(error.message.contains("`content_block_start` cannot come within"), "{error}");
    assert_eq!(error.status(), 502);
}

#[test]
fn an_unknown_event_of_a_block_moves_and_hides_with_it() {
    let future = |index: u64| {
        frame(&format!(
            "event: future\ndata: {{\"type\":\"future\",\"index\":{index},\"more\":1}}\n\n"
        ))
    };
    let with_future = |message: &Value, index: u64| {
        let mut turn = events(message);
        let start = turn.iter().position(|event| data(event)["index"] == index).unwrap();
        turn.insert(start + 1, future(index));
        turn
    };
    let first = with_future(&message(json!([text("a"), now("c1")]), "tool_use"), 1);
    let second = with_future(&message(json!([text("noon")]), "end_turn"), 0);
    let moved = |seen: &[Event]| -> Vec<Event> {
        seen.iter().filter(|event| event.kind == EventKind::Other).cloned().collect()
    };
    let seen = run_events(&[shown("now")], vec![first.clone(), second.clone()], None).seen;
    grammar::check(&crate::testing::seen(&seen)).unwrap();
    assert_eq!(frames(&moved(&seen)), frames(&[future(1), future(3)]));
    let seen = run_events(&[hidden("now")], vec![first, second], None).seen;
    grammar::check(&crate::testing::seen(&seen)).unwrap();
    assert_eq!(frames(&moved(&seen)), frames(&[future(1)]));
}

#[test]
fn content_of_several_lines_stays_one_event() {
    let tools = [shown("now")];
    let mut splice = Splice::new(&tools);
    for event in events(&message(json!([now("c1")]), "tool_use")) {
        splice.push(event).unwrap();
    }
    let call = splice.calls().remove(0);
    let content = "[\n  {\"type\": \"text\",\r\n \"text\": \"a\\nb\"}\n]";
    let shown = splice.result(&call, &ToolOutput::new(content.to_owned())).unwrap();
    assert_eq!(data(&shown[0])["content_block"]["content"], json!([plain_text("a\nb")]));
    assert_eq!(shown[0].frame().iter().filter(|byte| **byte == b'\n').count(), 3);
}

#[test]
fn empty_text_does_not_go_back_upstream() {
    let turn = message(json!([text(""), now("c1")]), "tool_use");
    let run = run(&[shown("now")], &[turn, message(json!([text("noon")]), "end_turn")]);
    grammar::check(&crate::testing::seen(&run.seen)).unwrap();
    assert_eq!(run.sent[0]["content"], json!([now("c1")]));
}

#[test]
fn an_unknown_delta_breaks_nothing() {
    let mut turn = events(&message(json!([text("a"), now("c1")]), "tool_use"));
    turn.insert(
        2,
        frame("event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"future_delta\",\"text\":{\"x\":1}}}\n\n"),
    );
    let last = events(&message(json!([text("noon")]), "end_turn"));
    let run = run_events(&[shown("now")], vec![turn, last], None);
    grammar::check(&crate::testing::seen(&run.seen)).unwrap();
    assert_eq!(run.sent[0]["content"], json!([text("a"), now("c1")]));
}
