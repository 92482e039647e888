//! What only shows when the upstream waits: what the caller has by then, and what a gone caller ends.
use crate::support::events::EventKind;
use serde_json::{Value, json};

use super::{ask, ask_unruly, data};
use crate::support::client::{Ask, Incoming};
use crate::support::gateway::{Gateway, looping};
use crate::support::turn::{call, frames, message, text};
use crate::support::upstream::{self, Call, Upstream};

async fn led() -> (Upstream, Gateway) {
    let upstream = Upstream::start().await;
    let gateway = looping(upstream.address).start().await;
    (upstream, gateway)
}

async fn open(gateway: &Gateway, mut body: Value) -> Incoming {
    body["stream"] = true.into();
    Ask::message(body.to_string()).open(gateway.address).await
}

/// Reads up to the event that fits.
async fn until(answer: &mut Incoming, what: &str, fits: impl Fn(&Value) -> bool) -> Value {
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

/// The next call of the upstream, which has begun to stream and waits.
async fn begun(upstream: &mut Upstream) -> Call {
    let mut call = upstream.call().await;
    call.begin_stream().await;
    call.chunk(turn_frames("noon")[..3].concat()).await;
    call
}

#[tokio::test]
async fn text_reaches_the_caller_before_the_turn_is_over() {
    let (mut upstream, gateway) = led().await;
    let asked = async { open(&gateway, ask("what time is it?")).await };
    let called = async {
        let mut first = upstream.call().await;
        let frames = frames(&with_call("datetime"));
        first.begin_stream().await;
        // up to the first text
        first.chunk(frames[..3].concat()).await;
        (first, frames)
    };
    let (mut answer, (mut first, frames)) = tokio::join!(asked, called);
    until(&mut answer, "text", |data| data["delta"]["text"] == "one moment").await;
    // the call has not even been made yet
    first.chunk(frames[3..].concat()).await;
    first.end_stream().await;
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
        let mut first = upstream.call().await;
        first.begin_stream().await;
        first.chunk(frames(&with_call("datetime")).concat()).await;
        let mut second = upstream.call().await;
        second.begin_stream().await;
        second.chunk(turn_frames("noon").concat()).await;
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
        begun(&mut upstream).await
    };
    // the head of the answer comes with the first event
    let (mut answer, mut second) = tokio::join!(asked, called);
    until(&mut answer, "text", |data| data["delta"]["text"] == "noon").await;
    drop(answer);
    second.closed().await;
    gateway.until_idle().await;
}

#[tokio::test]
async fn a_gone_caller_ends_the_tool_that_runs() {
    let (mut upstream, gateway) = led().await;
    let asked = async { open(&gateway, ask_unruly("spin")).await };
    let called = async { upstream.call().await.frames(&frames(&with_call("spin"))).await };
    let (mut answer, ()) = tokio::join!(asked, called);
    until(&mut answer, "call", |data| data["content_block"]["type"] == "mcp_tool_use").await;
    drop(answer);
    // by itself the tool would run for longer than any test waits
    gateway.until_idle().await;
}

#[tokio::test]
async fn a_caller_that_wants_no_stream_and_leaves_ends_the_turn_too() {
    let (mut upstream, gateway) = led().await;
    let body = ask("what time is it?").to_string();
    let mut asked = Box::pin(Ask::message(body).open(gateway.address));
    let called = async {
        upstream.call().await.frames(&frames(&with_call("datetime"))).await;
        begun(&mut upstream).await
    };
    let mut second = tokio::select! {
        _ = &mut asked => panic!("an answer before the end"),
        second = called => second,
    };
    drop(asked);
    second.closed().await;
    gateway.until_idle().await;
}

#[tokio::test]
async fn a_later_turn_that_does_not_stream_is_an_error() {
    let (mut upstream, gateway) = led().await;
    let asked = async { open(&gateway, ask("what time is it?")).await };
    let called = async {
        upstream.call().await.frames(&frames(&with_call("datetime"))).await;
        upstream.call().await.finish(upstream::json(200, "<html>no</html>")).await;
    };
    let (mut answer, ()) = tokio::join!(asked, called);
    let error = until(&mut answer, "error", |data| data["type"] == "error").await;
    assert_eq!(error["error"]["type"], "api_error");
    assert!(answer.event().await.is_none());
}
