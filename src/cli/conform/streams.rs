//! Checks of streams: every event reaches the client, at once and unchanged.
use std::sync::Arc;

use tokio::sync::Semaphore;

use crate::cli::conform::bench::Bench;
use crate::cli::conform::client::Ask;
use crate::cli::conform::events::{Event, Events, grammar};
use crate::cli::conform::facts::{Facts, Finding, Verdict, expect, must, should};
use crate::cli::conform::play::{Play, Step};
use crate::cli::conform::samples::{
    BLOCK_STOP, DELTA, FRAMES, HELLO, PING, START, STOP, STREAM, TEXT, THERE,
};

/// A stream, the chunks in which it comes, and the part that must arrive.
pub(super) struct Row {
    /// The facts of the check.
    pub facts: Facts,
    frames: &'static [&'static str],
    chunks: Chunks,
    keeps: Keeps,
}

/// The chunks of a stream.
#[derive(Debug, Clone, Copy)]
enum Chunks {
    /// A chunk for each frame.
    Frames,
    /// A chunk for each byte.
    Bytes,
    /// A single chunk.
    One,
}

/// The part of a stream that must arrive.
#[derive(Debug, Clone, Copy)]
enum Keeps {
    /// The bytes of all frames, except `message_start`, in which the model may differ.
    Frames,
    /// The names and the data of all events in order.
    Events,
    /// The number of events of this name.
    Number(&'static str),
    /// The events of this name.
    Named(&'static str),
    /// The pings.
    Pings,
    /// The grammar.
    Grammar,
    /// This header's media type.
    ContentType,
}

const fn row(facts: Facts, frames: &'static [&'static str], chunks: Chunks, keeps: Keeps) -> Row {
    Row { facts, frames, chunks, keeps }
}

const PADDED: &str = "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"caf\\u00e9\"}     }\n\n";
const UTF8: &str = "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"é😀漢\"}}\n\n";
const EMPTY: &str = "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"\"}}\n\n";
const FUTURE: &str =
    "event: future_event\ndata: {\"type\":\"future_event\",\"payload\":{\"a\":[1]}}\n\n";
const FUTURE_DELTA: &str = "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"future_delta\",\"payload\":1}}\n\n";
const FUTURE_BLOCK: &str = "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"future_block\",\"payload\":{\"a\":1}}}\n\n";
const THINK: &str = "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"thinking\",\"thinking\":\"\",\"signature\":\"\"}}\n\n";
const THOUGHT: &str = "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"thinking_delta\",\"thinking\":\"Two steps.\",\"estimated_tokens\":3}}\n\n";
const SIGNED: &str = "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"signature_delta\",\"signature\":\"EqQBCkYIAxgCKkB+/w==\"}}\n\n";
const CITED: &str = "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"citations_delta\",\"citation\":{\"type\":\"char_location\",\"cited_text\":\"x\",\"document_index\":0,\"document_title\":null,\"start_char_index\":0,\"end_char_index\":1}}}\n\n";
const CALL: &str = "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"tool_use\",\"id\":\"toolu_1\",\"name\":\"weather\",\"input\":{}}}\n\n";
const PART: &str = "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"input_json_delta\",\"partial_json\":\"\"}}\n\n";
const PART_2: &str = "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"input_json_delta\",\"partial_json\":\"{\\\"city\\\": \\\"Par\"}}\n\n";
const PART_3: &str = "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"input_json_delta\",\"partial_json\":\"is\\\", \\\"n\\\": 1.0}\"}}\n\n";
const CALLED: &str = "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"tool_use\",\"stop_sequence\":null},\"usage\":{\"input_tokens\":3,\"cache_read_input_tokens\":7,\"output_tokens\":9,\"server_tool_use\":{\"web_search_requests\":1},\"future_tokens\":11},\"context_management\":{\"applied_edits\":[]}}\n\n";
const TEXT_1: &str = "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":1,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n";
const HELLO_1: &str = "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":1,\"delta\":{\"type\":\"text_delta\",\"text\":\"hello\"}}\n\n";
const STOP_1: &str =
    "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":1}\n\n";
const COMMENT: &str = ": a comment\n\n";

const PINGS: &[&str] = &[START, TEXT, PING, HELLO, PING, BLOCK_STOP, DELTA, STOP];
const PADDING: &[&str] = &[START, TEXT, PADDED, UTF8, BLOCK_STOP, DELTA, STOP];
const DELTAS: &[&str] = &[START, TEXT, HELLO, EMPTY, THERE, EMPTY, UTF8, BLOCK_STOP, DELTA, STOP];
const UNKNOWN: &[&str] =
    &[START, FUTURE, FUTURE_BLOCK, FUTURE_DELTA, BLOCK_STOP, FUTURE, DELTA, STOP];
const THINKING: &[&str] =
    &[START, THINK, THOUGHT, SIGNED, BLOCK_STOP, TEXT_1, HELLO_1, STOP_1, DELTA, STOP];
const CITING: &[&str] = &[START, TEXT, HELLO, CITED, BLOCK_STOP, DELTA, STOP];
const CALLING: &[&str] = &[START, CALL, PART, PART_2, PART_3, BLOCK_STOP, CALLED, STOP];
const NO_BLOCK: &[&str] = &[START, DELTA, STOP];
const COMMENTS: &[&str] = &[COMMENT, START, TEXT, COMMENT, HELLO, BLOCK_STOP, DELTA, COMMENT, STOP];

/// The checks of events.
pub(super) const ROWS: &[Row] = &[
    row(
        must("stream-grammar", "Every event has its name, its shape and its place."),
        CALLING,
        Chunks::Frames,
        Keeps::Grammar,
    ),
    row(
        must(
            "stream-content-type",
            "`content-type` is `text/event-stream`, whatever `accept` names.",
        ),
        FRAMES,
        Chunks::Frames,
        Keeps::ContentType,
    ),
    row(
        should("stream-bytes", "Every frame reaches the client byte for byte."),
        CALLING,
        Chunks::Frames,
        Keeps::Frames,
    ),
    row(
        should(
            "stream-padding",
            "Blanks before the closing brace and escapes are kept (the API hides lengths with them).",
        ),
        PADDING,
        Chunks::Frames,
        Keeps::Frames,
    ),
    row(
        must("stream-deltas", "Deltas are neither merged nor left out, even empty ones."),
        DELTAS,
        Chunks::Frames,
        Keeps::Number("content_block_delta"),
    ),
    row(
        must("stream-events", "All events arrive in order with all fields."),
        DELTAS,
        Chunks::Frames,
        Keeps::Events,
    ),
    row(
        should("stream-pings", "Pings of the upstream arrive: clients watch for silence."),
        PINGS,
        Chunks::Frames,
        Keeps::Pings,
    ),
    row(
        must("stream-unknown-event", "An event of an unknown name arrives."),
        UNKNOWN,
        Chunks::Frames,
        Keeps::Named("future_event"),
    ),
    row(
        must("stream-unknown-block", "A block of an unknown type arrives."),
        UNKNOWN,
        Chunks::Frames,
        Keeps::Named("content_block_start"),
    ),
    row(
        must("stream-unknown-delta", "A delta of an unknown type arrives."),
        UNKNOWN,
        Chunks::Frames,
        Keeps::Named("content_block_delta"),
    ),
    row(
        must("stream-thinking", "Thinking and its signature arrive."),
        THINKING,
        Chunks::Frames,
        Keeps::Named("content_block_delta"),
    ),
    row(
        must("stream-citations", "Citations arrive."),
        CITING,
        Chunks::Frames,
        Keeps::Named("content_block_delta"),
    ),
    row(
        must("stream-tool-input", "The parts of a tool's input arrive as they are."),
        CALLING,
        Chunks::Frames,
        Keeps::Named("content_block_delta"),
    ),
    row(
        must("stream-start-usage", "The usage of `message_start` arrives, with cache counters."),
        FRAMES,
        Chunks::Frames,
        Keeps::Named("message_start"),
    ),
    row(
        must(
            "stream-end-usage",
            "Stop reason, usage and unknown fields of `message_delta` arrive.",
        ),
        CALLING,
        Chunks::Frames,
        Keeps::Named("message_delta"),
    ),
    row(
        must("stream-no-block", "A message without blocks is a complete stream."),
        NO_BLOCK,
        Chunks::Frames,
        Keeps::Events,
    ),
    row(
        must("stream-utf8", "Characters that are cut over chunks arrive whole."),
        PADDING,
        Chunks::Bytes,
        Keeps::Events,
    ),
    row(
        must("stream-one-chunk", "Events that come in one chunk all arrive."),
        PINGS,
        Chunks::One,
        Keeps::Events,
    ),
    row(
        should("stream-comments", "Comments of the upstream do not disturb a stream."),
        COMMENTS,
        Chunks::Frames,
        Keeps::Events,
    ),
];

impl Row {
    /// Runs the check.
    pub(super) async fn run(&self, bench: &Bench) -> Verdict {
        let text = self.frames.concat();
        let play = match self.chunks {
            Chunks::Frames => Play::stream(self.frames),
            Chunks::One => Play::stream(&[&text]),
            Chunks::Bytes => text
                .as_bytes()
                .iter()
                .fold(Play::streaming(), |play, byte| play.chunk([*byte]))
                .end(),
        };
        let exchange = bench.exchange(&Ask::message(STREAM), play).await?;
        exchange.seen()?;
        if let Keeps::ContentType = self.keeps {
            let found = exchange.answer.header("content-type").unwrap_or_default();
            let media = found.split(';').next().unwrap_or_default();
            return expect(media.trim() == "text/event-stream", "`text/event-stream`", found);
        }
        let arrived = Events::whole(&exchange.answer)?;
        self.keeps.compare(&Events::of(text.as_bytes())?, &arrived)
    }
}

impl Keeps {
    fn compare(self, sent: &Events, arrived: &Events) -> Verdict {
        match self {
            Self::Grammar => grammar(&arrived.list),
            Self::Frames => in_order(&sent.without_pings(), &arrived.without_pings(), |event| {
                let data = event.meaning().to_string();
                let is_start = event.name == "message_start";
                let frame = || String::from_utf8_lossy(&event.frame).into_owned();
                if is_start { data } else { frame() }
            }),
            Self::Events => in_order(&sent.without_pings(), &arrived.without_pings(), meaning),
            Self::Named(name) => in_order(&named(sent, name), &named(arrived, name), meaning),
            Self::Number(name) => {
                let (sent, arrived) = (named(sent, name).len(), named(arrived, name).len());
                let expected = format!("{sent} events `{name}`");
                expect(sent == arrived, &expected, arrived.to_string())
            }
            Self::Pings => {
                let (sent, arrived) = (named(sent, "ping").len(), named(arrived, "ping").len());
                let expected = format!("{sent} pings at least");
                expect(arrived >= sent, &expected, arrived.to_string())
            }
            Self::ContentType => Ok(()),
        }
    }
}

fn named<'a>(events: &'a Events, name: &str) -> Vec<&'a Event> {
    events.list.iter().filter(|event| event.name == name).collect()
}

fn meaning(event: &Event) -> String {
    format!("{} {}", event.name, event.meaning())
}

fn in_order(sent: &[&Event], arrived: &[&Event], form: fn(&Event) -> String) -> Verdict {
    for (n, event) in sent.iter().enumerate() {
        let expected = form(event);
        let found = arrived.get(n).map(|event| form(event));
        let found = found.unwrap_or_else(|| "the end of the stream".to_owned());
        expect(found == expected, &expected, &found)?;
    }
    let more = arrived.get(sent.len()).map(|event| form(event)).unwrap_or_default();
    expect(more.is_empty(), "no further event", more)
}

/// Checks by a handshake that events are not held back: the upstream sends the next one when the client has the last.
#[derive(Debug, Clone, Copy)]
pub(super) enum Handshake {
    /// For the first event.
    First,
    /// For every event.
    Each,
}

/// The checks by a handshake.
pub(super) const HANDSHAKES: &[(Facts, Handshake)] = &[
    (
        must("stream-first-event", "The first event arrives before the upstream sends the second."),
        Handshake::First,
    ),
    (
        must("stream-each-event", "Every event arrives before the upstream sends the next one."),
        Handshake::Each,
    ),
];

impl Handshake {
    /// Runs the check.
    pub(super) async fn run(self, bench: &Bench) -> Verdict {
        let permits = Arc::new(Semaphore::new(0));
        let awaited = match self {
            Self::First => 1,
            Self::Each => FRAMES.len(),
        };
        let play = FRAMES.iter().enumerate().fold(Play::streaming(), |play, (n, frame)| {
            let play = play.chunk(frame);
            if n < awaited { play.then(Step::Wait(Arc::clone(&permits))) } else { play }
        });
        let mut open = bench.open(&Ask::message(STREAM), play.end()).await?;
        for event in &Events::of(FRAMES.concat().as_bytes())?.list[..awaited] {
            // enough of each frame to tell it from the others
            let data = event.data["delta"]["text"].as_str().unwrap_or(&event.name);
            let early =
                |_| Finding::new(format!("the event `{}`", event.name), "the end of the stream");
            open.arriving.until(data.as_bytes()).await.map_err(early)?;
            permits.add_permits(1);
        }
        Events::whole(&open.arriving.whole().await).map(drop)
    }
}
