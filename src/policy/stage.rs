//! `Stage`: one policy or plugin of the pipeline. It selects requests, times hooks and handles failures.
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use serde_json::{Map, Value};

use crate::auth::When;
use crate::context::Context;
use crate::error::{Act, Error, ErrorKind, Result, Scope};
use crate::plugin_host::{Decision, Plugin};
use crate::policy::config::StageRules;
use crate::policy::facts::Facts;
use crate::policy::script::api::With;
use crate::policy::script::{Script, ScriptCall};
use crate::policy::window::WindowRules;
use crate::policy::{Hook, Hooks, OnError, Outcome, Verdict, plugin_stage};
use crate::telemetry::lives::{LastError, Life};
use crate::telemetry::logs::one_line;
use crate::telemetry::metrics::{Metrics, StageMetrics};
use crate::telemetry::recorded::{Actor, ActorKind};
use crate::telemetry::story::Run;
use crate::wire::{Document, MessagesRequest};

/// The most characters of an error that are kept.
const SHOWN: usize = 1000;

/// One stage: a policy or a plugin, and the requests that it runs for.
#[derive(Clone)]
pub(crate) struct Stage {
    name: Arc<str>,
    work: Work,
    when: When,
    on_error: OnError,
    hooks: Hooks,
    metrics: Vec<HookBook>,
}

/// The numbers of one hook of a stage.
#[derive(Clone)]
struct HookBook {
    hook: Hook,
    metrics: StageMetrics,
    life: Arc<Life>,
}

/// The program of a stage.
#[derive(Clone)]
pub(crate) enum Work {
    /// A Rhai policy.
    Script(Script, With),
    /// A WebAssembly plugin.
    Plugin(Plugin, Arc<Map<String, Value>>),
}

/// A run of a hook that has ended.
pub(super) struct HookRun<T> {
    /// The hook.
    pub(super) hook: Hook,
    /// The time that it took.
    pub(super) took: Duration,
    /// Its result.
    pub(super) done: Result<T>,
}

/// The end of a hook.
pub(super) enum Settled<T, S> {
    /// The hook returned this value and took this long.
    Done(T, Duration),
    /// The hook failed and is skipped: the spare value replaces its result.
    Skipped(S),
}

impl Stage {
    pub(super) fn new(name: &str, work: Work, rules: &StageRules, metrics: &Metrics) -> Self {
        let hooks = match &work {
            Work::Script(script, _) => script.hooks(),
            Work::Plugin(plugin, _) => plugin_stage::hooks(plugin),
        };
        let defined = Hook::ALL.into_iter().filter(|hook| hooks.has(*hook));
        Self {
            name: name.into(),
            work,
            when: When::new(&rules.when),
            on_error: rules.on_error,
            hooks,
            metrics: defined
                .map(|hook| HookBook {
                    hook,
                    metrics: metrics.stage(name, hook.as_str()),
                    life: metrics.lives.of(name, hook.as_str()),
                })
                .collect(),
        }
    }

    /// Returns a stage with another program, which runs for the same requests.
    pub(super) fn replaced(&self, work: Work, metrics: &Metrics) -> Self {
        let new = Self::new(&self.name, work, &StageRules::default(), metrics);
        Self { when: self.when.clone(), on_error: self.on_error, ..new }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Records that a hook edited its subject.
    pub(super) fn note_edit(&self, hook: Hook, ctx: &Context) {
        ctx.story.stage_edited(&self.name, hook.as_str());
        self.book(hook).into_iter().for_each(|book| book.life.edited());
    }

    /// Records a request that a hook edited, and its prompt.
    pub(super) fn note_prompt(&self, hook: Hook, ctx: &Context, request: &MessagesRequest) {
        ctx.story.prompt(|prompt| match hook {
            Hook::UpstreamRequest => prompt.edited_for_attempt(&self.name, request),
            _ => prompt.edited(&self.name, request),
        });
        let Some(recording) = ctx.story.recording() else { return };
        let (actor, body) = (self.actor(hook), request.to_bytes());
        match hook {
            Hook::UpstreamRequest => recording.attempt_edited(actor, body),
            _ => recording.request_edited(actor, body),
        }
    }

    /// Records the edit of a value other than a request; `values` returns it before and after the edit.
    pub(super) fn note_values(
        &self,
        hook: Hook,
        ctx: &Context,
        values: impl FnOnce() -> [Bytes; 2],
    ) {
        let Some(recording) = ctx.story.recording() else { return };
        let [before, after] = values();
        recording.edited(self.actor(hook), before, after);
    }

    /// Records the edit of a piece of a stream; `texts` returns it before and after the edit.
    pub(super) fn note_piece(
        &self,
        hook: Hook,
        ctx: &Context,
        texts: impl FnOnce() -> [String; 2],
    ) {
        let Some(recording) = ctx.story.recording() else { return };
        let [before, after] = texts();
        recording.piece(self.actor(hook), &before, &after);
    }

    fn actor(&self, hook: Hook) -> Actor {
        let kind = match self.work {
            Work::Script(..) => ActorKind::Policy,
            Work::Plugin(..) => ActorKind::Plugin,
        };
        Actor { stage: Arc::clone(&self.name), kind, hook: hook.as_str() }
    }

    /// Records that a hook denied its subject.
    pub(super) fn note_denial(&self, hook: Hook, ctx: &Context) {
        ctx.story.stage_denied(&self.name, hook.as_str());
        self.book(hook).into_iter().for_each(|book| book.life.denied());
    }

    /// Returns the plugin, if the stage is one.
    pub(super) fn plugin(&self) -> Option<&Plugin> {
        match &self.work {
            Work::Plugin(plugin, _) => Some(plugin),
            Work::Script(..) => None,
        }
    }

    pub(super) fn hooks(&self) -> Hooks {
        self.hooks
    }

    /// Returns the reaction if it fails.
    pub(super) fn on_error(&self) -> OnError {
        self.on_error
    }

    /// Returns its hooks with their numbers.
    pub(super) fn lives(&self) -> impl Iterator<Item = (Hook, &Life)> {
        self.metrics.iter().map(|book| (book.hook, &*book.life))
    }

    fn book(&self, hook: Hook) -> Option<&HookBook> {
        self.metrics.iter().find(|book| book.hook == hook)
    }

    /// Returns the windows that its `on_text` needs.
    pub(super) fn windows(&self) -> WindowRules {
        match &self.work {
            Work::Script(script, _) => script.windows(),
            Work::Plugin(..) => WindowRules::default(),
        }
    }

    /// Returns whether the stage defines the hook and runs for this request.
    pub(super) fn is_for(&self, hook: Hook, ctx: &Context) -> bool {
        self.hooks.has(hook)
            && self.when.fits_caller(&ctx.caller)
            && self.when.fits_model(&ctx.model)
    }

    /// Returns whether `on_upstream_request` runs only if a target does not support a part of the request.
    pub(super) fn is_for_unsupported(&self) -> bool {
        matches!(&self.work, Work::Plugin(plugin, _) if plugin.is_for_unsupported())
    }

    /// Returns whether its `when` matches the model. Key and tags are ignored.
    pub(super) fn is_for_model(&self, model: &str) -> bool {
        self.when.fits_model(model)
    }

    /// Returns the script and a call of it, for the hooks that only scripts have.
    pub(super) fn script<'a>(&'a self, facts: Facts<'a>) -> Option<(&'a Script, ScriptCall<'a>)> {
        match &self.work {
            Work::Script(script, with) => Some((script, facts.call(with))),
            Work::Plugin(..) => None,
        }
    }

    /// Runs `on_request`. The call of a plugin is boxed: its future takes kilobytes, and would be moved
    /// with the future of every stage.
    pub(super) async fn on_request(
        &self,
        facts: Facts<'_>,
        document: Document,
    ) -> Result<(Document, Outcome)> {
        match &self.work {
            Work::Script(script, with) => script.on_request(&facts.call(with), document),
            Work::Plugin(plugin, with) => {
                self.decided(Box::pin(plugin.on_request(facts.behalf(), with, document)).await)
            }
        }
    }

    /// Runs `on_upstream_request`.
    pub(super) async fn on_upstream_request(
        &self,
        facts: Facts<'_>,
        document: Document,
        target: &Value,
    ) -> Result<(Document, Outcome)> {
        match &self.work {
            Work::Script(script, with) => {
                script.on_upstream_request(&facts.call(with), document, target)
            }
            Work::Plugin(plugin, with) => {
                let behalf = facts.behalf();
                let done = plugin.on_upstream_request(behalf, with, document, target);
                self.decided(Box::pin(done).await)
            }
        }
    }

    /// Runs `on_response`.
    pub(super) async fn on_response(
        &self,
        facts: Facts<'_>,
        message: Document,
    ) -> Result<(Document, Outcome)> {
        match &self.work {
            Work::Script(script, with) => script.on_response(&facts.call(with), message),
            Work::Plugin(plugin, with) => {
                self.decided(Box::pin(plugin.on_response(facts.behalf(), with, message)).await)
            }
        }
    }

    /// Maps a plugin's decision onto the request.
    fn decided(&self, done: Result<(Document, Decision)>) -> Result<(Document, Outcome)> {
        let (document, decision) = done?;
        Ok((document, plugin_stage::outcome(&self.name, decision)))
    }

    /// Returns the error of a request that ends because this stage failed.
    fn failed(&self, error: Error) -> Error {
        let failed = Error::new(ErrorKind::Api, error.message);
        let failed = failed.by_stage(&self.name, Scope::Exchange, Act::Failed);
        Error { source: error.source, log: error.log, ..failed }
    }

    /// Returns the value to continue with if this stage fails; `None` if it fails closed.
    pub(super) fn spare<T>(&self, make: impl FnOnce() -> T) -> Option<T> {
        (self.on_error == OnError::Skip).then(make)
    }

    /// Begins a run of a hook: if it fails, its writes to `ctx.state` are undone. Plugins have no state.
    pub(super) fn begin(&self, facts: Facts<'_>) {
        if let Work::Script(..) = self.work {
            facts.state.begin();
        }
    }

    /// Times a hook and handles its failure: the spare value, if there is one, replaces the result.
    ///
    /// Fails with a 500 that names the stage if it fails closed. If the hook's subject is invalid, it fails
    /// for every `on_error`: with a 400 for a request, with a 502 for an answer.
    pub(super) async fn guard<T, S>(
        &self,
        hook: Hook,
        facts: Facts<'_>,
        spare: Option<S>,
        work: impl Future<Output = Result<T>>,
    ) -> Result<Settled<T, S>> {
        self.begin(facts);
        let started = Instant::now();
        let done = work.await;
        self.settle(HookRun { hook, took: started.elapsed(), done }, facts, spare)
    }

    /// Does the same as [`Stage::guard`] for a hook that never waits.
    pub(super) fn guard_now<T, S>(
        &self,
        hook: Hook,
        facts: Facts<'_>,
        spare: Option<S>,
        work: impl FnOnce() -> Result<T>,
    ) -> Result<Settled<T, S>> {
        self.begin(facts);
        let started = Instant::now();
        let done = work();
        self.settle(HookRun { hook, took: started.elapsed(), done }, facts, spare)
    }

    /// Does the same as [`Stage::guard`] for a hook that began with [`Stage::begin`], has run and took `took`.
    pub(super) fn settle<T, S>(
        &self,
        run: HookRun<T>,
        facts: Facts<'_>,
        spare: Option<S>,
    ) -> Result<Settled<T, S>> {
        let HookRun { hook, took, done } = run;
        let story = &facts.ctx.story;
        let book = self.book(hook);
        if let Some(HookBook { metrics, life, .. }) = book {
            metrics.observe(took);
            life.ran(took);
        }
        let error = match done {
            Ok(done) => {
                story.stage_ran(&self.name, hook.as_str(), took, Run::Done);
                return Ok(Settled::Done(done, took));
            }
            Err(error) => error,
        };
        if let Work::Script(..) = self.work {
            facts.state.undo();
        }
        if matches!(error.kind, ErrorKind::InvalidRequest | ErrorKind::RequestTooLarge) {
            // a subject that no stage could read is no failure of this one: it must not pass unseen either
            story.stage_ran(&self.name, hook.as_str(), took, Run::Done);
            facts.show_failure(&self.name, hook, took, &error);
            return Err(unreadable(hook, error));
        }
        story.stage_ran(&self.name, hook.as_str(), took, Run::Failed);
        if let Some(HookBook { metrics, life, .. }) = book {
            metrics.failed();
            life.failed(last_error(facts.ctx, &error));
        }
        if spare.is_some() && !error.is_logged {
            let source = error.source.as_deref().map(tracing::field::display);
            let (request_id, hook) = (&facts.ctx.request_id, hook.as_str());
            tracing::warn!(request_id, stage = &*self.name, hook, error = %error.message, source, "stage failed and was skipped");
        }
        facts.show_failure(&self.name, hook, took, &error);
        match spare {
            Some(spare) => Ok(Settled::Skipped(spare)),
            None => Err(self.failed(error)),
        }
    }

    /// Fails if a plugin's decision has no meaning at this hook, such as a route once a target is chosen.
    pub(super) fn refuse_ends(&self, hook: Hook, outcome: &Outcome) -> Result<()> {
        let wrong = match (&outcome.route, &outcome.verdict) {
            (Some(_), _) => "routes",
            (None, Verdict::Respond(_)) => "answers",
            _ => return Ok(()),
        };
        let (name, hook) = (self.name(), hook.as_str());
        let message =
            format!("stage `{name}` {wrong} in `{hook}`: that works in `on_request` only");
        Err(Error::new(ErrorKind::Api, message))
    }
}

/// Returns an error as operators see it, in one line of bounded length.
pub(super) fn last_error(ctx: &Context, error: &Error) -> LastError {
    let source = error.source.as_deref().map(|source| format!(": {source}"));
    let text = format!("{}{}", error.logged(), source.unwrap_or_default());
    LastError {
        at: SystemTime::now(),
        request_id: ctx.request_id.to_string(),
        message: one_line(&text).chars().take(SHOWN).collect(),
    }
}

/// Returns the error of a subject that a hook cannot read, as its author's fault.
fn unreadable(hook: Hook, error: Error) -> Error {
    let why = &error.message;
    match hook {
        Hook::Request | Hook::UpstreamRequest => error,
        Hook::ToolCall => Error::invalid(format!("the input of the tool cannot be read: {why}")),
        Hook::ToolResult => Error::invalid(format!("the tool's result cannot be read: {why}")),
        Hook::Response | Hook::Event | Hook::Text | Hook::Error => {
            let message = format!("the upstream's answer cannot be read: {why}");
            Error::new(ErrorKind::BadUpstream, message)
        }
    }
}
