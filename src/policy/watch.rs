//! `Watch`: shows a trial each run of a hook. It changes nothing: trials and live requests run the same.
use std::time::Duration;

use bytes::Bytes;

use crate::error::Error;
use crate::policy::outcome::{Verdict, Wishes};
use crate::policy::script::Decision;
use crate::policy::{Hook, Hooks};
use crate::wire::ReplyBody;

/// One stage at one hook.
pub struct Step<'a> {
    /// The stage's name.
    pub stage: &'a str,
    /// The hook.
    pub hook: Hook,
    /// How it went.
    pub end: End<'a>,
}

/// How a stage went at a hook.
pub enum End<'a> {
    /// It did not run: it does not define the hook.
    NoHook,
    /// It did not run: its `when` does not fit the request.
    NotFor,
    /// It ran to its end, or decided something.
    Done(Ran<'a>),
    /// It failed, or left something that cannot go on.
    Broke(Duration, &'a Error),
}

/// A run of a hook over a request, a call, a result or an error, each as JSON text.
pub struct Ran<'a> {
    /// How long it took.
    pub time: Duration,
    /// The subject before the run.
    pub before: Bytes,
    /// The subject as the stage left it.
    pub left: Bytes,
    /// The subject as it goes on: a request names the model that the stage routes to.
    pub after: Bytes,
    /// The decision.
    pub decision: Decided<'a>,
    /// The model to go to instead.
    pub route: Option<&'a str>,
    /// Headers, tags and counts.
    pub wishes: &'a Wishes,
}

impl<'a> Ran<'a> {
    /// A run over a call of a tool or its result.
    pub(super) fn of_tool(
        time: Duration,
        (before, after): (Bytes, Bytes),
        decision: &'a Decision,
        wishes: &'a Wishes,
    ) -> Self {
        let left = after.clone();
        Self { time, before, left, after, decision: decision.into(), route: None, wishes }
    }
}

/// The decision of a stage.
pub enum Decided<'a> {
    /// The subject goes on.
    GoOn,
    /// The stage answers: a message, or the content of a tool's result.
    Answer(Bytes),
    /// The stage refuses.
    Deny(&'a Error),
}

/// Sees each step of a passage.
pub struct Watch(Box<dyn Fn(&Step<'_>) + Send + Sync>);

impl Watch {
    /// Calls `see` for each step, at once.
    pub fn new(see: impl Fn(&Step<'_>) + Send + Sync + 'static) -> Self {
        Self(Box::new(see))
    }

    pub(super) fn show(&self, step: &Step<'_>) {
        (self.0)(step);
    }

    /// Shows a run.
    pub(super) fn show_run(&self, stage: &str, hook: Hook, ran: Ran<'_>) {
        self.show(&Step { stage, hook, end: End::Done(ran) });
    }

    /// Shows a stage that does not run.
    pub(super) fn show_idle(&self, stage: &str, hook: Hook, hooks: Hooks) {
        let end = if hooks.has(hook) { End::NotFor } else { End::NoHook };
        self.show(&Step { stage, hook, end });
    }
}

impl<'a> From<&'a Verdict> for Decided<'a> {
    fn from(verdict: &'a Verdict) -> Self {
        match verdict {
            Verdict::Continue => Self::GoOn,
            Verdict::Deny(error) => Self::Deny(error),
            Verdict::Respond(reply) => Self::Answer(match &reply.body {
                ReplyBody::Full(message) => message.clone(),
                // stages answer with whole messages
                ReplyBody::Events(_) => Bytes::new(),
            }),
        }
    }
}

impl<'a> From<&'a Decision> for Decided<'a> {
    fn from(decision: &'a Decision) -> Self {
        match decision {
            Decision::Continue | Decision::Drop => Self::GoOn,
            Decision::Deny(error) => Self::Deny(error),
            Decision::Respond(content) => Self::Answer(content.clone().into_tool_result().into()),
        }
    }
}
