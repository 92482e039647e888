//! The path of one Messages request, from its head to the reply.
pub mod attempts;
pub mod forward;
pub mod meter;
pub mod models;

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::HeaderName;
use http::request::Parts;
use hyper::body::Incoming;

use crate::auth::Identity;
use crate::context::Context;
use crate::error::{Error, Result};
use crate::exchange::meter::Meter;
use crate::gateway::Gateway;
use crate::models::Alias;
use crate::net::{headers, receive};
use crate::policy::Verdict;
use crate::wire::{Endpoint, MessagesRequest, Reply};

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
    let mut meter = Meter::start(&gateway.shared, inbound.started);
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
    let request = MessagesRequest::parse(raw, endpoint)?;
    identity.check_model(request.model())?;
    let ctx = context(identity, inbound.head, &request, inbound.request_id, inbound.started);
    let (request, verdict) = gateway.pipeline.on_request(&ctx, request).await?;
    match verdict {
        Verdict::Continue => {}
        Verdict::Respond(reply) => return Ok(*reply),
        Verdict::Deny(error) => return Err(*error),
    }
    let alias = gateway.models.resolve(request.model())?;
    refuse_thread(alias, &request)?;
    let sent = attempts::send(&ctx, alias, &request, meter).await?;
    Ok(sent.reply)
}

/// The facts, gathered before the first stage.
fn context(
    identity: Identity,
    head: Parts,
    request: &MessagesRequest,
    request_id: String,
    started: Instant,
) -> Context {
    let session = session(&identity, &head, request);
    Context {
        request_id,
        started,
        caller: identity.caller,
        headers: headers::for_upstream(head.headers),
        query: head.uri.query().map(ToOwned::to_owned),
        credential: identity.credential,
        session,
        model: request.model().to_owned(),
    }
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

/// A thread lives on one upstream account; with several targets it cannot be found again. The
/// coded answer makes official tool runners go on without (messages-api.md 10).
fn refuse_thread(alias: &Alias, request: &MessagesRequest) -> Result<()> {
    if alias.targets.len() == 1 || !request.document().has("thread") {
        return Ok(());
    }
    Err(thread_unsupported("this model has several targets"))
}

fn thread_unsupported(why: &str) -> Error {
    Error::invalid(format!(
        "`thread` is not supported here: {why}; send the whole conversation without it"
    ))
    .with_code("thread_unsupported_request")
}
