//! The hooks beyond `on_request`, through the whole gateway.
mod answers;
mod attempts;
mod events;
mod seen;
mod texts;
mod tools;
mod undone;
mod windows;

use serde_json::json;

use crate::support::FRAMES;
use crate::support::gateway::Gateway;
use crate::support::upstream::{self, Auto, Behaviour, Upstream};

/// A gateway with one policy before an upstream.
async fn gateway(up: &Auto, policy: &str) -> Gateway {
    Gateway::with().upstream(up.address).policy("p", policy).start().await
}

/// An upstream that streams these pieces of one text.
async fn saying(pieces: &[&str]) -> Auto {
    let frames = said(pieces);
    let frames: Vec<&str> = frames.iter().map(String::as_str).collect();
    Upstream::always(Behaviour::Answer(upstream::stream(&frames))).await
}

fn said(pieces: &[&str]) -> Vec<String> {
    let deltas = pieces.iter().map(|piece| delta(0, piece));
    let head = FRAMES[..2].iter().map(|frame| (*frame).to_owned());
    let tail = FRAMES[3..].iter().map(|frame| (*frame).to_owned());
    head.chain(deltas).chain(tail).collect()
}

fn delta(index: u64, text: &str) -> String {
    frame(
        &json!({"type": "content_block_delta", "index": index, "delta": {"type": "text_delta", "text": text}}),
    )
}

fn frame(data: &serde_json::Value) -> String {
    format!("event: {}\ndata: {data}\n\n", data["type"].as_str().unwrap())
}
