//! Messages requests that a plugin makes on behalf of the caller of its request.
//!
//! Such a request counts as the caller's: its key must allow the model, aliases and failover are
//! the same, and `on_upstream_request` and the stages around server tools run. It does not pass
//! `on_request`, `on_event`, `on_text` and `on_response`: these stages have already processed the
//! caller's request, and a stage that adds a tool would call itself without end. It counts as an
//! exchange of its own, under its own model. It ends with the call that made it, and so with the
//! caller.
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use crate::auth::Identity;
use crate::context::Context;
use crate::error::{Error, ErrorKind, Result};
use crate::exchange::answered::Answered;
use crate::exchange::dispatch::Exchange;
use crate::exchange::meter::Meter;
use crate::exchange::requested::HeaderWishes;
use crate::gateway::Gateway;
use crate::limits::Source;
use crate::net::header_edits::HeaderEdits;
use crate::plugin_host::{ModelAnswer, ModelCall, Publish, Reach, published};
use crate::policy::Passage;
use crate::server_tools::declare;
use crate::wire::{Endpoint, MessagesRequest, ReplyBody, Spent};

/// Returns the gateway services for the plugins of a request; `None` if no plugin wants models or
/// files. `here` is the origin by which the caller reaches the gateway, if some plugin publishes.
pub(crate) fn reach(
    gateway: &Arc<Gateway>,
    identity: &Identity,
    ctx: &Arc<Context>,
    here: Option<String>,
) -> Option<Reach> {
    let models = gateway.pipeline.wants_models().then(|| through(gateway, identity, ctx));
    match here {
        None => models,
        Some(here) => Some(models.unwrap_or_default().publish(publish(gateway, here))),
    }
}

/// Returns the service that keeps files at an address for the caller. The origin is the operator's,
/// or else `here`.
fn publish(gateway: &Arc<Gateway>, here: String) -> Publish {
    let gateway = Arc::clone(gateway);
    Arc::new(move |file| {
        let files = &gateway.files;
        let kept = gateway.shared.published.keep(file, files, Instant::now());
        let name = kept.ok_or_else(|| {
            let message =
                format!("the file is larger than the {} bytes of all files", files.max_bytes);
            Error::new(ErrorKind::RequestTooLarge, message)
        })?;
        let origin = files.public_url.as_deref().unwrap_or(&here).trim_end_matches('/');
        Ok(format!("{origin}{}{name}", published::PATH))
    })
}

/// Returns the gateway services for a plugin that need not be in the gateway's pipeline.
pub(crate) fn through(gateway: &Arc<Gateway>, identity: &Identity, ctx: &Arc<Context>) -> Reach {
    let (gateway, identity, ctx) = (Arc::clone(gateway), identity.clone(), Arc::clone(ctx));
    let models: ModelCall = Arc::new(move |request| {
        Box::pin(call_model(Arc::clone(&gateway), identity.clone(), Arc::clone(&ctx), request))
    });
    Reach::default().models(models)
}

async fn call_model(
    gateway: Arc<Gateway>,
    identity: Identity,
    outer: Arc<Context>,
    raw: Bytes,
) -> Result<ModelAnswer> {
    let mut request = MessagesRequest::parse(raw, Endpoint::Messages)?;
    request.set_stream(false)?;
    identity.check_model(request.model())?;
    let declared = declare::declared(&mut request)?;
    let inner = within(&outer, &request);
    let meter = Meter::start(&gateway, &inner.story, Source::Plugin(outer.admission.clone()));
    let ctx = Arc::new(Context { admission: meter.admission(), ..inner });
    let reach = Reach::default().models(Arc::new(|_| Box::pin(async { Err(too_deep()) })));
    let passage = Passage::reaching(&gateway.pipeline, &ctx, Some(reach));
    let story = Arc::clone(&ctx.story);
    story.name(&ctx.caller.key, &ctx.model);
    story.tag(&ctx.caller.tags);
    let requested = HeaderWishes::default();
    let exchange = Exchange { gateway, identity, passage, requested, declared };
    let answered = exchange.dispatch(request).await;
    let answered = Answered::new(answered, HeaderEdits::default(), story);
    match meter.settle(answered).outcome?.body {
        ReplyBody::Full(message) => Ok(answer(message)),
        ReplyBody::Events(_) => {
            let message = "the upstream streamed though the request is for a whole message";
            Err(Error::new(ErrorKind::BadUpstream, message))
        }
    }
}

/// Returns the facts of the caller's request, with the time and the model of this one.
fn within(outer: &Context, request: &MessagesRequest) -> Context {
    let started = Instant::now();
    Context {
        request_id: outer.request_id.clone(),
        started,
        caller: Arc::clone(&outer.caller),
        headers: outer.headers.clone(),
        query: None,
        credential: outer.credential.clone(),
        session: outer.session.clone(),
        model: request.model().to_owned(),
        media: Arc::default(),
        story: outer.story.within(started),
        admission: None,
    }
}

/// Returns the error of a nested model call. A model that a plugin calls may use tools, but a tool
/// that calls a model in turn could continue without end.
fn too_deep() -> Error {
    let message = "a model that a plugin asks cannot have tools that ask models themselves";
    Error::new(ErrorKind::Permission, message)
}

fn answer(message: Bytes) -> ModelAnswer {
    let mut spent = Spent::default();
    spent.update(&message);
    let usage = spent.tokens;
    let input_tokens = usage.input + usage.cache_creation + usage.cache_read;
    ModelAnswer { message, input_tokens, output_tokens: usage.output }
}
