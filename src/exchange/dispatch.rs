//! `Exchange`: sends one authorized Messages request, as the stages left it, to its targets.
use std::collections::HashSet;
use std::sync::Arc;

use crate::auth::Identity;
use crate::context::Context;
use crate::error::{Error, ErrorKind, Result};
use crate::exchange::admit::{Wanted, admit};
use crate::exchange::failover::{self, Turn};
use crate::exchange::requested::{self, HeaderWishes, Requested};
use crate::exchange::route::{Caller, Route};
use crate::exchange::tool_loop::{self, Task};
use crate::gateway::Gateway;
use crate::models::Target;
use crate::policy::Passage;
use crate::server_tools::citations::{Forms, Sources};
use crate::server_tools::images::Images;
use crate::server_tools::native::Fulfil;
use crate::server_tools::tool::ServerTool;
use crate::server_tools::{allowed, declare, history, unhide};
use crate::wire::{Endpoint, MessagesRequest, Reply};

/// A request of an authenticated caller that may use its model.
pub(super) struct Exchange {
    pub(super) gateway: Arc<Gateway>,
    pub(super) identity: Identity,
    pub(super) passage: Arc<Passage>,
    /// The options in the caller's headers; they are in the request as well.
    pub(super) requested: HeaderWishes,
    /// The types of the server tools that the caller itself declared.
    pub(super) declared: Vec<String>,
}

impl Exchange {
    /// Sends a request to its targets, with its server tools.
    pub(super) async fn dispatch(&self, request: MessagesRequest) -> Result<Reply> {
        let mut request = request;
        let ctx = &self.passage.ctx;
        let requested = requested::take(&self.requested, &mut request)?;
        let resolved = self.gateway.models.resolve(request.model());
        resolved.map_err(|e| misrouted(e, ctx, &request, requested.as_deref()))?;
        let wanted = Wanted { request, requested };
        let Wanted { mut request, requested } = admit(&self.gateway, &self.passage, wanted).await?;
        let requested = requested.as_deref();
        let alias = self.gateway.models.resolve(request.model())?;
        let hidden = &self.gateway.shared.carried;
        let unseen = unhide::put_back(&mut request, hidden, ctx.caller.id())?;
        let caller = Caller { gateway: &self.gateway, identity: &self.identity, ctx };
        let route = Route::new(caller, alias, &request, requested)?;
        let (tools, sources) = self.server_tools(&mut request, unseen, &route)?;
        refuse_thread(&route, &request, &tools)?;
        let passthrough = self.gateway.passthrough.as_ref().map(|to| to.name.as_str());
        let route = route.by_support(&request).bound(&request, passthrough);
        if let Some(requested) = requested {
            self.note(requested);
            requested.edit(&mut request)?;
        }
        // if upstream and caller number sources differently, the answer is rewritten even without
        // tools
        let passes = tools.is_empty() && sources.are_the_same();
        if passes || request.endpoint == Endpoint::CountTokens {
            return Ok(failover::send(&self.passage, &route, &request, Turn::FIRST).await?.reply);
        }
        let task = Task { route, request, tools, sources };
        tool_loop::start(&self.gateway, &self.passage, task).await
    }

    /// Records the tags of the request, and whether it wants a trace.
    fn note(&self, requested: &Requested) {
        let story = &self.passage.ctx.story;
        story.tag(&requested.tags);
        if requested.is_traced {
            story.wants_trace();
        }
    }

    /// Returns the tools that the gateway runs for this request, and the sources that answers may
    /// cite. Converts declarations and history into the upstream's form. `unseen` are the results
    /// that were put back into the caller's history.
    fn server_tools(
        &self,
        request: &mut MessagesRequest,
        unseen: HashSet<String>,
        route: &Route,
    ) -> Result<(Vec<ServerTool>, Sources)> {
        let pipeline = &self.gateway.pipeline;
        let targets: Vec<&Target> = route.choices.iter().map(|choice| &*choice.target).collect();
        let setting = route.choices.first().map(|choice| choice.alias.server_tools);
        let fulfil = |kind: &str| Fulfil::on(setting.unwrap_or_default(), &targets, kind);
        allowed::check(request, &self.declared, &self.identity)?;
        let tools = declare::replace(pipeline, request, &self.declared, &fulfil)?;
        if !pipeline.has_tools() && unseen.is_empty() {
            return Ok((tools, Sources::default()));
        }
        let forms = Forms::on(&targets, request, &tools);
        let images = Images::new(&self.gateway.shared.published, forms.images);
        let sources = match history::restore(request, Sources::hiding(forms, unseen), images)? {
            Some(sources) => sources,
            // without tools the caller's numbers are the upstream's
            None if tools.is_empty() => Sources::new(forms),
            None => Sources::new(forms).read(request),
        };
        Ok((tools, sources))
    }
}

/// An unknown model is the caller's error only if the caller named it; otherwise a policy or plugin
/// did.
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

/// Rejects a thread if the gateway cannot keep it. A thread lives on one upstream account, and
/// holds the conversation as the upstream received it. The error code makes official tool runners
/// continue without a thread (messages-api.md 10).
fn refuse_thread(route: &Route, request: &MessagesRequest, tools: &[ServerTool]) -> Result<()> {
    let why = match (route.choices.as_slice(), tools) {
        ([only], [])
            if only.target.accepts.is_native && !only.target.accepts.lacks_field("thread") =>
        {
            return Ok(());
        }
        ([_], []) => "the upstream of this model keeps no threads",
        ([_], _) => "the gateway runs tools in this conversation",
        _ => "this model has several targets",
    };
    let Some(thread) = request.document().field("thread") else { return Ok(()) };
    match serde_json::from_slice::<Thread>(&thread).unwrap_or_default().kind.as_deref() {
        None => Ok(()),
        // the runner then starts a new thread with the whole conversation, which is rejected below
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
