//! `Watch`: reports each run of a hook to a trial. Trials and live requests run the same code.
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
    /// The end of the run.
    pub end: End<'a>,
}

/// The end of a stage at a hook.
pub enum End<'a> {
    /// The stage did not run: it does not define the hook.
    NoHook,
    /// The stage did not run: its `when` does not match the request.
    NotFor,
    /// The stage ran to its end, or made a decision.
    Done(Ran<'a>),
    /// The stage failed, or left an invalid subject.
    Broke(Duration, &'a Error),
}

/// A run of a hook over its subject (a request, call, result or error) as JSON text.
pub struct Ran<'a> {
    /// The duration of the run.
    pub time: Duration,
    /// The subject before the run.
    pub before: Bytes,
    /// The subject as the stage left it.
    pub left: Bytes,
    /// The subject for the next stage: a request names the model that the stage routes to.
    pub after: Bytes,
    /// The decision.
    pub decision: Decided<'a>,
    /// The model that the stage routes to.
    pub route: Option<&'a str>,
    /// Headers, tags and counter increments.
    pub wishes: &'a Wishes,
}

impl<'a> Ran<'a> {
    /// Returns the run over a tool call or its result.
    pub(super) fn of_tool(
        time: Duration,
        before: Bytes,
        after: Bytes,
        decision: &'a Decision,
        wishes: &'a Wishes,
    ) -> Self {
        let left = after.clone();
        Self { time, before, left, after, decision: decision.into(), route: None, wishes }
    }
}

/// The decision of a stage.
pub enum Decided<'a> {
    /// The subject continues.
    GoOn,
    /// The stage answers: a message, or the content of a tool's result.
    Answer(Bytes),
    /// The stage denies the subject.
    Deny(&'a Error),
}

/// Receives each step of a passage.
pub struct Watch(Box<dyn Fn(&Step<'_>) + Send + Sync>);

impl Watch {
    /// Returns a watch that calls `see` for each step, as soon as the step ends.
    pub fn new(see: impl Fn(&Step<'_>) + Send + Sync + 'static) -> Self {
        Self(Box::new(see))
    }

    pub(super) fn show(&self, step: &Step<'_>) {
        (self.0)(step);
    }

    /// Reports a run.
    pub(super) fn show_run(&self, stage: &str, hook: Hook, ran: Ran<'_>) {
        self.show(&Step { stage, hook, end: End::Done(ran) });
    }

    /// Reports a stage that does not run.
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
