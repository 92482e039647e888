//! The exchanges in progress, and a stream of those that end.
use std::convert::Infallible;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures_util::stream;
use http::StatusCode;
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use schemars::JsonSchema;
use serde::Serialize;
use tokio::time::Instant;

use crate::admin::answer::Answer;
use crate::admin::failure::Failure;
use crate::admin::route::Route;
use crate::admin::shown::{self, Exchange};
use crate::admin::state::State;
use crate::admin::time;
use crate::ledger::row::text;
use crate::ledger::stories;
use crate::net::body::Body;
use crate::telemetry::live::{Ended, View};
use crate::telemetry::record::{Operation, Record};

/// The shortest time between two events of the stream.
const PACE: Duration = Duration::from_millis(250);
/// The time after which a quiet stream sends a comment.
const QUIET: Duration = Duration::from_secs(15);
/// The most exchanges in progress that one answer shows.
const MOST: usize = 1000;

/// Returns the routes.
pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get(
            "/api/exchanges/running",
            "Returns the exchanges in progress, the oldest first.",
            |state, _| Box::pin(async move { running(&state) }),
        )
        .answers::<RunningPage>(200),
        Route::get(
            "/api/exchanges/live",
            "Streams the exchanges that end, as server-sent events `exchanges`: JSON with `rows`, which are as those of `/api/exchanges`, and `lost`, the number of exchanges that this viewer was too slow for. The id of an event is the number of exchanges since the start of the process.",
            |state, _| Box::pin(async move { watch(&state) }),
        )
        .answers_with(200, "text/event-stream"),
    ]
}

/// The exchanges in progress.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RunningPage {
    /// The exchanges; at most 1000.
    rows: Vec<Running>,
    /// The number of all exchanges in progress.
    number: usize,
}

/// An exchange in progress.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Running {
    /// The gateway's id of the request. The client receives it, or the upstream's.
    request_id: String,
    /// The request that caused this one.
    parent: Option<String>,
    /// The kind: `messages`, `count_tokens` or `forward`.
    operation: String,
    /// The client's key; empty without one.
    key: String,
    /// The model that the client requested; empty until the body has been read.
    model: String,
    /// The session that the client names.
    session: Option<String>,
    /// The milliseconds since the beginning.
    ms: u64,
    /// Whether the answer is a stream that has begun.
    is_stream: bool,
    /// The number of attempts.
    attempts: usize,
    /// The target of the last attempt.
    target: Option<String>,
    /// The turn of the tool loop, from 1; 0 before the first attempt.
    turn: u32,
    /// The calls of server tools that have ended.
    tool_calls: usize,
    /// The output tokens that the upstreams have reported.
    output: u64,
}

/// The data of an event.
#[derive(Debug, Serialize)]
struct Batch {
    rows: Vec<Exchange>,
    lost: u64,
}

fn running(state: &State) -> Result<Answer, Failure> {
    let stories = state.shared.exchanges.running();
    let rows = stories.iter().take(MOST).map(|story| story.read(Running::of));
    Answer::json(&RunningPage { rows: rows.collect(), number: stories.len() })
}

impl Running {
    fn of(record: &Record) -> Self {
        let last = record.attempts.last();
        let operation = match record.operation {
            Operation::Messages => "messages",
            Operation::CountTokens => "count_tokens",
            Operation::Forward { .. } => "forward",
        };
        Self {
            request_id: text(&record.request_id),
            parent: record.parent.as_deref().map(text),
            operation: operation.to_owned(),
            key: text(&record.key),
            model: text(&record.model),
            session: record.session.as_deref().map(text),
            ms: time::millis(record.started.elapsed()),
            is_stream: record.is_stream,
            attempts: record.attempts.len(),
            target: last.map(|last| text(&String::from_utf8_lossy(last.target.as_bytes()))),
            turn: last.map_or(0, |last| last.turn),
            tool_calls: record.tool_calls.len(),
            output: record.usage().output,
        }
    }
}

fn watch(state: &State) -> Result<Answer, Failure> {
    let message = "too many viewers watch already: close one of them";
    let view = state.shared.exchanges.view();
    let view = view.ok_or_else(|| Failure::new(StatusCode::SERVICE_UNAVAILABLE, message))?;
    // the head of the answer leaves with the first piece
    let begin = Watching { view, next: None };
    let pieces = stream::unfold(begin, |watching| async move {
        let (piece, watching) = watching.piece().await;
        Some((Ok::<_, Infallible>(Frame::data(piece)), watching))
    });
    let body = StreamBody::new(pieces).map_err(Into::into);
    Ok(Answer::of("text/event-stream", Body::Stream(Box::pin(body))))
}

/// A stream of events to one viewer.
struct Watching {
    view: View,
    /// The time of the next event; `None` before the first piece.
    next: Option<Instant>,
}

impl Watching {
    async fn piece(self) -> (Bytes, Self) {
        let Some(next) = self.next else {
            return (Bytes::from_static(b": watching\n\n"), self.after(Duration::ZERO));
        };
        tokio::time::sleep_until(next).await;
        match tokio::time::timeout(QUIET, self.view.next()).await {
            Ok((ended, lost)) => (event(ended, lost), self.after(PACE)),
            Err(_) => (Bytes::from_static(b": quiet\n\n"), self.after(Duration::ZERO)),
        }
    }

    fn after(self, pause: Duration) -> Self {
        Self { next: Some(Instant::now() + pause), ..self }
    }
}

fn event(ended: Vec<Ended>, lost: u64) -> Bytes {
    let id = ended.last().map_or(0, |ended| ended.number);
    let rows = ended.iter().filter_map(|ended| row(ended, ended.at));
    let batch = Batch { rows: rows.collect(), lost };
    // texts and numbers can always be written
    let data = serde_json::to_string(&batch).unwrap_or_default();
    Bytes::from(format!("id: {id}\nevent: exchanges\ndata: {data}\n\n"))
}

fn row(ended: &Ended, at: SystemTime) -> Option<Exchange> {
    let told = ended.story.read(|record| stories::told(record, at));
    let mut exchange = shown::exchange(told.exchange).ok()?;
    // its id in the ledger is not known yet
    exchange.id = None;
    Some(exchange)
}
