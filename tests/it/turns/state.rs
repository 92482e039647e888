//! State of a conversation at the upstream: the next turn names it, and the caller learns of it at the end.
use serde_json::{Value, json};

use super::{ask, blocks};
use crate::support::client::Ask;
use crate::support::gateway::{Gateway, looping};
use crate::support::turn::{call, frame, frames, message, text};
use crate::support::upstream::Upstream;

/// Returns the frames of a turn, with more members in its end.
fn ended(turn: &Value, delta: &Value, beside: &Value) -> Vec<String> {
    let mut all = frames(turn);
    let at = all.len() - 2;
    let data = all[at].split_once("data: ").unwrap().1.to_owned();
    let mut data: Value = serde_json::from_str(&data).unwrap();
    data["delta"].as_object_mut().unwrap().extend(delta.as_object().unwrap().clone());
    data.as_object_mut().unwrap().extend(beside.as_object().unwrap().clone());
    all[at] = frame(&data);
    all
}

fn calling(id: &str) -> Value {
    let code = json!({"type": "server_tool_use", "id": "srvtoolu_1", "name": "code_execution", "input": {"code": "1"}});
    message(json!([code, call(id, "gateway_datetime", json!({}))]), "tool_use")
}

fn done() -> Value {
    message(json!([text("done")]), "end_turn")
}

/// Plays turns and returns the caller's message and the requests. `stream` selects the form of the answer.
async fn played(body: &Value, turns: &[Vec<String>]) -> (Value, Vec<Value>) {
    let mut up = Upstream::start().await;
    let gateway: Gateway = looping(up.address).start().await;
    let mut sent = Vec::new();
    let led = async {
        for turn in turns {
            let call = up.call().await;
            sent.push(call.json());
            call.frames(turn).await;
        }
    };
    let answer = async { Ask::message(body.to_string()).send(gateway.address).await };
    let (answer, ()) = tokio::join!(answer, led);
    (answer.message(), sent)
}

#[tokio::test]
async fn a_container_of_a_turn_is_named_in_the_next_and_in_the_end() {
    let container =
        json!({"id": "container_1", "expires_at": "2026-12-01T00:00:00Z", "skills": null});
    for (own, wanted) in [
        (Value::Null, json!("container_1")),
        (
            json!({"skills": [{"type": "anthropic", "skill_id": "xlsx"}]}),
            json!({"skills": [{"type": "anthropic", "skill_id": "xlsx"}], "id": "container_1"}),
        ),
        (json!("container_0"), json!("container_1")),
    ] {
        let mut body = ask("hi");
        if !own.is_null() {
            body["container"] = own.clone();
        }
        let first = ended(&calling("toolu_1"), &json!({"container": container}), &json!({}));
        let second = ended(&calling("toolu_2"), &json!({"container": null}), &json!({}));
        let (answer, sent) = played(&body, &[first, second, frames(&done())]).await;
        assert_eq!(sent[0].get("container").cloned().unwrap_or_default(), own);
        assert_eq!(sent[1]["container"], wanted);
        assert_eq!(sent[2]["container"], wanted);
        assert_eq!(answer["container"], container);
        assert_eq!(blocks(&answer, "text").len(), 1);
    }
}

#[tokio::test]
async fn a_container_that_the_start_of_a_turn_names_counts_too() {
    let mut first = calling("toolu_1");
    first["container"] = json!({"id": "container_1", "expires_at": "2026-12-01T00:00:00Z"});
    let (answer, sent) = played(&ask("hi"), &[frames(&first), frames(&done())]).await;
    assert_eq!(sent[1]["container"], "container_1");
    assert_eq!(answer["container"]["id"], "container_1");
}

#[tokio::test]
async fn reports_of_every_turn_are_in_the_last_event() {
    let edit = |n: u64| json!({"type": "clear_tool_uses_20250919", "cleared_tool_uses": n, "cleared_input_tokens": n});
    let report = |edits: Value| json!({"context_management": {"applied_edits": edits}});
    let mut first = report(json!([edit(1)]));
    first["input_transformations"] =
        json!([{"type": "thinking_dropped", "reason": "model_binding_mismatch"}]);
    let turns = [
        ended(&calling("toolu_1"), &json!({"of_tomorrow": "x"}), &first),
        ended(&calling("toolu_2"), &json!({}), &report(json!([edit(2)]))),
        ended(&done(), &json!({}), &report(json!([]))),
    ];
    let (answer, _) = played(&ask("hi"), &turns).await;
    assert_eq!(answer["context_management"]["applied_edits"], json!([edit(1), edit(2)]));
    assert_eq!(answer["input_transformations"], first["input_transformations"]);
    assert_eq!(answer["of_tomorrow"], "x");
    assert_eq!(answer["stop_reason"], "end_turn");
}

#[tokio::test]
async fn halves_of_a_character_in_two_deltas_are_joined_in_the_loop() {
    let half = |raw: &str| {
        let data = format!(
            r#"{{"type":"content_block_delta","index":0,"delta":{{"type":"text_delta","text":"{raw}"}}}}"#
        );
        format!("event: content_block_delta\ndata: {data}\n\n")
    };
    let mut first = frames(&message(
        json!([text("a"), call("toolu_1", "gateway_datetime", json!({}))]),
        "tool_use",
    ));
    first.splice(2..3, [half(r"a\ud83d"), half(r"\ude00b")]);
    let last = frames(&message(json!([text("c")]), "end_turn"));
    let (answer, sent) = played(&ask("hi"), &[first, last]).await;
    let texts: Vec<&Value> = blocks(&answer, "text").iter().map(|block| &block["text"]).collect();
    assert_eq!(texts, ["a😀b", "c"]);
    assert_eq!(sent[1]["messages"][1]["content"][0]["text"], "a😀b");
}

#[tokio::test]
async fn calls_of_the_callers_own_mcp_server_named_gateway_are_not_rewritten() {
    let mut up = Upstream::start().await;
    let gateway = looping(up.address).start().await;
    let history = json!([
        {"type": "mcp_tool_use", "id": "mcptoolu_01", "name": "now", "server_name": "gateway", "input": {}},
        {"type": "mcp_tool_result", "tool_use_id": "mcptoolu_01", "is_error": false, "content": [{"type": "text", "text": "12:00"}]},
        {"type": "text", "text": "noon"},
    ]);
    let mut body = ask("hi");
    body["mcp_servers"] = json!([{"type": "url", "name": "gateway", "url": "https://mcp.example"}]);
    let messages = body["messages"].as_array_mut().unwrap();
    messages.push(json!({"role": "assistant", "content": history}));
    messages.push(json!({"role": "user", "content": "and now?"}));
    let (answer, sent) =
        tokio::join!(Ask::message(body.to_string()).send(gateway.address), async {
            let call = up.call().await;
            let sent = call.json();
            call.frames(&frames(&done())).await;
            sent
        });
    assert_eq!(answer.status, 200);
    assert_eq!(sent["messages"], body["messages"]);
}
