//! `Attempt`: one call of one target, from the hooks before it to the first event of its answer.
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context as TaskContext, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use http::{HeaderMap, HeaderValue, Response, header};

use crate::error::{Error, ErrorKind, Origin, Result, UpstreamOrigin};
use crate::exchange::open::Open;
use crate::exchange::requested::bounded::Bounded;
use crate::exchange::route::{Choice, Terms};
use crate::exchange::{count, reasoning, traced};
use crate::models::{Strictness, Target};
use crate::net::client::Connections;
use crate::net::egress::collector::Fetched;
use crate::net::headers;
use crate::policy::{self, Passage};
use crate::providers::accepts::Inventory;
use crate::providers::dropped::{Dropped, Loss};
use crate::providers::{self, Answer, Unfetched, refusal};
use crate::telemetry::story::{AttemptId, AttemptStart, Story};
use crate::wire::{
    Endpoint, Event, EventKind, EventStream, MessagesRequest, Reply, ReplyBody, message,
};

/// The maximum number of names in `x-tidegate-dropped`: a caller may declare any number of tools.
const MAX_DROPPED: usize = 16;
/// The maximum number of comments and pings that are kept at the beginning of a stream; further ones are
/// dropped.
const MAX_HELD: usize = 64;
/// The bytes of a `content_block_delta` beside its text.
const DELTA_FRAME: usize = 115;

/// The name under which the record has a target that was passed over, because a URL could not be fetched.
const EGRESS: &str = "egress";

/// One call of one target.
pub(super) struct Attempt<'a> {
    passage: &'a Passage,
    terms: &'a Terms,
    choice: &'a Choice,
    turn: u32,
    /// The names that the request uses; set by the first attempt for a target that does not accept
    /// every request.
    inventory: &'a OnceLock<Inventory>,
}

/// A request that the stages let pass to its target.
struct Prepared {
    request: MessagesRequest,
    headers: Option<HeaderMap>,
    /// The model's name that was looked up in the config.
    name: String,
    /// The names that the stages removed because the target does not support them.
    dropped: Vec<String>,
}

/// The time limit of an attempt up to its first event.
struct Bound {
    time: Duration,
    /// The awaited part: `first event` or `answer`.
    awaited: &'static str,
    /// Whether the limit is the request's own `attempt_timeout_ms`.
    is_callers: bool,
}

impl<'a> Attempt<'a> {
    pub(super) fn new(
        passage: &'a Passage,
        terms: &'a Terms,
        choice: &'a Choice,
        turn: u32,
        inventory: &'a OnceLock<Inventory>,
    ) -> Self {
        Self { passage, terms, choice, turn, inventory }
    }

    /// Calls the target. A stream succeeds with `message_start`. Until then every failure,
    /// including an `error` event, becomes an error with a status.
    pub(super) async fn run(
        &self,
        request: &MessagesRequest,
        connections: Connections,
    ) -> Result<Reply> {
        let left = || self.terms.left().unwrap_or(Duration::MAX);
        // the time of the stages is not the target's
        let prepared = tokio::time::timeout(left(), self.prepare(request.clone()));
        let mut prepared = prepared.await.unwrap_or_else(|_| Err(self.terms.too_late()))?;
        let (bound, begun) = (self.bound(request), Instant::now());
        self.fetch(&prepared.request, bound.time.min(left()) / 2).await?;
        let Choice { target, .. } = self.choice;
        let ctx = &self.passage.ctx;
        let story = &ctx.story;
        let id = story.attempt(AttemptStart {
            turn: self.turn,
            model: &prepared.name,
            target: target.label(&prepared.name),
            metrics: Some(&target.metrics),
            tariff: Some(target.tariff(&prepared.name)),
        });
        let (left, own) = (left(), bound.time.saturating_sub(begun.elapsed()));
        let edited = prepared.headers.take();
        prepared.headers = traced::headers(ctx, target, id, &prepared.request, edited);
        let model = &prepared.name;
        let open = Open { story, id, request, row: target.row(model).cloned(), is_over: false };
        let answered =
            match tokio::time::timeout(own.min(left), self.call(prepared, id, connections)).await {
                Ok(answered) => open.over(answered),
                // the client's own limit: its request is paid for as if it had left
                Err(_) if left < own => Err(self.terms.too_late()),
                Err(_) if bound.is_callers => Err(bound.over()),
                Err(_) => open.over(Err(bound.over())),
            };
        match answered {
            Ok(reply) => {
                story.attempt_answered(id, reply.status, &reply.headers);
                if matches!(reply.body, ReplyBody::Events(_)) {
                    story.attempt_streams(id);
                }
                Ok(self.bounded(reply))
            }
            Err(error) => {
                story.attempt_failed(id, &error);
                Err(error)
            }
        }
    }

    fn bound(&self, request: &MessagesRequest) -> Bound {
        let timeouts = self.choice.alias.timeouts;
        // without a stream the only sign of an answer is its end, and long answers take minutes
        let (time, awaited) = match request.is_stream() {
            true => (timeouts.first_event.min(timeouts.total), "first event"),
            false => (timeouts.total, "answer"),
        };
        match self.terms.retry.timeout {
            Some(own) if own < time => Bound { time: own, awaited, is_callers: true },
            _ => Bound { time, awaited, is_callers: false },
        }
    }

    /// Runs the stages before the call. A stage may reject the request, or refuse the target.
    async fn prepare(&self, mut request: MessagesRequest) -> Result<Prepared> {
        let Choice { target, requested, .. } = self.choice;
        let name = requested.as_deref().unwrap_or(request.model()).to_owned();
        if let Some(model) = target.model.as_deref().or(requested.as_deref()) {
            request.set_model(model)?;
        }
        let story = &self.passage.ctx.story;
        let strictness = self.terms.strictness(self.choice);
        let foreign = match target.accepts.is_native {
            // a translation reads the signatures itself
            false => Vec::new(),
            true => reasoning::remove_unsigned(&mut request)?,
        };
        let unsupported = self.unsupported(&request, strictness);
        let model = request.model().to_owned();
        let facts = policy::Target {
            provider: &target.provider_name,
            model: &model,
            unsupported: &unsupported,
            strictness: strictness.as_str(),
            is_native: target.provider.accepts().is_native,
            number: story.attempts() + 1,
            forwards: target.provider.forwards(),
        };
        if let Some(recording) = story.recording() {
            let target = format!("{}/{model}", target.provider_name);
            recording.attempt(self.turn, &target, request.to_bytes());
        }
        let mark = request.document().mark();
        let (request, headers) = self.passage.on_upstream_request(request, facts).await?;
        let mut dropped: Vec<String> = match (strictness, unsupported.as_slice()) {
            (Strictness::Warn, [_, ..]) if request.document().mark() != mark => {
                let after = target.accepts.unsupported_in(&Inventory::of(&request));
                unsupported.into_iter().filter(|name| !after.contains(name)).collect()
            }
            _ => Vec::new(),
        };
        if strictness != Strictness::Off {
            dropped.extend(foreign.into_iter().map(str::to_owned));
        }
        Ok(Prepared { request, headers, name, dropped })
    }

    /// Fetches the URLs whose content the target has to receive. An estimate of tokens needs none.
    ///
    /// Under strictness `error` a URL without usable content is a reason to pass the target over.
    async fn fetch(&self, request: &MessagesRequest, time: Duration) -> Result<()> {
        let Choice { target, .. } = self.choice;
        let is_estimate =
            request.endpoint == Endpoint::CountTokens && !target.provider.counts(request.model());
        if is_estimate || !target.provider.fetches() || !request.may_have_url_sources() {
            return Ok(());
        }
        let ctx = &self.passage.ctx;
        target.provider.fetch(ctx, request, time).await;
        if self.terms.strictness(self.choice) != Strictness::Error {
            return Ok(());
        }
        let losses = target.provider.losses(request, &ctx.media.fetched());
        let lost = losses.iter().filter(|one| one.loss == Loss::Fetch);
        let reasons: Vec<String> = lost
            .map(|Dropped { pointer, reason, .. }| {
                format!("`{}`: {reason}", pointer.trim_start_matches('/').replace('/', "."))
            })
            .collect();
        match reasons.is_empty() {
            true => Ok(()),
            false => {
                let label = self.choice.label(request);
                let label = label.to_str().unwrap_or_default();
                let reasons = reasons.join("; ");
                Err(Error::passed_over(&EGRESS.into(), &format!("{label} needs {reasons}")))
            }
        }
    }

    async fn call(
        &self,
        prepared: Prepared,
        id: AttemptId,
        connections: Connections,
    ) -> Result<Reply> {
        let Prepared { request, headers, name: asked_model, mut dropped } = prepared;
        let Choice { alias, target, .. } = self.choice;
        let story = &self.passage.ctx.story;
        let timeouts = alias.timeouts;
        let (endpoint, begun) = (request.endpoint, Instant::now());
        let strictness = self.terms.strictness(self.choice);
        let unfetched = unfetched(strictness);
        let attempt =
            providers::Attempt { request, asked_model, headers, timeouts, connections, unfetched };
        let Answer { reply, dropped: lost } = match endpoint {
            Endpoint::CountTokens => count::count(&self.passage.ctx, target, attempt).await?,
            Endpoint::Messages => target.provider.send(&self.passage.ctx, attempt).await?,
        };
        let mut reply = match reply.body {
            ReplyBody::Events(events) => {
                let head = Reply { body: ReplyBody::Full(Bytes::new()), ..reply };
                let meter =
                    Meter { story: Arc::clone(story), id, target: Arc::clone(target), begun };
                let body = self.begun(events, &head.headers, meter).await?;
                Reply { body, ..head }
            }
            ReplyBody::Full(message) => {
                let mut output = 0;
                story.attempt_used(id, |spent| {
                    spent.update_whole(&message);
                    output = spent.tokens.output;
                });
                story.attempt_reported(id, &message);
                story.attempt_settled(id);
                story.attempt_ended(id);
                if endpoint == Endpoint::Messages {
                    let now = Instant::now();
                    target.health.pace.wrote(output, now - begun, now);
                }
                Reply { body: ReplyBody::Full(message), ..reply }
            }
        };
        if strictness != Strictness::Off {
            let hints = lost.iter().filter(|one| one.loss == Loss::Hint);
            story.dropped(&hints.map(|one| one.name.to_string()).collect::<Vec<_>>());
            add_content_losses(&mut dropped, lost);
        }
        if !dropped.is_empty() {
            story.dropped(&dropped);
            reply.headers.insert(headers::DROPPED, names(&dropped));
        }
        Ok(reply)
    }

    /// Waits for the event that begins the message, which makes a stream a success, and meters the answer.
    /// Comments and pings do not count: upstreams send them long before they know whether they answer.
    async fn begun(
        &self,
        mut events: EventStream,
        upstream: &HeaderMap,
        meter: Meter,
    ) -> Result<ReplyBody> {
        let ctx = &self.passage.ctx;
        let mut held = Vec::with_capacity(1);
        loop {
            let event = match events.next().await {
                Some(event) => event?,
                None => return Err(bad("the upstream's stream ended before `message_start`")),
            };
            match event.kind {
                EventKind::Error => {
                    return Err(refused_in_stream(&event, upstream, &ctx.request_id));
                }
                EventKind::MessageStart => {
                    held.push(event);
                    break;
                }
                EventKind::Ping | EventKind::Other if held.len() >= MAX_HELD => {}
                EventKind::Ping | EventKind::Other => held.push(event),
                _ => return Err(bad("the upstream's stream does not begin with `message_start`")),
            }
        }
        let held = held.into_iter();
        Ok(ReplyBody::Events(Box::pin(Metered { held, rest: events, meter, output: None })))
    }

    /// Returns the names that the request uses and the target does not support. The model's name in
    /// the request makes no difference. Under `error` these include the losses of a translation.
    fn unsupported(&self, request: &MessagesRequest, strictness: Strictness) -> Vec<String> {
        let target = &self.choice.target;
        let mut names = match target.accepts.is_all() {
            true => Vec::new(),
            false => {
                let inventory = self.inventory.get_or_init(|| Inventory::of(request));
                target.accepts.unsupported_in(inventory)
            }
        };
        if strictness == Strictness::Error {
            add_content_losses(&mut names, target.provider.losses(request, &Fetched::Assumed));
        }
        names
    }

    /// Ends a stream with an error when the request's own time limit is reached.
    fn bounded(&self, reply: Reply) -> Reply {
        match (self.terms.deadline, reply.body) {
            (Some((end, _)), ReplyBody::Events(events)) => {
                let bounded = Bounded::new(events, end, self.terms.clone());
                Reply { body: ReplyBody::Events(Box::pin(bounded)), ..reply }
            }
            (_, body) => Reply { body, ..reply },
        }
    }
}

impl Bound {
    /// Returns the error of an attempt that exceeded the limit.
    fn over(&self) -> Error {
        let Self { time, awaited, is_callers } = *self;
        let message = format!("the upstream gave no {awaited} within {} ms", time.as_millis());
        let origin = UpstreamOrigin { is_callers_bound: is_callers, ..UpstreamOrigin::default() };
        let error = Error::new(ErrorKind::Timeout, message);
        let error = error.with_origin(Origin::Upstream(Box::new(origin)));
        match is_callers {
            true => error.with_source("the request's own `attempt_timeout_ms` was over"),
            false => error,
        }
    }
}

/// Converts an `error` event at the start of a stream into an error with a status. Its body names the
/// request, as the body of every other error does.
fn refused_in_stream(event: &Event, upstream: &HeaderMap, request_id: &str) -> Error {
    let id = upstream.get(headers::REQUEST_ID).and_then(|id| id.to_str().ok());
    let body = message::named_error(&event.data(), id.unwrap_or(request_id));
    let mut answer = Response::new(body);
    *answer.status_mut() = message::error_of(event).status();
    *answer.headers_mut() = upstream.clone();
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    refusal(answer)
}

fn bad(message: &str) -> Error {
    Error::new(ErrorKind::BadUpstream, message)
}

/// Adds the names of losses of content, each once.
fn add_content_losses(names: &mut Vec<String>, losses: Vec<Dropped>) {
    for one in losses.into_iter().filter(|one| one.loss != Loss::Hint) {
        if !names.iter().any(|known| **known == *one.name) {
            names.push(one.name.into_owned());
        }
    }
}

/// Returns whether a delta has the signature of thinking.
fn is_signature(event: &Event) -> bool {
    let data = event.data();
    memchr::memmem::find(&data[..data.len().min(DELTA_FRAME)], b"\"signature_delta\"").is_some()
}

/// Returns the form of a block whose URL could not be fetched: under `off` a native target gets the request as it is.
fn unfetched(strictness: Strictness) -> Unfetched {
    match strictness {
        Strictness::Off => Unfetched::Unchanged,
        Strictness::Warn | Strictness::Error => Unfetched::Line,
    }
}

/// Returns the value of `x-tidegate-dropped`.
fn names(dropped: &[String]) -> HeaderValue {
    let named = dropped.iter().take(MAX_DROPPED).map(String::as_str);
    let named = named.collect::<Vec<_>>().join(", ");
    match dropped.len().saturating_sub(MAX_DROPPED) {
        0 => headers::value(&named),
        more => headers::value(&format!("{named}, and {more} more")),
    }
}

/// The record that an attempt's stream writes to.
struct Meter {
    story: Arc<Story>,
    id: AttemptId,
    target: Arc<Target>,
    /// The time at which the request was sent.
    begun: Instant,
}

/// The stream of an attempt, starting with its buffered first events. Records the tokens as the
/// upstream reports them, before any stage receives the events.
struct Metered {
    held: std::vec::IntoIter<Event>,
    rest: EventStream,
    meter: Meter,
    /// The output tokens that were reported; `None` before the first content.
    output: Option<u64>,
}

impl Metered {
    fn see(&mut self, event: &Event) {
        let Meter { story, id, target, begun } = &self.meter;
        match event.kind {
            EventKind::MessageStart | EventKind::MessageDelta => {
                story.attempt_used(*id, |spent| {
                    spent.update(&event.data());
                    self.output = self.output.map(|_| spent.tokens.output);
                });
                story.attempt_reported(*id, &event.data());
                if event.kind == EventKind::MessageDelta {
                    story.attempt_settled(*id);
                }
            }
            EventKind::ContentBlockStart if self.output.is_none() => {
                self.output = Some(0);
                let now = Instant::now();
                target.health.pace.began(now - *begun, now);
            }
            // a signature is no text of the model
            EventKind::ContentBlockDelta if !is_signature(event) => {
                story.attempt_relayed(*id, event.size().saturating_sub(DELTA_FRAME));
            }
            EventKind::Error => story.attempt_broke(*id, &message::error_of(event)),
            EventKind::MessageStop => {
                story.attempt_ended(*id);
                let now = Instant::now();
                target.health.pace.wrote(self.output.unwrap_or(0), now - *begun, now);
            }
            _ => {}
        }
    }
}

impl Stream for Metered {
    type Item = Result<Event>;

    fn poll_next(
        mut self: Pin<&mut Self>,
        cx: &mut TaskContext<'_>,
    ) -> Poll<Option<Result<Event>>> {
        let polled = match self.held.next() {
            Some(event) => Poll::Ready(Some(Ok(event))),
            None => self.rest.as_mut().poll_next(cx),
        };
        let Meter { story, id, .. } = &self.meter;
        match &polled {
            Poll::Ready(Some(Ok(event))) => self.see(event),
            Poll::Ready(Some(Err(error))) => story.attempt_broke(*id, error),
            Poll::Ready(None) => story.attempt_ended(*id),
            Poll::Pending => {}
        }
        polled
    }
}

impl Drop for Metered {
    /// Records the end time only.
    fn drop(&mut self) {
        self.meter.story.attempt_ended(self.meter.id);
    }
}
