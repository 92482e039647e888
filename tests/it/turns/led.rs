//! What only shows when the upstream waits: what the caller has by then, and what a gone caller ends.
use serde_json::{Value, json};
use tidegate::wire::EventKind;

use super::{ask, ask_unruly, data};
use crate::support::loop_gateway::{Looping, Opened, Upstream, within};
use crate::support::turn::{call, frames, message, text};

async fn led() -> (Upstream, Looping) {
    let upstream = Upstream::start().await;
    let gateway = Looping::before(upstream.address).await;
    (upstream, gateway)
}

async fn open(gateway: &Looping, mut body: Value) -> Opened {
    body["stream"] = true.into();
    gateway.open("/v1/messages", body.to_string()).await
}

/// Reads up to the event that fits.
async fn until(answer: &mut Opened, what: &str, fits: impl Fn(&Value) -> bool) -> Value {
    loop {
        let event = answer.event().await.unwrap_or_else(|| panic!("no {what}"));
        if fits(&data(&event)) {
            return data(&event);
        }
    }
}

fn with_call(name: &str) -> Value {
    let called = call("c1", &format!("gateway_{name}"), json!({}));
    message(json!([text("one moment"), called]), "tool_use")
}

fn turn_frames(words: &str) -> Vec<String> {
    frames(&message(json!([text(words)]), "end_turn"))
}

#[tokio::test]
async fn text_reaches_the_caller_before_the_turn_is_over() {
    let (mut upstream, gateway) = led().await;
    let asked = async { open(&gateway, ask("what time is it?")).await };
    let called = async {
        let chunks = upstream.call().await.stream();
        let frames = frames(&with_call("datetime"));
        // up to the first text
        chunks.send(Ok(frames[..3].concat().into())).await.unwrap();
        (chunks, frames)
    };
    let (mut answer, (chunks, frames)) = tokio::join!(asked, called);
    until(&mut answer, "text", |data| data["delta"]["text"] == "one moment").await;
    // the call has not even been made yet
    chunks.send(Ok(frames[3..].concat().into())).await.unwrap();
    drop(chunks);
    until(&mut answer, "result", |data| data["content_block"]["type"] == "mcp_tool_result").await;
    let second = upstream.call().await;
    assert_eq!(second.json()["messages"][2]["content"][0]["tool_use_id"], "c1");
    second.frames(&turn_frames("noon")).await;
    let mut last = None;
    while let Some(event) = answer.event().await {
        last = Some(event.kind);
    }
    assert_eq!(last, Some(EventKind::MessageStop));
}

#[tokio::test]
async fn an_upstream_that_does_not_close_holds_nothing_up() {
    let (mut upstream, gateway) = led().await;
    let asked = async { open(&gateway, ask("what time is it?")).await };
    let called = async {
        let first = upstream.call().await.stream();
        first.send(Ok(frames(&with_call("datetime")).concat().into())).await.unwrap();
        let second = upstream.call().await.stream();
        second.send(Ok(turn_frames("noon").concat().into())).await.unwrap();
        (first, second)
    };
    let (mut answer, _open) = tokio::join!(asked, called);
    until(&mut answer, "end", |data| data["type"] == "message_stop").await;
    assert!(answer.event().await.is_none());
}

#[tokio::test]
async fn a_gone_caller_ends_the_turn_under_way() {
    let (mut upstream, gateway) = led().await;
    let asked = async { open(&gateway, ask("what time is it?")).await };
    let called = async {
        upstream.call().await.frames(&frames(&with_call("datetime"))).await;
        let chunks = upstream.call().await.stream();
        chunks.send(Ok(turn_frames("noon")[..3].concat().into())).await.unwrap();
        chunks
    };
    // the head of the answer comes with the first event
    let (mut answer, chunks) = tokio::join!(asked, called);
    until(&mut answer, "text", |data| data["delta"]["text"] == "noon").await;
    answer.leave();
    within("the upstream to be left", chunks.closed()).await;
    gateway.until_idle().await;
}

#[tokio::test]
async fn a_gone_caller_ends_the_tool_that_runs() {
    let (mut upstream, gateway) = led().await;
    let asked = async { open(&gateway, ask_unruly("spin")).await };
    let called = async { upstream.call().await.frames(&frames(&with_call("spin"))).await };
    let (mut answer, ()) = tokio::join!(asked, called);
    until(&mut answer, "call", |data| data["content_block"]["type"] == "mcp_tool_use").await;
    answer.leave();
    // by itself the tool would run for longer than any test waits
    gateway.until_idle().await;
}

#[tokio::test]
async fn a_caller_that_wants_no_stream_and_leaves_ends_the_turn_too() {
    let (mut upstream, gateway) = led().await;
    let body = ask("what time is it?").to_string();
    let mut asked = Box::pin(gateway.open("/v1/messages", body));
    let called = async {
        upstream.call().await.frames(&frames(&with_call("datetime"))).await;
        let chunks = upstream.call().await.stream();
        chunks.send(Ok(turn_frames("noon")[..3].concat().into())).await.unwrap();
        chunks
    };
    let chunks = tokio::select! {
        _ = &mut asked => panic!("an answer before the end"),
        chunks = called => chunks,
    };
    drop(asked);
    within("the upstream to be left", chunks.closed()).await;
    gateway.until_idle().await;
}

#[tokio::test]
async fn a_later_turn_that_does_not_stream_is_an_error() {
    let (mut upstream, gateway) = led().await;
    let asked = async { open(&gateway, ask("what time is it?")).await };
    let called = async {
        upstream.call().await.frames(&frames(&with_call("datetime"))).await;
        upstream.call().await.whole(200, "<html>no</html>".into());
    };
    let (mut answer, ()) = tokio::join!(asked, called);
    let error = until(&mut answer, "error", |data| data["type"] == "error").await;
    assert_eq!(error["error"]["type"], "api_error");
    assert!(answer.event().await.is_none());
}
