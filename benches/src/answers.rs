//! The upstream's answers. The load makes the same ones and compares them with the received ones,
//! byte by byte.
use std::time::Duration;

use serde_json::json;

const WORDS: &[&str] = &["the", "tide", "comes", "in", "under", "a", "quiet", "harbour", "gate"];

/// The name of the called tool: `tests/guests/idle`.
pub const TOOL: &str = "idle";
/// The prefix of a call's id, before its number. The next request has the id in the call's result.
pub const CALL_ID: &str = "toolu_bench_";
/// The number of events in each turn of a conversation with tools.
const TURN_EVENTS: usize = 7;

/// The answer that a model name selects.
#[derive(Debug, PartialEq)]
pub enum Answer {
    /// One JSON message.
    Message(Vec<u8>),
    /// Server-sent events, each in its own write.
    Events {
        /// The frames, with their final empty lines.
        frames: Vec<Vec<u8>>,
        /// The time between two frames.
        pace: Duration,
    },
    /// The streams of a conversation that calls a gateway's tool in each turn except the last.
    Turns(Vec<Vec<Vec<u8>>>),
}

impl Answer {
    /// Returns the answer for `bench`, `bench-EVENTS`, `bench-EVENTS-PACEms` or `bench-tool-CALLS`.
    pub fn of(model: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "`{model}` is none of `bench`, `bench-EVENTS`, `bench-EVENTS-PACEms`, `bench-tool-CALLS`"
            )
        };
        let rest = model.strip_prefix("bench").ok_or_else(wrong)?;
        if rest.is_empty() {
            return Ok(Self::Message(message(model)));
        }
        if let Some(calls) = rest.strip_prefix("-tool-") {
            let calls: usize = calls.parse().map_err(|_| wrong())?;
            let mut turns: Vec<_> = (1..=calls).map(|n| call(model, n)).collect();
            turns.push(frames(model, TURN_EVENTS));
            return Ok(Self::Turns(turns));
        }
        let mut parts = rest.strip_prefix('-').ok_or_else(wrong)?.split('-');
        let events: usize = parts.next().and_then(|part| part.parse().ok()).ok_or_else(wrong)?;
        let pace = match parts.next() {
            Some(part) => {
                part.strip_suffix("ms").and_then(|ms| ms.parse().ok()).ok_or_else(wrong)?
            }
            None => 0,
        };
        let is_whole = parts.next().is_none() && events >= 6;
        if !is_whole {
            return Err(format!("{}; a stream has at least 6 events", wrong()));
        }
        Ok(Self::Events { frames: frames(model, events), pace: Duration::from_millis(pace) })
    }

    /// Returns the whole body that a caller receives; `None` if the gateway builds it from several.
    pub fn body(&self) -> Option<Vec<u8>> {
        match self {
            Self::Message(body) => Some(body.clone()),
            Self::Events { frames, .. } => Some(frames.concat()),
            Self::Turns(_) => None,
        }
    }
}

/// Returns `count` words; another `seed` gives other words.
pub fn words(seed: usize, count: usize) -> String {
    let pick = |n: usize| WORDS[(seed * 31 + n * 7 + n * n) % WORDS.len()];
    (0..count).map(pick).collect::<Vec<_>>().join(" ")
}

fn message(model: &str) -> Vec<u8> {
    let answer = json!({
        "id": "msg_01XFDUDYJgAACzvnptvVoYEL", "type": "message", "role": "assistant",
        "model": model,
        "content": [{"type": "text", "text": words(1, 36)}],
        "stop_reason": "end_turn", "stop_sequence": null,
        "usage": {
            "input_tokens": 84, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0,
            "output_tokens": 43, "service_tier": "standard",
        },
    });
    answer.to_string().into_bytes()
}

fn start(model: &str) -> serde_json::Value {
    json!({"type": "message_start", "message": {
        "id": "msg_01XFDUDYJgAACzvnptvVoYEL", "type": "message", "role": "assistant",
        "model": model, "content": [], "stop_reason": null, "stop_sequence": null,
        "usage": {"input_tokens": 84, "output_tokens": 1},
    }})
}

/// Returns a turn with the `n`-th call.
fn call(model: &str, n: usize) -> Vec<Vec<u8>> {
    let delta = |json: &str| {
        json!({"type": "content_block_delta", "index": 0,
            "delta": {"type": "input_json_delta", "partial_json": json}})
    };
    let events = [
        start(model),
        json!({"type": "content_block_start", "index": 0, "content_block": {"type": "tool_use",
            "id": format!("{CALL_ID}{n}"), "name": format!("gateway_{TOOL}"), "input": {}}}),
        delta("{"),
        delta("}"),
        json!({"type": "content_block_stop", "index": 0}),
        json!({"type": "message_delta",
            "delta": {"stop_reason": "tool_use", "stop_sequence": null},
            "usage": {"output_tokens": TURN_EVENTS * 2}}),
        json!({"type": "message_stop"}),
    ];
    events.iter().map(frame).collect()
}

fn frames(model: &str, events: usize) -> Vec<Vec<u8>> {
    let block = json!({"type": "content_block_start", "index": 0,
        "content_block": {"type": "text", "text": ""}});
    let mut all = vec![start(model), block];
    for n in 0..events - 5 {
        let text = format!(" {}", words(n, 2));
        all.push(json!({"type": "content_block_delta", "index": 0,
            "delta": {"type": "text_delta", "text": text}}));
    }
    all.push(json!({"type": "content_block_stop", "index": 0}));
    all.push(json!({"type": "message_delta",
        "delta": {"stop_reason": "end_turn", "stop_sequence": null},
        "usage": {"output_tokens": events * 2}}));
    all.push(json!({"type": "message_stop"}));
    all.iter().map(frame).collect()
}

fn frame(event: &serde_json::Value) -> Vec<u8> {
    let kind = event["type"].as_str().unwrap_or_default();
    format!("event: {kind}\ndata: {event}\n\n").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_has_as_many_events_as_its_model_says() {
        for (model, count, pace) in
            [("bench-64", 64, 0), ("bench-6", 6, 0), ("bench-64-5ms", 64, 5)]
        {
            let Answer::Events { frames, pace: found } = Answer::of(model).unwrap() else {
                panic!("`{model}` streams");
            };
            assert_eq!((frames.len(), found), (count, Duration::from_millis(pace)));
            assert!(frames[0].starts_with(b"event: message_start\n"));
            assert!(frames[count - 1].starts_with(b"event: message_stop\n"));
        }
    }

    #[test]
    fn a_delta_and_a_message_are_as_large_as_real_ones() {
        let Answer::Events { frames, .. } = Answer::of("bench-64").unwrap() else { panic!() };
        assert!(frames[2..61].iter().all(|frame| (100..150).contains(&frame.len())));
        assert!((400..600).contains(&Answer::of("bench").unwrap().body().unwrap().len()));
    }

    #[test]
    fn a_conversation_calls_in_each_turn_but_the_last_with_as_many_events() {
        let Answer::Turns(turns) = Answer::of("bench-tool-3").unwrap() else { panic!() };
        assert!(turns.iter().all(|frames| frames.len() == TURN_EVENTS));
        let calls = turns.iter().map(|frames| {
            let text = String::from_utf8(frames.concat()).unwrap();
            text.split_once(CALL_ID).map(|(_, rest)| rest.starts_with(['1', '2', '3']))
        });
        assert_eq!(calls.collect::<Vec<_>>(), [Some(true), Some(true), Some(true), None]);
    }

    #[test]
    fn other_models_are_refused() {
        for model in [
            "bench-tool-x",
            "claude",
            "bench-",
            "bench-5",
            "bench-64-5",
            "bench-64-5ms-1",
            "benchmark",
        ] {
            assert!(Answer::of(model).is_err(), "{model}");
        }
    }
}
