//! The path of one Messages request, from its head to the reply.
pub mod attempts;
pub mod forward;
pub mod inner;
pub mod meter;
pub mod models;
pub mod requested;
pub mod route;
pub mod turns;

use std::collections::HashSet;
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
use crate::exchange::requested::{Asked, Requested};
use crate::exchange::route::Route;
use crate::exchange::turns::Ask;
use crate::gateway::Gateway;
use crate::models::Target;
use crate::net::{headers, receive};
use crate::policy::{Hook, Passage, Verdict};
use crate::server_tools::citations::{Forms, Sources};
use crate::server_tools::images::Images;
use crate::server_tools::native::Fulfil;
use crate::server_tools::tool::ServerTool;
use crate::server_tools::{declare, history, unhide};
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
    let answered = match admit(gateway, inbound, endpoint).await {
        Ok(admitted) => {
            let passage = Arc::clone(&admitted.passage);
            meter.follow(&passage);
            let answered = answer(gateway, admitted, &mut meter).await;
            let answered = match (answered, endpoint) {
                (Ok(reply), Endpoint::Messages) => passage.on_reply(meter.overhear(reply)).await,
                (answered, _) => answered,
            };
            passage.leave(answered)
        }
        Err(error) => Err(error),
    };
    meter.settle(answered)
}

/// A request whose caller is known and may ask for its model.
struct Admitted {
    identity: Identity,
    passage: Arc<Passage>,
    request: MessagesRequest,
    /// What the caller's headers ask of the gateway itself; it stands in the request as well.
    asked: Asked,
    /// The types of the server tools that the caller itself declared.
    declared: Vec<String>,
}

async fn admit(gateway: &Arc<Gateway>, inbound: Inbound, endpoint: Endpoint) -> Result<Admitted> {
    let identity = gateway.auth.authenticate(&inbound.head.headers)?;
    let raw = receive::body(inbound.body, &inbound.head.headers, gateway.bounds.body).await?;
    let mut request = MessagesRequest::parse(raw, endpoint)?;
    identity.check_model(request.model())?;
    let asked = Asked::of(&headers::for_gateway(&inbound.head.headers))?;
    let publishes = gateway.pipeline.wants_to_publish();
    let here = publishes.then(|| forward::here(gateway, &inbound.head));
    let ctx = context(&identity, inbound.head, &request, inbound.request_id, inbound.started);
    let declared = declare::declared(&mut request)?;
    let asked = match gateway.pipeline.hooks().has(Hook::Request) {
        true => asked.show(&mut request)?,
        false => asked,
    };
    let reach = inner::reach(gateway, &identity, &ctx, here);
    let passage = Passage::reaching(&gateway.pipeline, &ctx, reach);
    Ok(Admitted { identity, passage, request, asked, declared })
}

async fn answer(gateway: &Arc<Gateway>, admitted: Admitted, meter: &mut Meter) -> Result<Reply> {
    let Admitted { identity, passage, request, asked, declared } = admitted;
    let endpoint = request.endpoint;
    let (request, verdict) = passage.on_request(request).await?;
    match verdict {
        Verdict::Continue => {}
        // nothing goes upstream, so there is nothing to count
        Verdict::Respond(_) if endpoint == Endpoint::CountTokens => {
            return Ok(Reply::json("{\"input_tokens\":0}"));
        }
        Verdict::Respond(reply) => return policy_reply(*reply, request.is_stream()),
        Verdict::Deny(error) => return Err(*error),
    }
    let admitted = Admitted { identity, passage, request, asked, declared };
    dispatch(gateway, admitted, meter).await
}

/// Sends what the stages have left of a request where it is to go, with its server tools.
async fn dispatch(gateway: &Arc<Gateway>, admitted: Admitted, meter: &mut Meter) -> Result<Reply> {
    let Admitted { identity, passage, mut request, asked, declared } = admitted;
    let ctx = &passage.ctx;
    let requested = requested::take(&asked, &mut request)?;
    let requested = requested.as_deref();
    let resolved = gateway.models.resolve(request.model());
    let alias = resolved.map_err(|e| misrouted(e, ctx, &request, requested))?;
    let unseen = unhide::put_back(&mut request, &gateway.shared.carried, &ctx.caller.key)?;
    let route = Route::new(gateway, (&identity, ctx), (alias, request.model()), requested)?;
    let (tools, sources) = server_tools(gateway, &mut request, (&declared, unseen), &route)?;
    refuse_thread(&route, &request, &tools)?;
    let route = route.by_support(&request);
    if let Some(requested) = requested {
        meter.obey(ctx, requested);
        requested.edit(&mut request)?;
    }
    // what the upstream counts otherwise than the caller is rewritten in the answer, tools or none
    let passes = tools.is_empty() && sources.are_the_same();
    if passes || request.endpoint == Endpoint::CountTokens {
        return Ok(attempts::send(&passage, &route, &request, meter).await?.reply);
    }
    turns::start(gateway, &passage, Ask { route, request, tools, sources }, meter).await
}

/// That a name is unknown is the caller's fault only if the caller chose it.
fn misrouted(
    error: Error,
    ctx: &Context,
    request: &MessagesRequest,
    requested: Option<&Requested>,
) -> Error {
    let model = request.model();
    if model == ctx.model || requested.is_some_and(|requested| requested.names_model(model)) {
        return error;
    }
    let message = format!(
        "a policy or plugin sent the request on to a model of another name: {}",
        error.message
    );
    Error::new(ErrorKind::Api, message)
}

/// What the gateway runs itself for this request, and what answers to it may cite; declarations and
/// history are turned into what an upstream understands. `unseen` are results that the caller's history
/// has been given back.
fn server_tools(
    gateway: &Gateway,
    request: &mut MessagesRequest,
    (declared, unseen): (&[String], HashSet<String>),
    route: &Route<'_>,
) -> Result<(Vec<ServerTool>, Sources)> {
    let targets: Vec<&Target> = route.choices.iter().map(|choice| &**choice.target).collect();
    let setting = route.choices.first().map(|choice| choice.alias.server_tools);
    let fulfil = |kind: &str| Fulfil::on(setting.unwrap_or_default(), &targets, kind);
    let tools = declare::replace(&gateway.pipeline, request, declared, &fulfil)?;
    if !gateway.pipeline.has_tools() && unseen.is_empty() {
        return Ok((tools, Sources::default()));
    }
    let forms = Forms::on(&targets, request, &tools);
    let images = Images::new(&gateway.shared.published, forms.images);
    let sources = match history::restore(request, Sources::hiding(forms, unseen), images)? {
        Some(sources) => sources,
        // without tools the caller counts as the upstream does
        None if tools.is_empty() => Sources::new(forms),
        None => Sources::new(forms).read(request),
    };
    Ok((tools, sources))
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
    identity: &Identity,
    head: Parts,
    request: &MessagesRequest,
    request_id: String,
    started: Instant,
) -> Arc<Context> {
    let session = session(identity, &head, request);
    Arc::new(Context {
        request_id,
        started,
        caller: Arc::clone(&identity.caller),
        headers: headers::for_stages(head.headers),
        query: head.uri.query().map(ToOwned::to_owned),
        credential: identity.credential.clone(),
        session,
        model: request.model().to_owned(),
    })
}

fn session(identity: &Identity, head: &Parts, request: &MessagesRequest) -> String {
    let header = |name| head.headers.get(name).and_then(|id| id.to_str().ok());
    let own = header(headers::SESSION_ID).filter(|id| !id.is_empty());
    if let Some(id) = own.or_else(|| header(SESSION)) {
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
fn refuse_thread(route: &Route<'_>, request: &MessagesRequest, tools: &[ServerTool]) -> Result<()> {
    let why = match (route.choices.len(), tools) {
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
