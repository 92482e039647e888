//! Handles one Messages request, from its head to the reply.
use std::sync::Arc;

use bytes::Bytes;
use http::HeaderName;
use http::request::Parts;

use crate::auth::Identity;
use crate::context::Context;
use crate::error::Result;
use crate::exchange::answered::{self, Answered};
use crate::exchange::cut;
use crate::exchange::dispatch::Exchange;
use crate::exchange::forward;
use crate::exchange::inbound::Inbound;
use crate::exchange::inner;
use crate::exchange::meter::Meter;
use crate::exchange::requested::HeaderWishes;
use crate::gateway::Gateway;
use crate::limits::{Admission, Name, Source};
use crate::net::header_edits::HeaderEdits;
use crate::net::{headers, receive};
use crate::policy::{Hook, Passage, Pipeline, Verdict};
use crate::server_tools::declare;
use crate::telemetry::record::Operation;
use crate::telemetry::recording::Recording;
use crate::telemetry::story::Story;
use crate::telemetry::tracker::Tracker;
use crate::wire::{Endpoint, MessagesRequest, Reply, ReplyBody, required, unfold};

const SESSION: HeaderName = HeaderName::from_static("x-claude-code-session-id");

/// Answers `POST /v1/messages` and `…/count_tokens`.
pub(crate) async fn messages(
    gateway: &Arc<Gateway>,
    inbound: Inbound,
    endpoint: Endpoint,
) -> Answered {
    let recording = match endpoint {
        Endpoint::Messages => Recording::begin(&gateway.shared.recordings, &inbound.request_id),
        Endpoint::CountTokens => None,
    };
    let (story, meter) = begin(gateway, &inbound, endpoint, recording);
    let answered = match gateway.auth.authenticate(&inbound.head.headers).await {
        Ok(identity) => {
            let (pipeline, admission) = (&gateway.pipeline, meter.admission());
            let entry = Entry { gateway, identity, pipeline, story: &story, admission };
            entry.answer_until_cut(inbound, endpoint).await
        }
        Err(error) => Answered::new(Err(error), HeaderEdits::default(), Arc::clone(&story)),
    };
    meter.settle(answered)
}

/// Answers a message that an operator sends as the holder of a key. It is recorded in any case. `pipeline` has the
/// stages for it.
pub(crate) async fn as_operator(
    gateway: &Arc<Gateway>,
    inbound: Inbound,
    identity: Identity,
    pipeline: &Arc<Pipeline>,
) -> Answered {
    let endpoint = Endpoint::Messages;
    let recording = Recording::begin_one(&gateway.shared.recordings, &inbound.request_id);
    let (story, meter) = begin(gateway, &inbound, endpoint, Some(recording));
    let admission = meter.admission();
    let entry = Entry { gateway, identity, pipeline, story: &story, admission };
    let answered = entry.answer_until_cut(inbound, endpoint).await;
    meter.settle(answered)
}

/// Begins the record of a request.
fn begin(
    gateway: &Arc<Gateway>,
    inbound: &Inbound,
    endpoint: Endpoint,
    recording: Option<Arc<Recording>>,
) -> (Arc<Story>, Meter) {
    let operation = match endpoint {
        Endpoint::Messages => Operation::Messages,
        Endpoint::CountTokens => Operation::CountTokens,
    };
    let story = Story::begin(&inbound.request_id, inbound.started, operation);
    story.trace_as(gateway.shared.otlp.trace(&inbound.head.headers));
    let mut meter = Meter::start(gateway, &story, Source::Client);
    meter.record(recording);
    (story, meter)
}

/// A request with an authenticated caller.
struct Entry<'a> {
    gateway: &'a Arc<Gateway>,
    identity: Identity,
    pipeline: &'a Arc<Pipeline>,
    story: &'a Arc<Story>,
    admission: Option<Arc<Admission>>,
}

impl Entry<'_> {
    /// Answers the request, until its key ends if the key store cuts requests then.
    async fn answer_until_cut(self, inbound: Inbound, endpoint: Endpoint) -> Answered {
        let (end, story) = (self.identity.end.clone(), Arc::clone(self.story));
        match cut::unless_cut(end.clone(), self.answer(inbound, endpoint)).await {
            Ok(answered) => answered.until(end),
            Err(error) => Answered::new(Err(error), HeaderEdits::default(), story),
        }
    }

    /// Reads the request and answers it. Every error from here on passes `on_error`, including that
    /// of an unreadable body.
    async fn answer(self, inbound: Inbound, endpoint: Endpoint) -> Answered {
        self.story.identify(&self.identity.caller.key);
        let headers = &inbound.head.headers;
        let requested = HeaderWishes::of(&headers::for_gateway(headers));
        let raw = receive::body(inbound.body, headers, self.gateway.bounds.body).await;
        if let Some(recording) = self.story.recording() {
            let Parts { method, uri, headers, .. } = &inbound.head;
            recording.received(method.as_str(), uri.path(), headers);
            raw.iter().for_each(|raw| recording.body(raw));
        }
        let request = raw.and_then(|raw| MessagesRequest::parse(raw, endpoint));
        let publishes = self.pipeline.wants_to_publish();
        let here = publishes.then(|| forward::here(self.gateway, &inbound.head));
        let ctx = self.context(inbound.head, inbound.request_id, request.as_ref().ok());
        self.story.name(&ctx.caller.key, &ctx.model);
        self.story.tag(&ctx.caller.tags);
        let reach = inner::reach(self.gateway, &self.identity, &ctx, here);
        let passage = Passage::reaching(self.pipeline, &ctx, reach);
        let story = Arc::clone(self.story);
        let is_limited = self.gateway.has_limits_for(&ctx.caller);
        let answered = match request {
            Ok(request) => self.serve(&passage, request, requested).await,
            Err(error) => Err(error),
        };
        let answered = match (answered, endpoint) {
            (Ok(reply), Endpoint::Messages) => passage.on_reply(reply).await,
            (answered, _) => answered,
        };
        let answered = answered.map_err(|error| passage.on_error(error));
        let answered = match is_limited {
            true => answered::without_rate_limits(answered),
            false => answered,
        };
        Answered::new(answered, passage.response_headers(), story)
    }

    async fn serve(
        self,
        passage: &Arc<Passage>,
        request: MessagesRequest,
        requested: Result<HeaderWishes>,
    ) -> Result<Reply> {
        let mut request = request;
        let endpoint = request.endpoint;
        self.identity.check_model(request.model())?;
        let requested = requested?;
        let declared = declare::declared(&mut request)?;
        let requested = match passage.hooks().has(Hook::Request) {
            true => requested.show(&mut request)?,
            false => requested,
        };
        if let Some(recording) = self.story.recording() {
            recording.request(request.to_bytes());
        }
        let (request, verdict) = passage.on_request(request).await?;
        match verdict {
            Verdict::Continue => {}
            // nothing is sent upstream, so there is nothing to count
            Verdict::Respond(_) if endpoint == Endpoint::CountTokens => {
                return Ok(Reply::json("{\"input_tokens\":0}"));
            }
            Verdict::Respond(reply) => return policy_reply(*reply, request.is_stream()),
            Verdict::Deny(error) => return Err(*error),
        }
        let (gateway, passage) = (Arc::clone(self.gateway), Arc::clone(passage));
        let exchange = Exchange { gateway, identity: self.identity, passage, requested, declared };
        exchange.dispatch(request).await
    }

    /// Collects the facts before the first stage. The facts of the body are missing if it cannot be
    /// read.
    fn context(
        &self,
        head: Parts,
        request_id: String,
        request: Option<&MessagesRequest>,
    ) -> Arc<Context> {
        let session = self.session(&head, request);
        if let (Some(admission), Some(request)) = (&self.admission, request) {
            let alias = self.gateway.models.resolve(request.model());
            let alias = alias.map_or("", |alias| &alias.name);
            let name = Name { model: request.model().into(), alias: alias.into() };
            admission.note(&self.identity.caller, name);
        }
        Arc::new(Context {
            request_id,
            started: self.story.read(|record| record.started),
            caller: Arc::clone(&self.identity.caller),
            headers: headers::for_stages(head.headers),
            query: head.uri.query().map(ToOwned::to_owned),
            credential: self.identity.credential.clone(),
            session,
            model: request.map(|request| request.model().to_owned()).unwrap_or_default(),
            media: Arc::default(),
            story: Arc::clone(self.story),
            admission: self.admission.clone(),
        })
    }

    fn session(&self, head: &Parts, request: Option<&MessagesRequest>) -> String {
        let header = |name| head.headers.get(name).and_then(|id| id.to_str().ok());
        let own = header(headers::SESSION_ID).filter(|id| !id.is_empty());
        let named = own.or_else(|| header(SESSION));
        let keeps_users = self.gateway.shared.ledger.keeps_users();
        let user = || {
            let metadata = request.and_then(|request| request.document().field("metadata"));
            metadata.and_then(|metadata| user_id(&metadata))
        };
        let user = if keeps_users || named.is_none() { user() } else { None };
        self.story.belongs(named, user.as_deref().filter(|_| keeps_users));
        let named = named.map(ToOwned::to_owned).or(user);
        if let (Some(session), Some(request)) = (&named, request) {
            self.follow(session, request);
        }
        named.unwrap_or_else(|| self.identity.caller.id().to_owned())
    }

    /// Follows the prompt of a session. A count of tokens does not touch the cache.
    fn follow(&self, session: &str, request: &MessagesRequest) {
        if request.endpoint == Endpoint::Messages {
            let (prompts, key) = (&self.gateway.shared.prompts, self.identity.caller.id());
            self.story.follow(Tracker::new(prompts, key, session, request));
        }
    }
}

/// Completes a policy's answer. It streams if the caller wants a stream.
fn policy_reply(reply: Reply, wants_stream: bool) -> Result<Reply> {
    let body = match reply.body {
        ReplyBody::Full(message) => match required::completed(message) {
            message if wants_stream => {
                let events = unfold::events_of(&message)?.into_iter().map(Ok);
                ReplyBody::Events(Box::pin(futures_util::stream::iter(events)))
            }
            message => ReplyBody::Full(message),
        },
        body => body,
    };
    Ok(Reply { body, ..reply })
}

fn user_id(metadata: &Bytes) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Metadata {
        user_id: Option<String>,
    }
    serde_json::from_slice::<Metadata>(metadata).ok()?.user_id
}
