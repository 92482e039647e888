//! Replies and errors as HTTP: the envelope, the stream's body, and the one log line of a failure.
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use http_body::{Frame, SizeHint};
use serde_json::json;

use crate::error::{BoxError, Error, ErrorKind, Retry};
use crate::exchange::answered::Answered;
use crate::net::body::Body;
use crate::net::deadline::Stall;
use crate::net::headers::{self, REQUEST_ID, SHOULD_RETRY};
use crate::telemetry::logs::one_line;
use crate::telemetry::story::{Story, Tried};
use crate::wire::{Event, EventStream, Reply, ReplyBody};

/// The largest batch, in bytes: events that arrive together are sent together up to this size.
const MAX_BATCH: usize = 32 * 1024;
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const SSE: HeaderValue = HeaderValue::from_static("text/event-stream; charset=utf-8");

/// Writes the result of an exchange as a response. Uses `request_id` if no upstream sent an id.
pub(crate) fn answered(answered: Answered, request_id: &str, ping: Duration) -> Response<Body> {
    let Answered { outcome, headers, story, .. } = answered;
    match outcome {
        Ok(reply) => self::reply(reply, request_id, ping, story),
        Err(error) => {
            let mut response = failure(error, request_id, story.last_tried().as_ref());
            headers.apply(response.headers_mut());
            response
        }
    }
}

fn reply(reply: Reply, request_id: &str, ping: Duration, story: Arc<Story>) -> Response<Body> {
    let Reply { status, mut headers, body } = reply;
    if !headers.contains_key(REQUEST_ID) {
        headers.insert(REQUEST_ID, headers::value(request_id));
    }
    let body = match body {
        ReplyBody::Full(bytes) => {
            headers.entry(CONTENT_TYPE).or_insert(JSON);
            Body::from(bytes)
        }
        ReplyBody::Events(events) => {
            headers.insert(CONTENT_TYPE, SSE);
            headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
            // a later error event in the stream uses the same id as the head
            let named = named(&headers);
            let ids = Ids {
                ours: request_id.to_owned(),
                upstream: named.filter(|named| *named != request_id).map(ToOwned::to_owned),
            };
            let silence = Stall::new(ping);
            let body = EventBody { events, ids, story, silence, is_over: false };
            Body::Stream(Box::pin(body))
        }
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

/// Writes an error outside of an exchange as a response, and logs it once.
pub(crate) fn error(error: Error, request_id: &str) -> Response<Body> {
    failure(error, request_id, None)
}

/// Writes an error as a response: the upstream's own, or the API's envelope. Logs it once.
fn failure(error: Error, request_id: &str, tried: Option<&Tried>) -> Response<Body> {
    let upstream_id = error.answer().and_then(|answer| named(answer.headers()));
    log(&error, request_id, upstream_id, tried);
    let mut response = match error.answer() {
        Some(answer) if error.upstream().is_some_and(|upstream| upstream.lacks_body) => {
            let id = upstream_id.unwrap_or(request_id);
            let mut response = answer.clone().map(|_| Body::from(envelope(&error, id)));
            response.headers_mut().insert(CONTENT_TYPE, JSON);
            response
        }
        Some(answer) => answer.clone().map(Body::from),
        None => {
            let mut response = Response::new(Body::from(envelope(&error, request_id)));
            *response.status_mut() = error.status();
            advise(&error, response.headers_mut());
            response.headers_mut().insert(REQUEST_ID, headers::value(request_id));
            response
        }
    };
    let headers = response.headers_mut();
    headers.entry(CONTENT_TYPE).or_insert(JSON);
    headers.entry(REQUEST_ID).or_insert_with(|| headers::value(request_id));
    response
}

/// Returns the body of an error response.
pub(crate) fn envelope(error: &Error, request_id: &str) -> Bytes {
    let mut body = json!({
        "type": "error",
        "error": {"type": error.kind.as_str(), "message": error.message},
        "request_id": request_id,
    });
    if let Some(code) = error.code {
        body["error"]["details"] = json!({"error_code": code});
    }
    body.to_string().into()
}

/// Adds retry advice. Without `x-should-retry: false`, an invalid key costs a Claude Code user minutes.
fn advise(error: &Error, headers: &mut HeaderMap) {
    let status = error.status();
    let clients_retry = status.is_server_error()
        || matches!(
            status,
            StatusCode::REQUEST_TIMEOUT | StatusCode::CONFLICT | StatusCode::TOO_MANY_REQUESTS
        );
    match error.retry {
        Retry::Never if clients_retry || error.kind == ErrorKind::Authentication => {
            headers.insert(SHOULD_RETRY, HeaderValue::from_static("false"));
        }
        Retry::Never | Retry::Now => {}
        Retry::After(wait) => {
            headers.insert(RETRY_AFTER, seconds(wait));
        }
        Retry::NotWithin(wait) => {
            headers.insert(RETRY_AFTER, seconds(wait));
            headers.insert(SHOULD_RETRY, HeaderValue::from_static("false"));
        }
    }
}

/// Returns whole seconds, rounded up; at least one.
fn seconds(wait: Duration) -> HeaderValue {
    HeaderValue::from((wait.as_secs() + u64::from(wait.subsec_nanos() > 0)).max(1))
}

fn named(headers: &HeaderMap) -> Option<&str> {
    headers.get(REQUEST_ID).and_then(|value| value.to_str().ok())
}

/// Writes the log line of a failure, with the upstream's id: the client may know only that one.
#[expect(
    clippy::cognitive_complexity,
    reason = "the macros of `tracing` count, one for each level"
)]
pub(crate) fn log(
    error: &Error,
    request_id: &str,
    upstream_request_id: Option<&str>,
    tried: Option<&Tried>,
) {
    let status = error.status().as_u16();
    let kind = error.kind.as_str();
    let model = tried.map(|tried| one_line(&tried.model).into_owned());
    let upstream = tried.and_then(|tried| tried.target.to_str().ok());
    let attempts = tried.map(|tried| tried.attempts);
    let upstream_request_id = upstream_request_id.map(|id| one_line(id).into_owned());
    let message = one_line(error.logged());
    let source = error.source.as_deref().map(|source| one_line(&source.to_string()).into_owned());
    let source = source.filter(|source| **source != *message);
    match status {
        500.. => {
            tracing::warn!(request_id, upstream_request_id, status, kind, model, upstream, attempts, error = %message, source, "request failed")
        }
        _ => {
            tracing::info!(request_id, upstream_request_id, status, kind, model, upstream, attempts, error = %message, source, "request refused")
        }
    }
}

/// A stream of events as a body. Sends ready events at once, sends a `ping` during silence, and turns a
/// broken stream into an `error` event.
struct EventBody {
    events: EventStream,
    ids: Ids,
    story: Arc<Story>,
    /// Fires if the client has received nothing for `server.ping_interval`.
    silence: Stall,
    is_over: bool,
}

/// The ids of an exchange.
struct Ids {
    ours: String,
    /// The client's `request-id`, if an upstream sent one.
    upstream: Option<String>,
}

impl EventBody {
    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if self.is_over {
            return Poll::Ready(None);
        }
        match self.events.poll_next_unpin(cx) {
            Poll::Ready(Some(Ok(event))) => Poll::Ready(Some(event.into_frame())),
            Poll::Ready(Some(Err(error))) => {
                self.is_over = true;
                let Ids { ours, upstream } = &self.ids;
                log(&error, ours, upstream.as_deref(), self.story.last_tried().as_ref());
                let id = upstream.as_ref().unwrap_or(ours);
                Poll::Ready(Some(Event::error(&error, id).into_frame()))
            }
            Poll::Ready(None) => {
                self.is_over = true;
                Poll::Ready(None)
            }
            Poll::Pending => Poll::Pending,
        }
    }

    /// Joins the first frame with all frames that are ready, to send them in one write.
    fn batch(&mut self, cx: &mut Context<'_>, first: Bytes) -> Bytes {
        let mut all: Option<BytesMut> = None;
        let mut length = first.len();
        while length < MAX_BATCH
            && let Poll::Ready(Some(next)) = self.poll_event(cx)
        {
            length += next.len();
            all.get_or_insert_with(|| BytesMut::from(&first[..])).extend_from_slice(&next);
        }
        all.map_or(first, BytesMut::freeze)
    }
}

impl http_body::Body for EventBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        match this.poll_event(cx) {
            Poll::Ready(Some(first)) => {
                this.silence.progress();
                let batch = this.batch(cx, first);
                Poll::Ready(Some(Ok(Frame::data(batch))))
            }
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Pending => {
                ready!(this.silence.poll(cx));
                this.silence.progress();
                Poll::Ready(Some(Ok(Frame::data(Event::ping().into_frame()))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.is_over
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}
