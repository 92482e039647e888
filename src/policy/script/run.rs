//! `Run`: one call of a hook on this thread: its deadline, its requested side effects, its stop.
use std::cell::RefCell;
use std::sync::Arc;
use std::time::Instant;

use rhai::{Dynamic, EvalAltResult, Position};

use crate::context::Context;
use crate::policy::script::answer::Content;
use crate::policy::script::clock::Clock;
use crate::policy::script::shared::Shared;
use crate::policy::{Hook, Wishes};

/// The reason why a script was stopped early. A `try` of the script cannot catch it.
#[derive(Clone)]
pub(super) enum Stop {
    /// The script ran out of time.
    Time,
    /// `pass_over`
    PassOver(String),
    /// `deny`
    Deny { status: u16, message: String },
    /// `respond`
    Respond(Content),
    /// `drop_event`
    Drop,
    /// The caller's own body is invalid; the message has the reason.
    Invalid(String),
}

impl From<Stop> for Box<EvalAltResult> {
    fn from(stop: Stop) -> Self {
        EvalAltResult::ErrorTerminated(Dynamic::from(stop), Position::NONE).into()
    }
}

impl Stop {
    /// Returns the stop in an error, at any depth of function calls.
    pub(super) fn of(error: &EvalAltResult) -> Option<Self> {
        match error {
            EvalAltResult::ErrorTerminated(token, _) => token.clone().try_cast(),
            EvalAltResult::ErrorInFunctionCall(_, _, inner, _) => Self::of(inner),
            _ => None,
        }
    }
}

/// The data of the current call, for the functions that a script calls.
pub(super) struct Run {
    /// The policy's name.
    pub(super) policy: Arc<str>,
    /// The hook.
    pub(super) hook: Hook,
    /// The request's context.
    pub(super) context: Arc<Context>,
    /// The document of the hook, if it has one.
    pub(super) document: Option<Shared>,
    /// The time that the script reads.
    pub(super) clock: Clock,
    /// The time at which the call must end.
    pub(super) deadline: Instant,
    /// The side effects that the script has requested.
    pub(super) asked: Asked,
}

/// The side effects that a script has requested beside its edits.
#[derive(Default)]
pub(in crate::policy) struct Asked {
    /// The model that `route` set.
    pub(super) route: Option<String>,
    /// Headers, tags and counter increments.
    pub(in crate::policy) wishes: Wishes,
    /// The fields that the script removed from its document.
    pub(super) removed: Vec<(String, Position)>,
    /// The script's own decision to end. A script can catch the error of a closure, but the decision stays.
    pub(super) stop: Option<Stop>,
}

thread_local! {
    static RUN: RefCell<Option<Box<Run>>> = const { RefCell::new(None) };
}

impl Run {
    /// Runs `act` as this call. Also returns the requested side effects.
    pub(super) fn call<T>(self, act: impl FnOnce() -> T) -> (T, Asked) {
        let _restore = Restore(RUN.replace(Some(Box::new(self))));
        let result = act();
        let asked =
            RUN.with_borrow_mut(|run| run.as_mut().map(|run| std::mem::take(&mut run.asked)));
        (result, asked.unwrap_or_default())
    }

    /// Calls `act` with the current call of this thread; returns `None` outside of a call.
    pub(super) fn current<T>(act: impl FnOnce(&mut Self) -> T) -> Option<T> {
        RUN.with_borrow_mut(|run| run.as_deref_mut().map(act))
    }

    /// Returns whether the document is a request.
    pub(super) fn is_over_request(&self) -> bool {
        matches!(self.hook, Hook::Request | Hook::UpstreamRequest)
    }

    /// Ends the script by its own decision.
    pub(super) fn end(stop: Stop) -> Box<EvalAltResult> {
        Self::current(|run| {
            run.asked.stop.get_or_insert_with(|| stop.clone());
        });
        stop.into()
    }

    /// Runs at every operation of a script, and reads the clock at each 64th.
    pub(super) fn progress(operations: u64) -> Option<Dynamic> {
        if !operations.is_multiple_of(64) {
            return None;
        }
        Self::is_late().then(|| Dynamic::from(Stop::Time))
    }

    /// Checks the deadline within functions of Tidegate that may take long: `progress` does not run there.
    pub(super) fn check_time() -> Result<(), Box<EvalAltResult>> {
        if Self::is_late() { Err(Stop::Time.into()) } else { Ok(()) }
    }

    fn is_late() -> bool {
        RUN.with_borrow(|run| run.as_ref().is_some_and(|run| run.deadline < Instant::now()))
    }
}

/// Restores the outer call, also when the inner one panics.
struct Restore(Option<Box<Run>>);

impl Drop for Restore {
    fn drop(&mut self) {
        RUN.set(self.0.take());
    }
}
