//! The path of one Messages request, from its head to the reply.
pub mod attempts;
pub mod forward;
pub mod history;
pub mod meter;
pub mod models;
pub mod splice;
pub mod tools;
pub mod transit;
pub mod turns;
pub mod unhide;

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::HeaderName;
use http::request::Parts;
use hyper::body::Incoming;

use crate::auth::Identity;
use crate::context::Context;
use crate::error::{Error, ErrorKind, Result};
use crate::exchange::meter::Meter;
use crate::exchange::tools::ServerTool;
use crate::exchange::turns::Ask;
use crate::gateway::Gateway;
use crate::models::Alias;
use crate::net::{headers, receive};
use crate::policy::Verdict;
use crate::wire::{Endpoint, MessagesRequest, Reply, ReplyBody, unfold};

const SESSION: HeaderName = HeaderName::from_static("x-claude-code-session-id");

/// A request as it came in, its body not yet read.
pub struct Inbound {
    /// Method, path, headers.
    pub head: Parts,
    /// The body.
    pub body: Incoming,
    /// `req_…`
    pub request_id: String,
    /// When the head had been read.
    pub started: Instant,
}

/// Answers `POST /v1/messages` and `…/count_tokens`.
pub async fn messages(
    gateway: &Arc<Gateway>,
    inbound: Inbound,
    endpoint: Endpoint,
) -> Result<Reply> {
    let mut meter = Meter::start(gateway, &inbound.request_id, inbound.started);
    let answered = answer(gateway, inbound, endpoint, &mut meter).await;
    meter.settle(answered)
}

async fn answer(
    gateway: &Arc<Gateway>,
    inbound: Inbound,
    endpoint: Endpoint,
    meter: &mut Meter,
) -> Result<Reply> {
    let identity = gateway.auth.authenticate(&inbound.head.headers)?;
    let raw = receive::body(inbound.body, &inbound.head.headers, gateway.bounds.body).await?;
    let mut request = MessagesRequest::parse(raw, endpoint)?;
    identity.check_model(request.model())?;
    let ctx = context(identity, inbound.head, &request, inbound.request_id, inbound.started);
    let declared = tools::declared(&mut request)?;
    let (mut request, verdict) = gateway.pipeline.on_request(&ctx, request).await?;
    match verdict {
        Verdict::Continue => {}
        // nothing goes upstream, so there is nothing to count
        Verdict::Respond(_) if endpoint == Endpoint::CountTokens => {
            return Ok(Reply::json("{\"input_tokens\":0}"));
        }
        Verdict::Respond(reply) => return policy_reply(*reply, request.is_stream()),
        Verdict::Deny(error) => return Err(*error),
    }
    let alias =
        gateway.models.resolve(request.model()).map_err(|e| misrouted(e, &ctx, &request))?;
    unhide::put_back(&mut request, &gateway.shared.carried, &ctx.caller.key)?;
    let tools = server_tools(gateway, &mut request, &declared)?;
    refuse_thread(alias, &request, &tools)?;
    if tools.is_empty() || endpoint == Endpoint::CountTokens {
        return Ok(attempts::send(&ctx, alias, &request, meter).await?.reply);
    }
    turns::start(gateway, &ctx, Ask { alias, request, tools }, meter).await
}

/// That a name is unknown is the caller's fault only if the caller chose it.
fn misrouted(error: Error, ctx: &Context, request: &MessagesRequest) -> Error {
    if request.model() == ctx.model {
        return error;
    }
    let message = format!(
        "a policy or plugin sent the request on to a model of another name: {}",
        error.message
    );
    Error::new(ErrorKind::Api, message)
}

/// What the gateway runs itself for this request; declarations and history are turned into what
/// an upstream understands.
fn server_tools(
    gateway: &Gateway,
    request: &mut MessagesRequest,
    declared: &[String],
) -> Result<Vec<ServerTool>> {
    let tools = tools::replace(&gateway.pipeline, request, declared)?;
    if gateway.pipeline.has_tools() {
        history::restore(request)?;
    }
    Ok(tools)
}

/// A policy's answer streams where the caller wants a stream.
fn policy_reply(reply: Reply, wants_stream: bool) -> Result<Reply> {
    match reply.body {
        ReplyBody::Full(message) if wants_stream => {
            let events = unfold::events_of(&message)?.into_iter().map(Ok);
            let body = ReplyBody::Events(Box::pin(futures_util::stream::iter(events)));
            Ok(Reply { body, ..reply })
        }
        body => Ok(Reply { body, ..reply }),
    }
}

/// The facts, gathered before the first stage.
fn context(
    identity: Identity,
    head: Parts,
    request: &MessagesRequest,
    request_id: String,
    started: Instant,
) -> Arc<Context> {
    let session = session(&identity, &head, request);
    Arc::new(Context {
        request_id,
        started,
        caller: identity.caller,
        headers: headers::for_upstream(head.headers),
        query: head.uri.query().map(ToOwned::to_owned),
        credential: identity.credential,
        session,
        model: request.model().to_owned(),
    })
}

fn session(identity: &Identity, head: &Parts, request: &MessagesRequest) -> String {
    if let Some(id) = head.headers.get(SESSION).and_then(|id| id.to_str().ok()) {
        return id.to_owned();
    }
    let metadata = request.document().field("metadata");
    if let Some(user) = metadata.and_then(|metadata| user_id(&metadata)) {
        return user;
    }
    identity.caller.key.clone()
}

fn user_id(metadata: &Bytes) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Metadata {
        user_id: Option<String>,
    }
    serde_json::from_slice::<Metadata>(metadata).ok()?.user_id
}

/// A thread lives on one upstream account, and holds the conversation as the upstream saw it. The
/// coded answer makes official tool runners go on without (messages-api.md 10).
fn refuse_thread(alias: &Alias, request: &MessagesRequest, tools: &[ServerTool]) -> Result<()> {
    let why = match (alias.targets.len(), tools) {
        (1, []) => return Ok(()),
        (1, _) => "the gateway runs tools in this conversation",
        _ => "this model has several targets",
    };
    let Some(thread) = request.document().field("thread") else { return Ok(()) };
    match serde_json::from_slice::<Thread>(&thread).unwrap_or_default().kind.as_deref() {
        None => Ok(()),
        // the runner starts a new one with the whole conversation, and is told below that it cannot
        Some("continue") => {
            let message = format!("the thread is not known: {why}");
            Err(Error::new(ErrorKind::NotFound, message).with_code("thread_not_found"))
        }
        Some(_) => Err(Error::invalid(format!(
            "`thread` is not supported here: {why}; send the whole conversation without it"
        ))
        .with_code("thread_unsupported_request")),
    }
}

#[derive(serde::Deserialize, Default)]
struct Thread {
    #[serde(rename = "type")]
    kind: Option<String>,
}
