//! The policy layer by itself: the cost of a hook, without sockets.
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::{FutureExt, StreamExt};
use http::{HeaderMap, StatusCode};
use serde_json::json;
use tidegate::internals::Metrics;
use tidegate::internals::With;
use tidegate::internals::{Caller, Context};
use tidegate::internals::{Endpoint, Event, MessagesRequest, Reply, ReplyBody};
use tidegate::internals::{Limits, ScriptEngine};
use tidegate::internals::{Passage, Pipeline};

use crate::requests;

/// The number of batches of a case. The best one counts, because other processes disturb the
/// others.
pub const BATCHES: usize = 30;
/// The approximate duration of a batch.
pub const BATCH: Duration = Duration::from_millis(20);

const SIMPLE: &str = "fn on_request(request, ctx) {
    if request.model != \"nobody\" { request.max_tokens = 512; }
}";
const REDACTION: &str = r#"fn on_request(request, ctx) {
    each_text(request, |t| regex_replace(t, "sk-[A-Za-z0-9]{20,}", "[key]"));
}"#;
const LOOKING: &str =
    "fn on_event(event, ctx) { if event.type == \"error\" { count(\"errors\"); } }";
const REWRITING: &str = r#"fn on_event(event, ctx) {
    if event.type == "content_block_delta" { event.delta.text = event.delta.text.to_upper(); }
}"#;
const TEXTS: &str =
    r#"fn on_text(text, ctx) { regex_replace(text, "sk-[A-Za-z0-9]{20,}", "[key]") }"#;

/// Prints a table.
pub fn run() -> Result<(), String> {
    println!("| what | once | each |\n|---|--:|--:|");
    let (small, large) = (requests::body("bench", 1024), requests::body("bench", 1024 * 1024));
    row("a hook that reads `model` and sets `max_tokens`, 1 KiB", 1, request(SIMPLE, &small)?);
    row("the same, 1 MiB", 1, request(SIMPLE, &large)?);
    let conversation = requests::body("bench", 100 * 1024);
    // one key to find: most texts of most conversations have none
    let conversation = String::from_utf8_lossy(&conversation)
        .replace("a careful assistant", "sk-aaaaaaaaaaaaaaaaaaaaaaaa");
    let conversation = conversation.as_bytes();
    row(
        "a redaction of every text of a conversation, 100 KiB",
        1,
        request(REDACTION, conversation)?,
    );
    for (what, policy) in [
        ("`on_event` that looks at each of 1000 events", LOOKING),
        ("`on_event` that rewrites each of 1000 texts", REWRITING),
        ("`on_text` with a pattern over the text of 1000 events", TEXTS),
    ] {
        row(what, EVENTS, stream(policy)?);
    }
    Ok(())
}

fn row(what: &str, parts: usize, took: Duration) {
    let micros = took.as_secs_f64() * 1e6;
    let each = if parts == 1 { String::new() } else { format!("{:.2} µs", micros / parts as f64) };
    println!("| {what} | {micros:.1} µs | {each} |");
}

fn passage(policy: &str) -> Result<Arc<Passage>, String> {
    let engine = ScriptEngine::new(Limits::default());
    let script = engine.compile(Path::new("bench.rhai"), policy);
    let script = script.map_err(|problems| format!("{problems:?}"))?;
    let pipeline = Arc::new(Pipeline::of(&script, With::default(), &Metrics::new()));
    let context = Context {
        request_id: "req_bench".to_owned(),
        started: Instant::now(),
        caller: Arc::new(Caller::default()),
        headers: HeaderMap::new(),
        query: None,
        credential: None,
        session: String::new(),
        model: "bench".to_owned(),
        media: Arc::default(),
        story: Arc::default(),
        admission: None,
    };
    Ok(Passage::new(&pipeline, &Arc::new(context)))
}

/// Runs the hook once on a parsed request.
fn request(policy: &str, body: &[u8]) -> Result<Duration, String> {
    let passage = passage(policy)?;
    let parsed = MessagesRequest::parse(body.to_vec().into(), Endpoint::Messages);
    let parsed = parsed.map_err(|error| error.message)?;
    best(|| {
        let done = passage.on_request(parsed.clone()).now_or_never();
        let (request, _) = done.ok_or("it waits")?.map_err(|error| error.message)?;
        if request.document().is_edited() { Ok(()) } else { Err("nothing was edited".to_owned()) }
    })
}

const EVENTS: usize = 1000;

/// Sends one stream through the hooks.
fn stream(policy: &str) -> Result<Duration, String> {
    let passage = passage(policy)?;
    let events = events();
    best(|| {
        let source = events.clone().into_iter().map(Ok);
        let body = ReplyBody::Events(Box::pin(futures_util::stream::iter(source)));
        let reply = Reply { status: StatusCode::OK, headers: HeaderMap::new(), body };
        let reply = passage.on_reply(reply).now_or_never().ok_or("it waits")?;
        let reply = reply.map_err(|error| error.message)?;
        let ReplyBody::Events(events) = reply.body else { return Err("no stream".to_owned()) };
        let count = events.collect::<Vec<_>>().now_or_never().ok_or("the stream waits")?;
        match count.iter().find_map(|event| event.as_ref().err()) {
            None => Ok(()),
            Some(error) => Err(error.message.clone()),
        }
    })
}

fn events() -> Vec<Event> {
    let frame = |data: serde_json::Value| {
        let kind = data["type"].as_str().unwrap_or_default();
        Event::from_frame(format!("event: {kind}\ndata: {data}\n\n").into())
    };
    let start = json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}});
    let deltas = (0..EVENTS - 1).map(|n| {
        let end = if n % 12 == 11 { ". " } else { " " };
        let text = format!("word{n}{end}");
        json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}})
    });
    std::iter::once(start).chain(deltas).map(frame).collect()
}

fn best(mut act: impl FnMut() -> Result<(), String>) -> Result<Duration, String> {
    let mut best = Duration::MAX;
    for _ in 0..BATCHES {
        let (started, mut count) = (Instant::now(), 0);
        while started.elapsed() < BATCH || count == 0 {
            act()?;
            count += 1;
        }
        best = best.min(started.elapsed() / count);
    }
    Ok(best)
}
