//! Tests of the simulator: deterministic, in the real order of events, and as strict as the real
//! API.
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::context::{Caller, Context};
use crate::error::Error;
use crate::net::client::Connections;
use crate::providers::simulator::Simulator;
use crate::providers::{Attempt, Provider, Timeouts, Unfetched};
use crate::wire::message::Fold;
use crate::wire::{Endpoint, Event, MessagesRequest, ReplyBody};
use bytes::Bytes;
use futures_util::StreamExt;
use http::HeaderMap;
use serde_json::{Value, json};

use crate::testing::grammar;

mod checks;
mod citations;
mod directives;
mod docs;

const LONG: Duration = Duration::from_secs(3600);

fn context(betas: &str) -> Context {
    let mut headers = HeaderMap::new();
    if !betas.is_empty() {
        headers.insert("anthropic-beta", betas.parse().unwrap());
    }
    Context {
        request_id: "req_test".to_owned(),
        started: Instant::now(),
        caller: Arc::new(Caller::default()),
        headers,
        query: None,
        credential: None,
        session: String::new(),
        model: "sim".to_owned(),
        media: Arc::default(),
        story: Arc::default(),
        admission: None,
    }
}

fn attempt(body: &Value, endpoint: Endpoint) -> Attempt {
    let request = MessagesRequest::parse(Bytes::from(body.to_string()), endpoint).unwrap();
    let timeouts = Timeouts { connect: LONG, first_event: LONG, idle: LONG, total: LONG };
    let asked_model = request.model().to_owned();
    Attempt {
        request,
        asked_model,
        headers: None,
        timeouts,
        connections: Connections::Any,
        unfetched: Unfetched::Line,
    }
}

fn simulator() -> Simulator {
    Simulator::new(Duration::ZERO)
}

fn ask(text: &str) -> Value {
    json!({
        "model": "sim-1",
        "max_tokens": 100_000,
        "messages": [{"role": "user", "content": text}],
    })
}

fn datetime() -> Value {
    json!({
        "name": "gateway_datetime",
        "description": "the time",
        "input_schema": {
            "type": "object",
            "properties": {"timezones": {"type": "array", "items": {"type": "string"}}},
        },
    })
}

fn weather() -> Value {
    json!({
        "name": "get_weather",
        "input_schema": {
            "type": "object",
            "properties": {
                "city": {"type": "string"},
                "unit": {"type": "string", "enum": ["celsius", "kelvin"]},
                "days": {"type": "integer", "minimum": 2},
                "note": {"type": "string"},
            },
            "required": ["city", "unit", "days"],
        },
    })
}

fn ask_with_tools(text: &str) -> Value {
    let mut body = ask(text);
    body["tools"] = json!([datetime(), weather()]);
    body
}

/// Returns the non-streaming answer.
async fn whole(body: &Value) -> Result<Value, Error> {
    whole_with(body, "").await
}

async fn whole_with(body: &Value, betas: &str) -> Result<Value, Error> {
    let ctx = context(betas);
    let attempt =
        Attempt { headers: Some(ctx.headers.clone()), ..attempt(body, Endpoint::Messages) };
    let reply = simulator().send(&ctx, attempt).await?;
    let ReplyBody::Full(bytes) = reply.reply.body else { panic!("a stream") };
    Ok(serde_json::from_slice(&bytes).unwrap())
}

/// Returns the items of the stream.
async fn items(body: &Value) -> Result<Vec<Result<Event, Error>>, Error> {
    let mut body = body.clone();
    body["stream"] = true.into();
    let reply = simulator().send(&context(""), attempt(&body, Endpoint::Messages)).await?;
    let ReplyBody::Events(stream) = reply.reply.body else { panic!("no stream") };
    Ok(stream.collect().await)
}

async fn events(body: &Value) -> Vec<Event> {
    items(body).await.unwrap().into_iter().map(Result::unwrap).collect()
}

/// Checks that streaming and non-streaming give the same message, in order, and returns it.
async fn both(body: &Value) -> Value {
    let message = whole(body).await.unwrap();
    let events = events(body).await;
    grammar::check(&crate::testing::seen(&events)).unwrap();
    let mut fold = Fold::default();
    for event in &events {
        fold.push(event).unwrap();
    }
    let streamed: Value = serde_json::from_slice(&fold.finish().unwrap()).unwrap();
    assert_eq!(message, streamed);
    message
}

async fn refused(body: &Value) -> (u16, Value) {
    refused_with(body, "").await
}

async fn refused_with(body: &Value, betas: &str) -> (u16, Value) {
    let error = whole_with(body, betas).await.expect_err("it was accepted");
    let answer = error.answer().expect("an answer of the upstream");
    (answer.status().as_u16(), serde_json::from_slice(answer.body()).unwrap())
}

fn texts(message: &Value) -> Vec<&str> {
    blocks(message, "text").iter().map(|block| block["text"].as_str().unwrap()).collect()
}

fn blocks<'a>(message: &'a Value, kind: &str) -> Vec<&'a Value> {
    message["content"].as_array().unwrap().iter().filter(|b| b["type"] == kind).collect()
}

/// Returns the request that continues the conversation, with `result` for every call.
fn next_round(body: &Value, message: &Value, result: &str) -> Value {
    let mut body = body.clone();
    let results: Vec<Value> = blocks(message, "tool_use")
        .iter()
        .map(|call| json!({"type": "tool_result", "tool_use_id": call["id"], "content": result}))
        .collect();
    let messages = body["messages"].as_array_mut().unwrap();
    messages.push(json!({"role": "assistant", "content": message["content"]}));
    if !results.is_empty() {
        messages.push(json!({"role": "user", "content": results}));
    }
    body
}

#[tokio::test]
async fn the_simulator_returns_the_text_of_the_user() {
    let message = both(&ask("hello there")).await;
    assert_eq!(texts(&message), ["You said: hello there"]);
    assert_eq!(message["stop_reason"], "end_turn");
    assert_eq!(message["model"], "sim-1");
    let parts = json!([{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]);
    let mut body = ask("");
    body["messages"][0]["content"] = parts;
    assert_eq!(texts(&both(&body).await), ["You said: one\ntwo"]);
}

#[tokio::test]
async fn the_same_request_gives_the_same_bytes() {
    let body = ask_with_tools("what time is it? [sim: thinking]");
    let (one, two) = (events(&body).await, events(&body).await);
    assert_eq!(one, two);
    let other = events(&ask_with_tools("what time is it?? [sim: thinking]")).await;
    assert_ne!(one[0], other[0]);
}

#[tokio::test]
async fn a_stream_has_the_order_of_the_real_api() {
    let events = events(&ask("hello there")).await;
    let kinds: Vec<&str> = events.iter().map(|event| event.kind.as_str()).collect();
    assert_eq!(kinds[..4], ["message_start", "content_block_start", "ping", "content_block_delta"]);
    assert_eq!(kinds[kinds.len() - 3..], ["content_block_stop", "message_delta", "message_stop"]);
    let words = kinds.iter().filter(|kind| **kind == "content_block_delta").count();
    assert_eq!(words, 4, "one delta a word of `You said: hello there`");
}

#[tokio::test]
async fn a_tool_is_called_when_the_text_asks_for_it() {
    for (text, names) in [
        ("what time is it?", &["gateway_datetime"][..]),
        ("use datetime please", &["gateway_datetime"]),
        ("ask gateway_datetime", &["gateway_datetime"]),
        ("get_weather please", &["get_weather"]),
        ("get_weather and what time is it", &["gateway_datetime", "get_weather"]),
        ("hello", &[]),
    ] {
        let message = both(&ask_with_tools(text)).await;
        let called: Vec<&str> = blocks(&message, "tool_use")
            .iter()
            .map(|block| block["name"].as_str().unwrap())
            .collect();
        assert_eq!(called, names, "{text}");
        let reason = if names.is_empty() { "end_turn" } else { "tool_use" };
        assert_eq!(message["stop_reason"], reason, "{text}");
    }
}

#[tokio::test]
async fn a_common_word_is_no_call() {
    let mut body = ask("read the news");
    body["tools"] = json!([{"name": "Read", "input_schema": {"type": "object"}}]);
    assert!(blocks(&both(&body).await, "tool_use").is_empty());
    body["messages"][0]["content"] = "use the Read tool".into();
    assert_eq!(blocks(&both(&body).await, "tool_use").len(), 1);
}

#[tokio::test]
async fn an_input_fits_the_schema_of_its_tool() {
    let message = both(&ask_with_tools("get_weather please")).await;
    assert_eq!(
        blocks(&message, "tool_use")[0]["input"],
        json!({"city": "Paris", "unit": "celsius", "days": 2})
    );
    let message = both(&ask_with_tools("what time is it in Asia/Tokyo and Europe/Paris?")).await;
    assert_eq!(
        blocks(&message, "tool_use")[0]["input"],
        json!({"timezones": ["Asia/Tokyo", "Europe/Paris"]})
    );
}

#[tokio::test]
async fn tool_results_are_used_in_the_next_answer() {
    let body = ask_with_tools("what time is it?");
    let message = both(&body).await;
    let next = both(&next_round(&body, &message, "half past nine")).await;
    assert_eq!(texts(&next), ["gateway_datetime answered: half past nine"]);
    assert_eq!(next["stop_reason"], "end_turn");
}

#[tokio::test]
async fn tool_choice_is_obeyed() {
    let calls = |choice: Value, text: &'static str| async move {
        let mut body = ask_with_tools(text);
        body["tool_choice"] = choice;
        let message = both(&body).await;
        let names: Vec<String> = blocks(&message, "tool_use")
            .iter()
            .map(|block| block["name"].as_str().unwrap().to_owned())
            .collect();
        names
    };
    assert_eq!(calls(json!({"type": "any"}), "hello").await, ["gateway_datetime"]);
    let weather = json!({"type": "tool", "name": "get_weather"});
    assert_eq!(calls(weather, "what time is it").await, ["get_weather"]);
    assert!(calls(json!({"type": "none"}), "what time is it").await.is_empty());
    let one = json!({"type": "auto", "disable_parallel_tool_use": true});
    assert_eq!(calls(one, "get_weather [sim: parallel 3]").await, ["get_weather"]);
}

#[tokio::test]
async fn tokens_are_counted_the_same_everywhere() {
    let mut body = ask("four");
    body["system"] = json!([
        {"type": "text", "text": "x".repeat(4000), "cache_control": {"type": "ephemeral"}},
    ]);
    let message = both(&body).await;
    let usage = &message["usage"];
    let created = usage["cache_creation_input_tokens"].as_u64().unwrap();
    assert!((1000..1010).contains(&created), "{usage}");
    assert_eq!(usage["cache_creation"]["ephemeral_5m_input_tokens"], created);
    assert_eq!(usage["output_tokens"], 4, "`You said: four` has 14 characters");

    let reply = simulator().send(&context(""), attempt(&body, Endpoint::CountTokens)).await;
    let ReplyBody::Full(count) = reply.unwrap().reply.body else { panic!("a stream") };
    let fresh = usage["input_tokens"].as_u64().unwrap();
    let count: Value = serde_json::from_slice(&count).unwrap();
    assert_eq!(count, json!({"input_tokens": fresh + created}));

    let mut next = next_round(&body, &message, "");
    next["messages"].as_array_mut().unwrap().push(json!({"role": "user", "content": "more"}));
    let usage = &both(&next).await["usage"];
    assert_eq!(usage["cache_read_input_tokens"], created);
    assert_eq!(usage["cache_creation_input_tokens"], 0);
}

#[tokio::test]
async fn message_start_holds_a_placeholder_and_message_delta_the_count() {
    let events = events(&ask("[sim: words 100]")).await;
    let usage = |event: &Event, pointer: &str| {
        let data: Value = serde_json::from_slice(&event.data()).unwrap();
        data.pointer(pointer).unwrap().as_u64().unwrap()
    };
    assert_eq!(usage(&events[0], "/message/usage/output_tokens"), 1);
    let delta = &events[events.len() - 2];
    assert!(usage(delta, "/usage/output_tokens") > 100);
}

#[tokio::test]
async fn a_format_is_answered_with_json_that_fits() {
    let mut body = ask("make a title");
    body["output_config"] = json!({"format": {"type": "json_schema", "schema": {
        "type": "object",
        "properties": {"title": {"$ref": "#/$defs/title"}, "loud": {"type": "boolean"}},
        "required": ["title", "loud"],
        "$defs": {"title": {"type": "string", "maxLength": 4}},
    }}});
    let message = both(&body).await;
    let json: Value = serde_json::from_str(texts(&message)[0]).unwrap();
    assert_eq!(json, json!({"title": "exam", "loud": true}));
}

#[tokio::test]
async fn the_grammar_misses_no_event_that_is_missing_or_doubled() {
    let good = events(&ask_with_tools("[sim: thinking] what time is it?")).await;
    grammar::check(&crate::testing::seen(&good)).unwrap();
    for at in 0..good.len() {
        let kind = good[at].kind.as_str();
        if matches!(kind, "ping" | "content_block_delta") {
            continue;
        }
        let mut less = good.clone();
        less.remove(at);
        assert!(
            grammar::check(&crate::testing::seen(&less)).is_err(),
            "without event {at}, `{kind}`"
        );
        let mut more = good.clone();
        more.insert(at, good[at].clone());
        assert!(
            grammar::check(&crate::testing::seen(&more)).is_err(),
            "with event {at} twice, `{kind}`"
        );
        let mut broken = good[..at].to_vec();
        assert!(
            grammar::check(&crate::testing::seen(&broken)).is_err(),
            "ends before event {at}, `{kind}`"
        );
        broken.push(Event::error(&Error::invalid("x"), "req_x"));
        grammar::check(&crate::testing::seen(&broken)).unwrap();
        broken.push(good[at].clone());
        assert!(grammar::check(&crate::testing::seen(&broken)).is_err(), "goes on after an error");
    }
}

#[tokio::test]
async fn every_reply_has_the_id_of_its_request() {
    for (stream, endpoint) in
        [(false, Endpoint::Messages), (true, Endpoint::Messages), (false, Endpoint::CountTokens)]
    {
        let mut body = ask("hello");
        body["stream"] = stream.into();
        let reply = simulator().send(&context(""), attempt(&body, endpoint)).await.unwrap();
        assert_eq!(reply.reply.status, 200);
        let id = reply.reply.headers["request-id"].to_str().unwrap();
        assert!(id.starts_with("req_sim_"), "{id}");
    }
}
