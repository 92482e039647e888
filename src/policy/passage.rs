//! `Passage`: the way of one request through the stages, from its body to the last byte of its answer.
//!
//! The hooks are in the files beside it: `request`, `tool`, `reply`, `stream`, `rewording`. Trials run the
//! same functions as live requests; a [`Watch`] receives each step of a trial.
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};

use crate::context::Context;
use crate::net::header_edits::HeaderEdits;
use crate::plugin_host::Reach;
use crate::policy::facts::Facts;
use crate::policy::script::Clock;
use crate::policy::script::api::State;
use crate::policy::stage::Stage;
use crate::policy::watch::Watch;
use crate::policy::{Emitted, Hook, Hooks, Pipeline, Wishes};
use crate::telemetry::events::Events;

/// The data that the hooks of one request share: the context, the state, the requested side effects.
pub struct Passage {
    pub(super) pipeline: Arc<Pipeline>,
    /// The request's context.
    pub ctx: Arc<Context>,
    reach: Option<Arc<Reach>>,
    state: State,
    wishes: Mutex<Wishes>,
    clock: Clock,
    watch: Option<Watch>,
}

impl Passage {
    /// Returns the passage of a request; its plugins can neither call models nor publish files.
    pub fn new(pipeline: &Arc<Pipeline>, ctx: &Arc<Context>) -> Arc<Self> {
        Self::reaching(pipeline, ctx, None)
    }

    /// Returns the passage of a request. A `reach` is needed only if [`Pipeline::wants_models`] or
    /// [`Pipeline::wants_to_publish`] returns `true`.
    pub fn reaching(
        pipeline: &Arc<Pipeline>,
        ctx: &Arc<Context>,
        reach: Option<Reach>,
    ) -> Arc<Self> {
        let reach = reach.map(Arc::new);
        Arc::new(Self { reach, ..Self::without_reach(pipeline, ctx) })
    }

    /// Returns the passage of a trial: `watch` receives each step, and scripts read the time of `clock`.
    pub fn on_trial(
        pipeline: &Arc<Pipeline>,
        ctx: &Arc<Context>,
        clock: Clock,
        watch: Watch,
    ) -> Arc<Self> {
        let watch = Some(watch);
        Arc::new(Self { clock, watch, ..Self::without_reach(pipeline, ctx) })
    }

    fn without_reach(pipeline: &Arc<Pipeline>, ctx: &Arc<Context>) -> Self {
        Self {
            pipeline: Arc::clone(pipeline),
            ctx: Arc::clone(ctx),
            reach: None,
            state: State::default(),
            wishes: Mutex::default(),
            clock: Clock::default(),
            watch: None,
        }
    }

    /// Returns the hooks that any stage defines.
    pub fn hooks(&self) -> Hooks {
        self.pipeline.hooks
    }

    /// Returns the data that all stages share.
    pub(super) fn facts(&self) -> Facts<'_> {
        Facts {
            ctx: &self.ctx,
            state: &self.state,
            reach: self.reach.as_ref(),
            clock: self.clock,
            watch: self.watch.as_ref(),
        }
    }

    /// Returns the side effects that the stages have requested so far.
    pub fn wishes(&self) -> MutexGuard<'_, Wishes> {
        self.wishes.lock()
    }

    /// Returns the entrance for events.
    pub(crate) fn events(&self) -> &Events {
        &self.pipeline.events
    }

    /// Returns the header edits that stages request for the response.
    pub fn response_headers(&self) -> HeaderEdits {
        self.wishes().response_headers.clone()
    }

    /// Returns the stages that define a hook and run for this request.
    pub(super) fn stages(&self, hook: Hook) -> impl Iterator<Item = &Stage> {
        self.pipeline.stages.iter().filter(move |stage| stage.is_for(hook, &self.ctx))
    }

    /// Adds the side effects that a stage requests. Counters are incremented and events sent at once; only a trial keeps
    /// the events.
    pub(super) fn keep(&self, mut wishes: Wishes) {
        if wishes.is_empty() {
            return;
        }
        for (name, count) in &std::mem::take(&mut wishes.counts) {
            self.pipeline.metrics.count(name, *count);
            *self.wishes().counts.entry(name.clone()).or_default() += count;
        }
        for event in std::mem::take(&mut wishes.events) {
            let Emitted { kind, policy, fields } = &event;
            self.events().emitted(kind, policy, &self.ctx.story, fields);
            if self.watch.is_some() {
                self.wishes().events.push(event);
            }
        }
        self.ctx.story.tag_by_policy(std::mem::take(&mut wishes.tags));
        self.wishes().extend(wishes);
    }
}

impl std::fmt::Debug for Passage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Passage").field("request_id", &self.ctx.request_id).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
