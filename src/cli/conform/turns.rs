//! Checks of several turns and of clients that leave.
use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::cli::conform::bench::Bench;
use crate::cli::conform::client::Ask;
use crate::cli::conform::events::Events;
use crate::cli::conform::facts::{Facts, Finding, Verdict, expect, must, should};
use crate::cli::conform::json::sorted;
use crate::cli::conform::play::{Play, Step};
use crate::cli::conform::samples::{ANSWER, FRAMES, HELLO, MESSAGE, START, STREAM, TEXT, TOOLS};

const CALLS: &str = r#"{"id":"msg_conform","type":"message","role":"assistant","model":"conform-upstream","content":[{"type":"text","text":"Let me see."},{"type":"tool_use","id":"toolu_conform_1","name":"weather","input":{"city":"Kyiv"}},{"type":"tool_use","id":"toolu_conform_2","name":"weather","input":{"city":"Łódź"}}],"stop_reason":"tool_use","stop_sequence":null,"usage":{"input_tokens":3,"output_tokens":2}}"#;
const CALL: &[&str] = &[
    START,
    "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"tool_use\",\"id\":\"toolu_conform_1\",\"name\":\"weather\",\"input\":{}}}\n\n",
    "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"input_json_delta\",\"partial_json\":\"{\\\"city\\\":\"}}\n\n",
    "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"input_json_delta\",\"partial_json\":\"\\\"Kyiv\\\"}\"}}\n\n",
    "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":0}\n\n",
    "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"tool_use\",\"stop_sequence\":null},\"usage\":{\"output_tokens\":9}}\n\n",
    "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
];

/// A check of a tool loop: the model calls, the client answers, the model concludes.
#[derive(Debug, Clone, Copy)]
pub(super) enum Loop {
    /// Two calls in one whole answer.
    Whole,
    /// A call in a stream.
    Stream,
}

/// The checks of tool loops.
pub(super) const LOOPS: &[(Facts, Loop)] = &[
    (
        must(
            "tools-loop",
            "Two calls of client tools reach the client, their results the upstream.",
        ),
        Loop::Whole,
    ),
    (must("tools-loop-stream", "The same with a call in a stream."), Loop::Stream),
];

impl Loop {
    /// Runs the check.
    pub(super) async fn run(self, bench: &Bench) -> Verdict {
        let content = match self {
            Self::Whole => called(bench).await?,
            Self::Stream => streamed(bench).await?,
        };
        let calls = content.as_array().into_iter().flatten();
        let ids = calls.filter(|block| block["type"] == "tool_use").map(|block| &block["id"]);
        let results: Vec<Value> = ids
            .map(|id| json!({"type": "tool_result", "tool_use_id": id, "content": "@MARK@"}))
            .collect();
        let mut body: Value = serde_json::from_str(TOOLS)
            .map_err(|e| Finding::new("a request with tools", e.to_string()))?;
        body["messages"] = json!([
            {"role": "user", "content": "How is the weather?"},
            {"role": "assistant", "content": content},
            {"role": "user", "content": results},
        ]);
        let (body, play) = match self {
            Self::Whole => (body, Play::json(200, ANSWER)),
            Self::Stream => {
                body["stream"] = true.into();
                (body, Play::stream(FRAMES))
            }
        };
        let exchange = bench.exchange(&Ask::message(&body.to_string()), play).await?;
        let seen = exchange.seen()?;
        let messages = |body: &[u8]| {
            let body: Value = serde_json::from_slice(body).unwrap_or_default();
            sorted(body["messages"].clone()).to_string()
        };
        let (expected, found) = (messages(&exchange.sent), messages(&seen.body));
        expect(expected == found, &expected, &found)?;
        exchange.status(200)?;
        match self {
            Self::Whole => Ok(()),
            Self::Stream => Events::whole(&exchange.answer).map(drop),
        }
    }
}

async fn called(bench: &Bench) -> Result<Value, Finding> {
    let exchange = bench.exchange(&Ask::message(TOOLS), Play::json(200, CALLS)).await?;
    exchange.seen()?;
    exchange.status(200)?;
    let content = |body: &[u8]| {
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        body["content"].clone()
    };
    let (expected, found) = (content(CALLS.as_bytes()), content(&exchange.answer.body));
    expect(expected == found, &expected.to_string(), found.to_string())?;
    Ok(found)
}

async fn streamed(bench: &Bench) -> Result<Value, Finding> {
    let body = TOOLS.replace("\"max_tokens\"", "\"stream\":true,\"max_tokens\"");
    let exchange = bench.exchange(&Ask::message(&body), Play::stream(CALL)).await?;
    exchange.seen()?;
    let events = Events::whole(&exchange.answer)?;
    let mut block = Value::Null;
    let mut input = String::new();
    for event in &events.list {
        match event.name.as_str() {
            "content_block_start" => block = event.data["content_block"].clone(),
            "content_block_delta" => {
                input.push_str(event.data["delta"]["partial_json"].as_str().unwrap_or_default());
            }
            _ => {}
        }
    }
    block["input"] = serde_json::from_str(&input).unwrap_or_default();
    let expected = json!({"type": "tool_use", "id": "toolu_conform_1", "name": "weather", "input": {"city": "Kyiv"}});
    expect(
        sorted(block.clone()) == sorted(expected.clone()),
        &expected.to_string(),
        block.to_string(),
    )?;
    Ok(json!([block]))
}

/// A check of a client that leaves.
#[derive(Debug, Clone, Copy)]
pub(super) enum Leaves {
    /// Within a stream.
    Stream,
    /// Before its answer begins.
    Whole,
}

/// The checks of clients that leave.
pub(super) const LEAVES: &[(Facts, Leaves)] = &[
    (
        must(
            "leave-stream",
            "If the client leaves within a stream, the upstream is closed: tokens cost money.",
        ),
        Leaves::Stream,
    ),
    (
        should("leave-whole", "If the client leaves before its answer, the upstream is closed."),
        Leaves::Whole,
    ),
];

impl Leaves {
    /// Runs the check.
    pub(super) async fn run(self, bench: &Bench) -> Verdict {
        let closed = Arc::new(Notify::new());
        let watch = Step::Watch(Arc::clone(&closed));
        match self {
            Self::Stream => {
                let play = [START, TEXT, HELLO]
                    .iter()
                    .fold(Play::streaming(), |play, frame| play.chunk(frame))
                    .then(watch);
                let mut open = bench.open(&Ask::message(STREAM), play).await?;
                let early = |_| Finding::new("the first events", "the end of the stream");
                open.arriving.until(b"hello").await.map_err(early)?;
            }
            Self::Whole => {
                let reached = Arc::new(Notify::new());
                let play = Play::default().then(Step::Report(Arc::clone(&reached))).then(watch);
                let ask = Ask::message(MESSAGE);
                tokio::select! {
                    opened = bench.open(&ask, play) => {
                        let status = opened?.arriving.status();
                        return Err(Finding::new("no answer before the upstream's", status.to_string()));
                    }
                    () = reached.notified() => {}
                }
            }
        }
        closed.notified().await;
        Ok(())
    }
}
