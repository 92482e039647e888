//! `Facts`: the data that all stages of one request share.
use std::sync::Arc;
use std::time::Duration;

use crate::context::Context;
use crate::error::Error;
use crate::plugin_host::{Behalf, Reach};
use crate::policy::script::api::{State, With};
use crate::policy::script::{Clock, ScriptCall};
use crate::policy::watch::{End, Step, Watch};
use crate::policy::{Hook, Hooks};

/// The data that all stages of one request share. Copying it costs nothing.
#[derive(Clone, Copy)]
pub(super) struct Facts<'a> {
    /// The request's context.
    pub(super) ctx: &'a Arc<Context>,
    /// The state map that scripts share (`ctx.state`).
    pub(super) state: &'a State,
    /// The models and files that plugins may use.
    pub(super) reach: Option<&'a Arc<Reach>>,
    /// The time that scripts read.
    pub(super) clock: Clock,
    /// Receives each step of a trial; `None` for live requests.
    pub(super) watch: Option<&'a Watch>,
}

impl<'a> Facts<'a> {
    /// Returns a call of a script with its stage's parameters.
    pub(super) fn call(self, with: &'a With) -> ScriptCall<'a> {
        ScriptCall { context: self.ctx, with, state: self.state, clock: self.clock }
    }

    /// Returns the request that a plugin is called for.
    pub(super) fn behalf(self) -> Behalf {
        Behalf { context: Arc::clone(self.ctx), reach: self.reach.cloned() }
    }

    /// Reports a stage that does not run at `hook`; `hooks` are the hooks that it has.
    pub(super) fn show_idle(self, stage: &str, hook: Hook, hooks: Hooks) {
        if let Some(watch) = self.watch {
            watch.show_idle(stage, hook, hooks);
        }
    }

    /// Reports the failure of a stage.
    pub(super) fn show_failure(self, stage: &str, hook: Hook, took: Duration, error: &Error) {
        if let Some(watch) = self.watch {
            watch.show(&Step { stage, hook, end: End::Broke(took, error) });
        }
    }
}
