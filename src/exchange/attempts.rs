//! Tries the targets of an alias in order until one gives a first event; afterwards there is no retry.
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};

use crate::context::Context;
use crate::error::{Error, ErrorKind, Result, Retry};
use crate::exchange::meter::{self, Meter};
use crate::exchange::requested::retry::Impatience;
use crate::exchange::requested::trace::Note;
use crate::exchange::route::{Choice, Route, Terms};
use crate::models::health::Try;
use crate::models::{Alias, Strictness, Target};
use crate::net::headers;
use crate::policy::{self, Passage, PassedOver};
use crate::providers::{Attempt, Credentials, refusal};
use crate::telemetry::logs::one_line;
use crate::wire::{Event, EventKind, EventStream, MessagesRequest, Reply, ReplyBody, message};

/// A target that says `retry-after` is believed up to here.
const MAX_COOLDOWN: Duration = Duration::from_secs(10 * 60);
/// So many names stand in `x-tidegate-dropped`: a caller may declare any number of tools.
const MAX_DROPPED: usize = 16;
/// So many comments are held back at the beginning of a stream.
const MAX_COMMENTS: usize = 64;

/// A success, and who gave it.
pub struct Sent<'a> {
    /// With `x-tidegate-target` and `x-tidegate-attempts`.
    pub reply: Reply,
    /// Who answered: further turns of a tool loop go there, since signatures are bound to it.
    pub choice: Choice<'a>,
}

/// Sends a request to the first target that takes it.
///
/// Fails with the last upstream's own answer, or with a 503 if every target is cooling down.
pub async fn send<'a>(
    passage: &Passage,
    route: &Route<'a>,
    request: &MessagesRequest,
    meter: &mut Meter,
) -> Result<Sent<'a>> {
    let mut last = None;
    let mut soonest = Duration::MAX;
    let mut passed_over = Vec::new();
    let is_only = route.choices.len() == 1;
    for choice in &route.choices {
        let target = choice.target;
        if route.terms.is_over() {
            return Err(last.unwrap_or_else(|| route.terms.too_late()));
        }
        let entered = match target.health.enter(Instant::now()) {
            Ok(entered) => Some(entered),
            // with nowhere else to go the upstream itself is the best judge of its health
            Err(_) if is_only => None,
            Err(wait) => {
                soonest = soonest.min(wait);
                meter.note(route.terms.notes(|| Note::cooling(&choice.label(request))));
                continue;
            }
        };
        let Tried { answer, tries, notes } =
            try_target(passage, choice, request, route.terms, meter.attempts()).await;
        meter.note(notes);
        if let Some(error) = answer.as_ref().err().filter(|error| PassedOver::is(error)) {
            passed_over.push(error.message.clone());
            continue;
        }
        let label = choice.label(request);
        let model = choice.asked.unwrap_or(request.model());
        meter.attempted(target, (model, &label), tries);
        let answer = answer.map_err(|mut error| {
            if let Some(answer) = &mut error.upstream {
                sign(answer.headers_mut(), &label, meter);
            }
            error
        });
        match answer {
            Ok(mut reply) => {
                if let Some(entered) = entered {
                    well(&passage.ctx, target, entered);
                }
                sign(&mut reply.headers, &label, meter);
                return Ok(Sent { reply, choice: *choice });
            }
            // the caller's own bound says nothing of the target
            Err(error) if route.terms.is_cut(&error) => return Err(error),
            Err(error) => {
                judge(&passage.ctx, route, choice, (entered, &error));
                if !route.terms.retry.goes_on(choice.alias, &error) {
                    return Err(error);
                }
                last = Some(error);
            }
        }
    }
    Err(last.unwrap_or_else(|| match passed_over.as_slice() {
        [_, ..] if soonest == Duration::MAX => unsupported(&passed_over),
        _ => all_cooling(soonest),
    }))
}

/// What a failure says of its target's health.
fn judge(
    ctx: &Context,
    route: &Route<'_>,
    choice: &Choice<'_>,
    (entered, error): (Option<Try<'_>>, &Error),
) {
    let Choice { alias, target, .. } = *choice;
    tracing::debug!(request_id = ctx.request_id, upstream = %target.key, error = %error, "an attempt failed");
    let is_alone = route.choices.len() == 1 && alias.targets.len() == 1;
    // a limit of one caller's own account is no outage
    let is_callers = target.provider.credentials() == Credentials::Caller
        && ctx.credential.is_some()
        && error.kind == ErrorKind::RateLimit;
    let is_failure = route.terms.retry.is_failure(alias, error);
    match entered {
        Some(entered) if is_failure && !is_alone && !is_callers => {
            let left_alone = cooldown(alias, error);
            if entered.failed(left_alone) {
                let error = one_line(&error.message);
                tracing::warn!(request_id = ctx.request_id, upstream = %target.key, ?left_alone, %error, "a target fails and cools down");
            }
        }
        // a refusal is an answer: the target lives
        Some(entered) if !is_failure && error.upstream.is_some() => well(ctx, target, entered),
        _ => {}
    }
}

/// The target lives. That it had cooled down was told, and so is its end.
fn well(ctx: &Context, target: &Target, entered: Try<'_>) {
    if entered.succeeded() {
        tracing::info!(request_id = ctx.request_id, upstream = %target.key, "a target is back");
    }
}

/// One more turn of a conversation, at the target that holds it.
pub async fn send_to(
    passage: &Passage,
    choice: &Choice<'_>,
    request: &MessagesRequest,
    terms: Terms,
) -> Result<Reply> {
    try_target(passage, choice, request, terms, 0).await.answer
}

/// What came of one target.
struct Tried {
    answer: Result<Reply>,
    tries: u32,
    notes: Vec<Note>,
}

async fn try_target(
    passage: &Passage,
    choice: &Choice<'_>,
    request: &MessagesRequest,
    terms: Terms,
    before: u32,
) -> Tried {
    let Choice { alias, target, .. } = *choice;
    let mut tries = 0;
    let mut notes = Vec::new();
    loop {
        tries += 1;
        let started = terms.is_traced.then(Instant::now);
        let answer = try_once(passage, choice, request, terms, before + tries).await;
        let outcome = answer.as_ref().map(|_| ());
        // what a stage refuses was never sent
        if outcome.err().is_none_or(|error| error.upstream.is_some() || error.status.is_none()) {
            meter::count_attempt(target, outcome);
        }
        let label = || choice.label(request);
        let took = started.map(|started| started.elapsed()).unwrap_or_default();
        notes.extend(terms.notes(|| Note::attempt(&label(), outcome, took)));
        let pause = match &answer {
            Err(error)
                if tries <= terms.retry.attempts(alias) && terms.retry.goes_on(alias, error) =>
            {
                alias.backoff.pause(tries, told(error), terms.left())
            }
            _ => None,
        };
        match pause {
            Some(pause) => tokio::time::sleep(pause).await,
            None => return Tried { answer, tries, notes },
        }
    }
}

/// Says who answered, and how many were asked: a refusal needs it more than a success.
fn sign(headers: &mut HeaderMap, target: &HeaderValue, meter: &Meter) {
    headers.insert(headers::TARGET, target.clone());
    headers.insert(headers::ATTEMPTS, HeaderValue::from(meter.attempts()));
}

async fn try_once(
    passage: &Passage,
    choice: &Choice<'_>,
    request: &MessagesRequest,
    terms: Terms,
    number: u32,
) -> Result<Reply> {
    let Choice { alias, target, asked } = *choice;
    let mut request = request.clone();
    if let Some(model) = target.model.as_deref().or(asked) {
        request.set_model(model)?;
    }
    let timeouts = alias.timeouts;
    // without a stream the first sign of an answer is its end, and long ones take minutes
    let (bound, what) = match request.is_stream() {
        true => (timeouts.first_event.min(timeouts.total), "no first event"),
        false => (timeouts.total, "no answer"),
    };
    let own = terms.retry.timeout.filter(|own| *own < bound);
    let bound = own.unwrap_or(bound);
    let answered = async {
        let model = request.model().to_owned();
        let unsupported = target.unsupported.of(&request);
        let strictness = terms.strictness(choice);
        let facts = policy::Target {
            provider: &target.provider_name,
            model: &model,
            unsupported: &unsupported,
            strictness: strictness.as_str(),
            is_native: target.provider.accepts().is_native,
            number,
        };
        let (request, headers) = passage.on_upstream_request(request, facts).await?;
        let dropped = match (strictness, unsupported.as_slice()) {
            (Strictness::Warn, [_, ..]) => dropped(&unsupported, &target.unsupported.of(&request)),
            _ => None,
        };
        let reply =
            target.provider.send(&passage.ctx, Attempt { request, headers, timeouts }).await?;
        let mut reply = with_first_event(reply).await?;
        reply.headers.extend(dropped.map(|names| (headers::DROPPED, names)));
        Ok(reply)
    };
    let left = terms.left().unwrap_or(Duration::MAX);
    match tokio::time::timeout(bound.min(left), answered).await {
        Ok(answered) => Ok(terms.bound(answered?)),
        Err(_) if left < bound => Err(terms.too_late()),
        Err(_) => {
            let message = format!("the upstream gave {what} within {} ms", bound.as_millis());
            let error = Error::new(ErrorKind::Timeout, message);
            Err(if own.is_some() { error.with_source(Impatience) } else { error })
        }
    }
}

/// Waits for the first event, which is what makes a stream a success. A comment is none: routers
/// send one at once, long before they know whether an upstream will answer.
async fn with_first_event(reply: Reply) -> Result<Reply> {
    let ReplyBody::Events(mut events) = reply.body else { return Ok(reply) };
    let mut held = Vec::with_capacity(1);
    loop {
        let event = match events.next().await {
            Some(event) => event?,
            None => {
                return Err(Error::new(ErrorKind::BadUpstream, "the upstream's stream is empty"));
            }
        };
        if event.kind == EventKind::Error {
            return Err(refused_in_stream(&event, &reply.headers));
        }
        let is_comment = event.kind == EventKind::Other && event.data().is_empty();
        held.push(event);
        if !is_comment || held.len() == MAX_COMMENTS {
            break;
        }
    }
    let body = ReplyBody::Events(Box::pin(Peeked { held: held.into_iter(), rest: events }));
    Ok(Reply { body, ..reply })
}

/// A refusal that came as the first event is a status code after all.
fn refused_in_stream(event: &Event, upstream: &HeaderMap) -> Error {
    let told = message::error_of(event);
    let status = match told.kind {
        ErrorKind::Overloaded => {
            StatusCode::from_u16(529).unwrap_or(StatusCode::SERVICE_UNAVAILABLE)
        }
        kind => kind.status(),
    };
    let mut answer = Response::new(Bytes::from(event.data().into_owned()));
    *answer.status_mut() = status;
    *answer.headers_mut() = upstream.clone();
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    refusal(answer)
}

fn cooldown(alias: &Alias, error: &Error) -> Duration {
    told(error).unwrap_or(alias.cooldown).min(MAX_COOLDOWN)
}

/// What an upstream itself says of how long to leave it alone.
fn told(error: &Error) -> Option<Duration> {
    error.upstream.as_ref().and_then(|answer| headers::retry_after(answer.headers()))
}

/// What stages have taken out of a request: the value of `x-tidegate-dropped`.
fn dropped(before: &[String], after: &[String]) -> Option<HeaderValue> {
    let gone: Vec<&str> =
        before.iter().filter(|name| !after.contains(name)).map(String::as_str).collect();
    let shown = gone.get(..MAX_DROPPED).unwrap_or(&gone).join(", ");
    let shown = match gone.len().checked_sub(MAX_DROPPED) {
        Some(more @ 1..) => format!("{shown}, and {more} more"),
        _ => shown,
    };
    (!gone.is_empty()).then(|| headers::value(&shown))
}

/// Every target was passed over, each for a reason of its own.
fn unsupported(reasons: &[String]) -> Error {
    Error::invalid(format!("no target takes this request as it is: {}", reasons.join("; ")))
        .with_log("every target was passed over, since it does not understand all of the request")
}

fn all_cooling(soonest: Duration) -> Error {
    let message =
        "every target of this model failed a moment ago and is left alone: try again later";
    Error::new(ErrorKind::Overloaded, message).with_retry(Retry::After(soonest.min(MAX_COOLDOWN)))
}

/// A stream with what was read of it put back.
struct Peeked {
    held: std::vec::IntoIter<Event>,
    rest: EventStream,
}

impl Stream for Peeked {
    type Item = Result<Event>;

    fn poll_next(
        mut self: Pin<&mut Self>,
        cx: &mut TaskContext<'_>,
    ) -> Poll<Option<Result<Event>>> {
        match self.held.next() {
            Some(event) => Poll::Ready(Some(Ok(event))),
            None => self.rest.as_mut().poll_next(cx),
        }
    }
}
