//! Checks of faults: an answer that breaks off upstream never ends as if it were complete, and never hangs.
use serde_json::Value;

use crate::cli::conform::bench::Bench;
use crate::cli::conform::client::{Answer, Ask, End};
use crate::cli::conform::events::{Events, grammar};
use crate::cli::conform::facts::{Facts, Finding, Verdict, expect, must};
use crate::cli::conform::play::{Play, Step};
use crate::cli::conform::samples::{
    ANSWER, BLOCK_STOP, DELTA, ERROR, FRAMES, HELLO, MESSAGE, START, STREAM, TEXT, THERE,
};

/// A fault of the upstream.
pub(super) struct Row {
    /// The facts of the check.
    pub facts: Facts,
    request: &'static str,
    play: fn() -> Play,
    allows: Allows,
}

/// The ends of an answer that a fault allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Allows {
    /// A failure that the client can see.
    Failure,
    /// Such a failure, or a complete stream: all events came.
    Completion,
}

const fn stream(facts: Facts, play: fn() -> Play) -> Row {
    Row { facts, request: STREAM, play, allows: Allows::Failure }
}

const fn completable(facts: Facts, play: fn() -> Play) -> Row {
    Row { facts, request: STREAM, play, allows: Allows::Completion }
}

const fn whole(facts: Facts, play: fn() -> Play) -> Row {
    Row { facts, request: MESSAGE, play, allows: Allows::Failure }
}

/// The faults: of streams, then of whole answers.
pub(super) const ROWS: &[Row] = &[
    stream(
        must("fault-no-answer", "The upstream closes the connection without an answer."),
        || Play::default().then(Step::Close),
    ),
    stream(must("fault-half-head", "The upstream closes within the head of its answer."), || {
        Play::default().send("HTTP/1.1 200 OK\r\ncontent-ty").then(Step::Close)
    }),
    stream(must("fault-no-event", "The stream ends without any event."), || {
        Play::streaming().end()
    }),
    stream(must("fault-html", "The upstream answers a page of HTML with the status 200."), || {
        let body = "<html><h1>Welcome</h1></html>";
        let length = body.len();
        Play::default().send(format!(
            "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: {length}\r\n\r\n{body}"
        ))
    }),
    stream(must("fault-error-first", "The first event is an `error`."), || Play::stream(&[ERROR])),
    stream(must("fault-error-later", "An `error` event comes within a block."), || {
        Play::stream(&[START, TEXT, HELLO, ERROR])
    }),
    stream(must("fault-end-after-start", "The stream ends after `message_start`."), || {
        Play::stream(&[START])
    }),
    stream(must("fault-end-in-block", "The stream ends within a block."), || {
        Play::stream(&[START, TEXT, HELLO])
    }),
    stream(must("fault-end-after-block", "The stream ends between two blocks."), || {
        Play::stream(&[START, TEXT, HELLO, BLOCK_STOP])
    }),
    stream(must("fault-end-before-stop", "The stream ends before `message_stop`."), || {
        Play::stream(&[START, TEXT, HELLO, BLOCK_STOP, DELTA])
    }),
    stream(must("fault-end-in-frame", "The stream ends within a frame."), || {
        Play::stream(&[START, TEXT, HELLO, &THERE[..THERE.len() / 2]])
    }),
    completable(
        must(
            "fault-end-no-blank-line",
            "The last frame lacks its blank line: it is completed, or the stream fails.",
        ),
        || {
            let text = FRAMES.concat();
            Play::stream(&[text.trim_end()])
        },
    ),
    stream(must("fault-cut-after-start", "The connection closes after `message_start`."), || {
        begun(&[START]).then(Step::Close)
    }),
    stream(must("fault-cut-in-block", "The connection closes within a block."), || {
        begun(&[START, TEXT, HELLO]).then(Step::Close)
    }),
    stream(must("fault-cut-in-frame", "The connection closes within a frame."), || {
        begun(&[START, TEXT, &HELLO[..HELLO.len() / 2]]).then(Step::Close)
    }),
    stream(must("fault-cut-in-character", "The connection closes within a character."), || {
        let frame = HELLO.replace("hello", "é");
        let within = frame.find('é').unwrap_or_default() + 1;
        begun(&[START, TEXT]).chunk(&frame.as_bytes()[..within]).then(Step::Close)
    }),
    stream(must("fault-cut-in-chunk", "The connection closes within a chunk of HTTP."), || {
        begun(&[START, TEXT, HELLO]).send("fff\r\nevent: content").then(Step::Close)
    }),
    stream(must("fault-cut-before-stop", "The connection closes before `message_stop`."), || {
        begun(&[START, TEXT, HELLO, BLOCK_STOP, DELTA]).then(Step::Close)
    }),
    stream(must("fault-reset", "The connection is reset within a block."), || {
        begun(&[START, TEXT, HELLO]).then(Step::Reset)
    }),
    stream(must("fault-chunk-size", "The size of a chunk is no number."), || {
        begun(&[START, TEXT, HELLO]).send("zz\r\nevent").then(Step::Close)
    }),
    whole(
        must("fault-body-cut", "The body of a message is shorter than its `content-length`."),
        || {
            let half = &ANSWER[..ANSWER.len() / 2];
            let length = ANSWER.len();
            let head = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n"
            );
            Play::default().send(format!("{head}{half}")).then(Step::Close)
        },
    ),
    whole(must("fault-body-half", "The body of a message is only a half of its JSON."), || {
        Play::json(200, &ANSWER[..ANSWER.len() / 2])
    }),
    whole(must("fault-body-none", "The upstream closes the connection without a message."), || {
        Play::default().then(Step::Close)
    }),
];

fn begun(frames: &[&str]) -> Play {
    frames.iter().fold(Play::streaming(), |play, frame| play.chunk(frame))
}

impl Row {
    /// Runs the check.
    pub(super) async fn run(&self, bench: &Bench) -> Verdict {
        let exchange = bench.exchange(&Ask::message(self.request), (self.play)()).await?;
        exchange.seen()?;
        match (fails(&exchange.answer), self.allows) {
            (Err(_), Allows::Completion) => grammar(&Events::whole(&exchange.answer)?.list),
            (verdict, _) => verdict,
        }
    }
}

/// Fails unless the client can see that the answer is not complete.
fn fails(answer: &Answer) -> Verdict {
    let expected = "an error status, an `error` event or a broken connection";
    if answer.status >= 400 {
        return envelope(answer, None);
    }
    if answer.end == End::Cut {
        return Ok(());
    }
    let events = Events::of(&answer.body)?;
    let Some(last) = events.list.last().filter(|event| event.name == "error") else {
        let last = events.last();
        let found = format!("a clean end after `{last}` with the status {}", answer.status);
        return Err(Finding::new(expected, found));
    };
    let is_event = last.data["error"]["message"].is_string() && events.rest.is_empty();
    expect(is_event, "an `error` event with its message at the end", answer.text())?;
    grammar(&events.list)
}

/// Fails unless the body is the envelope of an error, of this type if one is given.
pub(super) fn envelope(answer: &Answer, kind: Option<&str>) -> Verdict {
    let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let error = &body["error"];
    let is_envelope =
        body["type"] == "error" && error["type"].is_string() && error["message"].is_string();
    let expected = "`{\"type\":\"error\",\"error\":{\"type\":…,\"message\":…}}`";
    expect(is_envelope, expected, answer.text())?;
    match kind {
        Some(kind) => expect(
            error["type"] == kind,
            &format!("`error.type` `{kind}`"),
            error["type"].to_string(),
        ),
        None => Ok(()),
    }
}
