//! Forwards unknown routes (batches, files, …) to the `passthrough:` provider.
mod transit;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HOST};
use http::request::Parts;
use http::uri::Authority;
use http::{HeaderMap, Method, Request, Response};
use http_body_util::{BodyExt, Limited};

use crate::auth::Identity;
use crate::context::Context;
use crate::error::{BoxError, Error, ErrorKind, Result};
use crate::exchange::answered::{self, Answered};
use crate::exchange::cut;
use crate::exchange::inbound::Inbound;
use crate::exchange::meter::Meter;
use crate::gateway::{Gateway, Passthrough};
use crate::limits::{Admission, Source};
use crate::net::body::Body;
use crate::net::header_edits::HeaderEdits;
use crate::net::pace::Paced;
use crate::net::{headers, rate_limits, receive};
use crate::telemetry::logs::one_line;
use crate::telemetry::record::Operation;
use crate::telemetry::story::{AttemptId, AttemptStart, Story};
use crate::telemetry::traced::Facts;
use crate::wire::{Document, Kind, Step};

/// The maximum size of a list of batches. A page of 1000 batches has less than 1 MiB.
const MAX_BATCHES: usize = 8 * 1024 * 1024;

/// Forwards body and answer unchanged, except that `results_url` of batches is rewritten to this
/// gateway.
///
/// Fails with a 404 if the config names no provider for unknown routes.
pub(crate) async fn forward(gateway: &Arc<Gateway>, inbound: Inbound, path: &str) -> Forwarded {
    let shown: String = path.chars().take(128).collect();
    let provider = gateway.passthrough.as_ref();
    let operation = Operation::Forward {
        route: format!("{} {}", inbound.head.method, one_line(&shown)).into(),
        provider: provider.map_or("", |passthrough| &passthrough.name).into(),
    };
    let story = Story::begin(&inbound.request_id, inbound.started, operation);
    story.trace_as(gateway.shared.otlp.trace(&inbound.head.headers));
    let meter = Meter::start(gateway, &story, Source::Client);
    let admission = meter.admission();
    let answered = answer(gateway, inbound, path, &story, admission.as_deref()).await;
    match answered {
        Ok((mut answer, id)) => {
            story.answered(answer.status().as_u16());
            answered::tried(&story).apply(answer.headers_mut());
            Forwarded::Answer(transit::metered(answer, meter, &story, id))
        }
        Err(error) => {
            let answered = Answered::new(Err(error), HeaderEdits::default(), story);
            Forwarded::Error(meter.settle(answered))
        }
    }
}

/// The result of a forwarded request.
pub(crate) enum Forwarded {
    /// The upstream's answer.
    Answer(Response<Body>),
    /// The error of a request without an answer that can be forwarded.
    Error(Answered),
}

async fn answer(
    gateway: &Arc<Gateway>,
    inbound: Inbound,
    path: &str,
    story: &Arc<Story>,
    admission: Option<&Admission>,
) -> Result<(Response<Body>, AttemptId)> {
    let identity = gateway.auth.authenticate(&inbound.head.headers).await?;
    story.name(&identity.caller.key, "");
    story.tag(&identity.caller.tags);
    let Some(passthrough) = &gateway.passthrough else { return Err(no_provider(path)) };
    identity.check_unlimited()?;
    let end = identity.end.clone();
    let sent = send(gateway, inbound, path, Sender { identity, passthrough, story, admission });
    let (answer, id) = cut::unless_cut(end.clone(), sent).await??;
    Ok((answer.map(|body| cut::body(end, body)), id))
}

/// The sender of a request that may be forwarded.
struct Sender<'a> {
    identity: Identity,
    passthrough: &'a Passthrough,
    story: &'a Arc<Story>,
    admission: Option<&'a Admission>,
}

async fn send(
    gateway: &Arc<Gateway>,
    inbound: Inbound,
    path: &str,
    sender: Sender<'_>,
) -> Result<(Response<Body>, AttemptId)> {
    let Sender { identity, passthrough, story, admission } = sender;
    if let Some(admission) = admission.filter(|_| may_cost(&inbound.head.method, path)) {
        admission.ask_budgets(&identity.caller).await?;
    }
    let is_limited = gateway.has_limits_for(&identity.caller);
    let head = inbound.head;
    let here = here(gateway, &head);
    let body = Paced::new(inbound.body, gateway.bounds.body.pause, stalled);
    let fault = body.fault();
    let request = forwarded(&head, Body::Stream(Box::pin(body)), path)?;
    let mut ctx = Context {
        request_id: inbound.request_id,
        started: inbound.started,
        session: identity.caller.id().to_owned(),
        caller: identity.caller,
        query: head.uri.query().map(ToOwned::to_owned),
        headers: headers::without_credentials(head.headers),
        credential: identity.credential,
        model: String::new(),
        media: Arc::default(),
        story: Arc::clone(story),
        admission: None,
    };
    let target = headers::value(&passthrough.name);
    let id =
        story.attempt(AttemptStart { turn: 1, model: "", target, metrics: None, tariff: None });
    let facts = || Facts { provider: passthrough.provider.genai_name().into(), ..Facts::default() };
    if let Some(propagation) = story.attempt_traced(id, facts) {
        propagation.apply(&mut ctx.headers);
    }
    let answer = passthrough.provider.forward(&ctx, request).await;
    // a caller that stopped sending looks like an upstream that closes the connection
    let answer = match answer.map_err(|error| fault.take().unwrap_or(error)) {
        Ok(answer) => turned(answer, path, &here).await,
        Err(error) => Err(error),
    };
    match &answer {
        Ok(answer) => story.attempt_answered(id, answer.status(), answer.headers()),
        Err(error) => story.attempt_failed(id, error),
    }
    let mut answer = answer?;
    if is_limited {
        rate_limits::remove(answer.headers_mut());
    }
    Ok((answer, id))
}

fn no_provider(path: &str) -> Error {
    let shown: String = path.chars().take(128).collect();
    let message = format!(
        "there is no route `{shown}`, and the config names no provider for such routes (`passthrough:`)"
    );
    Error::new(ErrorKind::NotFound, message)
}

/// Returns whether a request may cost money: reading costs nothing, and to cancel a running job saves money.
fn may_cost(method: &Method, path: &str) -> bool {
    *method == Method::POST && !path.ends_with("/cancel")
}

/// Creates the request that the provider forwards. The body stays unchanged, so its type and coding
/// are sent with it.
fn forwarded(head: &Parts, body: Body, path: &str) -> Result<Request<Body>> {
    let mut request = Request::new(body);
    *request.method_mut() = head.method.clone();
    *request.uri_mut() = path.parse().map_err(|e: http::uri::InvalidUri| {
        Error::invalid("the path is malformed").with_source(e)
    })?;
    for name in [CONTENT_TYPE, CONTENT_ENCODING] {
        if let Some(value) = head.headers.get(&name) {
            request.headers_mut().insert(name, value.clone());
        }
    }
    Ok(request)
}

fn stalled(cause: Option<BoxError>, patience: Duration) -> Error {
    match cause {
        Some(cause) => Error::invalid("the request body broke off").with_source(cause),
        None => receive::too_slow(patience),
    }
}

/// Returns the answer in the caller's form.
async fn turned(answer: Response<Body>, path: &str, here: &str) -> Result<Response<Body>> {
    let (mut head, body) = answer.into_parts();
    head.headers = headers::forwarded(head.headers);
    let is_batches = path.starts_with("/v1/messages/batches") && is_json(&head.headers);
    if !is_batches || head.headers.contains_key(CONTENT_ENCODING) {
        return Ok(Response::from_parts(head, body));
    }
    let whole = Limited::new(body, MAX_BATCHES).collect().await.map_err(|e| {
        Error::new(
            ErrorKind::BadUpstream,
            "the upstream's list of batches broke off or is too large",
        )
        .with_source(e)
    })?;
    let turned = turn_results_url(whole.to_bytes(), here);
    head.headers.insert(CONTENT_LENGTH, turned.len().into());
    Ok(Response::from_parts(head, turned.into()))
}

/// Rewrites `results_url` to this gateway. The SDKs fetch any such URL with the caller's key
/// (messages-api.md 4.1).
fn turn_results_url(body: Bytes, here: &str) -> Bytes {
    let Ok(mut document) = Document::parse(body.clone()) else { return body };
    let count = document.len(&[Step::Key("data")]).ok().flatten().unwrap_or_default();
    let listed = (0..count as i64)
        .map(|n| vec![Step::Key("data"), Step::Index(n), Step::Key("results_url")]);
    for path in std::iter::once(vec![Step::Key("results_url")]).chain(listed) {
        if !matches!(document.kind(&path), Ok(Some(Kind::String))) {
            continue;
        }
        let Ok(Some(text)) = document.get(&path) else { continue };
        let url: String = serde_json::from_slice(&text).unwrap_or_default();
        let Ok(url) = url::Url::parse(&url) else { continue };
        let turned = format!("{here}{}", &url[url::Position::BeforePath..]);
        if document.set_value(&path, &turned).is_err() {
            return body;
        }
    }
    document.to_bytes()
}

/// Returns the origin by which the caller reaches the gateway.
pub(super) fn here(gateway: &Gateway, request: &Parts) -> String {
    let text = |name: &str| request.headers.get(name).and_then(|value| value.to_str().ok());
    let forwarded = text("x-forwarded-proto").filter(|scheme| matches!(*scheme, "http" | "https"));
    let scheme = forwarded.unwrap_or(gateway.scheme);
    // HTTP/2 has the authority in the URI instead of `host`
    let requested =
        || request.uri.authority().map(Authority::as_str).or_else(|| text(HOST.as_str()));
    let host = text("x-forwarded-host").or_else(requested).unwrap_or("localhost");
    format!("{scheme}://{host}")
}

fn is_json(headers: &HeaderMap) -> bool {
    let found = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    // `application/jsonl`, the type of the results themselves, does not count
    let kind = found.and_then(|found| found.split(';').next());
    kind.is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
}
