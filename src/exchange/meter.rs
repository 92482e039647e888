//! Counts an exchange, once, when it is over: the answer is whole, it broke, or the caller left.
use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context as TaskContext, Poll};
use std::time::{Duration, Instant};

use futures_util::Stream;
use http::HeaderValue;

use crate::context::Context;
use crate::error::{Error, ErrorKind, Result, Tried};
use crate::exchange::requested::Requested;
use crate::exchange::requested::trace::{Note, Trace};
use crate::gateway::Gateway;
use crate::models::Target;
use crate::net::headers;
use crate::policy::{Hook, Passage};
use crate::telemetry::logs::one_line;
use crate::telemetry::metrics::{AttemptOutcome, TargetMetrics};
use crate::telemetry::record::{Ending, Record};
use crate::wire::{Event, EventKind, EventStream, Reply, ReplyBody, Usage};

/// What nginx and others note for a caller that left before an answer.
pub const CALLER_LEFT: u16 = 499;

/// What is known of an exchange under way.
pub struct Meter {
    /// Kept to the end of the stream: a generation lives as long as its last request.
    gateway: Arc<Gateway>,
    request_id: Box<str>,
    started: Instant,
    target: Option<Arc<TargetMetrics>>,
    passage: Option<Arc<Passage>>,
    /// Those of the key and of the request, where the request has any.
    tags: BTreeMap<String, String>,
    /// Only where the caller asks for it.
    trace: Option<Box<Trace>>,
    /// The last attempt so far.
    tried: Option<Tried>,
    status: u16,
    attempts: u32,
    is_stream: bool,
    first_event: Option<Duration>,
    usage: Usage,
    /// Only of a tool loop.
    spent: Option<Arc<Spent>>,
    is_finished: bool,
}

/// What a tool loop has spent so far. Its caller hears of it at the end only, and an end may not come.
#[derive(Debug, Default)]
pub struct Spent(Mutex<Usage>);

impl Spent {
    /// The turns so far, together.
    pub fn set(&self, usage: Usage) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = usage;
    }

    fn get(&self) -> Usage {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// At least so much.
    fn raise(&self, usage: Usage) {
        let mut spent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *spent = spent.at_least(usage);
    }
}

impl Meter {
    /// Begins to count.
    pub fn start(gateway: &Arc<Gateway>, request_id: &str, started: Instant) -> Self {
        gateway.shared.metrics.active_requests.inc();
        Self {
            gateway: Arc::clone(gateway),
            request_id: request_id.into(),
            started,
            target: None,
            passage: None,
            tags: BTreeMap::new(),
            trace: None,
            tried: None,
            status: CALLER_LEFT,
            attempts: 0,
            is_stream: false,
            first_event: None,
            usage: Usage::default(),
            spent: None,
            is_finished: false,
        }
    }

    /// Whose tags this exchange is counted under.
    pub fn follow(&mut self, passage: &Arc<Passage>) {
        self.passage = Some(Arc::clone(passage));
    }

    /// What the request says of its own record. A key's tags are not the caller's to change.
    pub fn obey(&mut self, ctx: &Context, requested: &Requested) {
        if !requested.tags.is_empty() {
            self.tags.clone_from(&requested.tags);
            self.tags.extend(ctx.caller.tags.clone());
        }
        self.trace = requested.is_traced.then(Box::default);
    }

    /// For the trace, where there is one.
    pub fn note(&mut self, notes: Vec<Note>) {
        if let Some(trace) = &mut self.trace {
            trace.add(notes);
        }
    }

    /// A target has been tried so many times for a model.
    ///
    /// `name` is the model's, as it was looked up, and what the caller is told of the target.
    pub fn attempted(&mut self, target: &Target, name: (&str, &HeaderValue), tries: u32) {
        self.attempts += tries;
        self.target = Some(Arc::clone(&target.metrics));
        let (model, target) = (name.0.to_owned(), name.1.clone());
        self.tried = Some(Tried { model, target, attempts: self.attempts });
    }

    /// Where a tool loop tells what it has spent.
    pub fn spent(&mut self) -> Arc<Spent> {
        Arc::clone(self.spent.get_or_insert_default())
    }

    /// Hears what the answer cost before any stage has it: one that refuses it, or ends it early,
    /// does not get the tokens back.
    pub fn overhear(&mut self, reply: Reply) -> Reply {
        let stages = self.passage.as_ref().map(|passage| passage.hooks()).unwrap_or_default();
        let body = match reply.body {
            ReplyBody::Full(message) => {
                self.usage.update_whole(&message);
                ReplyBody::Full(message)
            }
            ReplyBody::Events(events) if stages.has_any(&[Hook::Text, Hook::Event]) => {
                ReplyBody::Events(Box::pin(Overheard::new(events, self.spent())))
            }
            events @ ReplyBody::Events(_) => events,
        };
        Reply { body, ..reply }
    }

    /// How many requests went upstream.
    pub fn attempts(&self) -> u32 {
        self.attempts
    }

    /// Takes the answer: counts it at once if it is whole, else when its stream is over.
    pub fn settle(mut self, answered: Result<Reply>) -> Result<Reply> {
        let trace = self.trace.take().map(|trace| {
            let editors = self.passage.as_ref().map_or_else(Vec::new, |passage| passage.editors());
            trace.to_header(self.started.elapsed(), &editors)
        });
        match answered {
            Err(mut error) => {
                if let Some(trace) = trace {
                    error.headers.push((headers::TRACE, Some(trace)));
                }
                self.status = error.status().as_u16();
                self.finish(Ending::Whole);
                Err(self.signed(error))
            }
            Ok(mut reply) => {
                reply.headers.extend(trace.map(|trace| (headers::TRACE, trace)));
                self.status = reply.status.as_u16();
                let body = match reply.body {
                    ReplyBody::Full(body) => {
                        self.finish(Ending::Whole);
                        ReplyBody::Full(body)
                    }
                    ReplyBody::Events(events) => {
                        self.is_stream = true;
                        ReplyBody::Events(Box::pin(Metered { events, meter: self }))
                    }
                };
                Ok(Reply { body, ..reply })
            }
        }
    }

    /// An error that says which attempt it came from.
    fn signed(&mut self, error: Error) -> Error {
        Error { tried: self.tried.take().map(Box::new), ..error }
    }

    fn see(&mut self, event: &Event) {
        if self.first_event.is_none() {
            self.first_event = Some(self.started.elapsed());
        }
        if counts(event) {
            self.usage.update(&event.data());
        }
        if event.kind == EventKind::Error {
            self.finish(Ending::Broken);
        }
    }

    fn finish(&mut self, ending: Ending) {
        if std::mem::replace(&mut self.is_finished, true) {
            return;
        }
        let metrics = &self.gateway.shared.metrics;
        metrics.active_requests.dec();
        let spent = self.spent.as_ref().map(|spent| spent.get()).unwrap_or_default();
        let record = Record {
            status: self.status,
            duration: self.started.elapsed(),
            first_event: self.first_event,
            usage: self.usage.at_least(spent),
            attempts: self.attempts,
            is_stream: self.is_stream,
            ending,
        };
        match &self.target {
            Some(target) => target.observe(&record),
            None => metrics.target("", "", "").observe(&record),
        }
        let mut tags = std::mem::take(&mut self.tags);
        if let Some(passage) = &self.passage {
            let asked = &passage.wishes().tags;
            if !asked.is_empty() {
                // only a policy's: a caller may not choose the labels of metrics
                metrics.policies().tagged(asked, &record.usage);
                tags.extend(asked.clone());
            }
        }
        let ctx = self.passage.as_deref().map(|passage| &*passage.ctx);
        let tried = self.tried.as_ref();
        tracing::debug!(
            request_id = &*self.request_id,
            key = ctx.map(|ctx| &*ctx.caller.key),
            model = ctx.map(|ctx| one_line(&ctx.model)).as_deref(),
            upstream = tried.and_then(|tried| tried.target.to_str().ok()),
            ?tags,
            status = record.status,
            ending = ending.as_str(),
            millis = record.duration.as_millis() as u64,
            input_tokens = record.usage.input,
            output_tokens = record.usage.output,
            attempts = record.attempts,
            "exchange over"
        );
    }
}

impl Drop for Meter {
    /// Only counters: who is dropped before its end has lost its caller.
    fn drop(&mut self) {
        self.finish(Ending::CallerLeft);
    }
}

/// Counts one request to an upstream.
pub fn count_attempt(target: &Target, result: Result<(), &Error>) {
    target.metrics.attempted(match result {
        Ok(()) => AttemptOutcome::Success,
        Err(error) if error.kind == ErrorKind::Timeout => AttemptOutcome::TimedOut,
        Err(error) if error.upstream.is_some() && !error.status().is_server_error() => {
            AttemptOutcome::Refused
        }
        Err(_) => AttemptOutcome::Failed,
    });
}

/// The usage in a message's start and in its last delta.
fn counts(event: &Event) -> bool {
    matches!(event.kind, EventKind::MessageStart | EventKind::MessageDelta)
}

/// A stream whose usage is noted before stages have its events.
struct Overheard {
    events: EventStream,
    usage: Usage,
    spent: Arc<Spent>,
}

impl Overheard {
    fn new(events: EventStream, spent: Arc<Spent>) -> Self {
        Self { events, usage: Usage::default(), spent }
    }
}

impl Stream for Overheard {
    type Item = Result<Event>;

    fn poll_next(
        mut self: Pin<&mut Self>,
        cx: &mut TaskContext<'_>,
    ) -> Poll<Option<Result<Event>>> {
        let polled = self.events.as_mut().poll_next(cx);
        if let Poll::Ready(Some(Ok(event))) = &polled
            && counts(event)
        {
            let heard = event.data();
            self.usage.update(&heard);
            self.spent.raise(self.usage);
        }
        polled
    }
}

struct Metered {
    events: EventStream,
    meter: Meter,
}

impl Stream for Metered {
    type Item = Result<Event>;

    fn poll_next(
        mut self: Pin<&mut Self>,
        cx: &mut TaskContext<'_>,
    ) -> Poll<Option<Result<Event>>> {
        let polled = self.events.as_mut().poll_next(cx);
        match &polled {
            Poll::Ready(Some(Ok(event))) => self.meter.see(event),
            Poll::Ready(Some(Err(_))) => self.meter.finish(Ending::Broken),
            Poll::Ready(None) => self.meter.finish(Ending::Whole),
            Poll::Pending => {}
        }
        polled.map_err(|error| self.meter.signed(error))
    }
}
