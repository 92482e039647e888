//! One call of a hook on this thread: its deadline, what it has asked for, how it was stopped.
use std::cell::RefCell;
use std::sync::Arc;
use std::time::Instant;

use rhai::{Dynamic, EvalAltResult, Position};

use crate::context::Context;
use crate::policy::script_answer::Content;

/// Why a script ended before its end; a script's `try` cannot catch it.
#[derive(Clone)]
pub(super) enum Stop {
    /// Out of time.
    Time,
    /// `deny`
    Deny { status: u16, message: String },
    /// `respond`
    Respond(Content),
    /// The caller's own body is at fault, as the message says.
    Invalid(String),
}

impl From<Stop> for Box<EvalAltResult> {
    fn from(stop: Stop) -> Self {
        EvalAltResult::ErrorTerminated(Dynamic::from(stop), Position::NONE).into()
    }
}

impl Stop {
    /// The stop that an error is, however many function calls deep.
    pub(super) fn of(error: &EvalAltResult) -> Option<Self> {
        match error {
            EvalAltResult::ErrorTerminated(token, _) => token.clone().try_cast(),
            EvalAltResult::ErrorInFunctionCall(_, _, inner, _) => Self::of(inner),
            _ => None,
        }
    }
}

/// What the functions that a script calls know of the call they are in.
pub(super) struct Run {
    /// The policy's name.
    pub(super) policy: Arc<str>,
    /// The request's facts.
    pub(super) context: Arc<Context>,
    /// When it has had its time.
    pub(super) deadline: Instant,
    /// Where `route` sends the request.
    pub(super) route: Option<String>,
}

thread_local! {
    static RUN: RefCell<Option<Run>> = const { RefCell::new(None) };
}

impl Run {
    /// Does `act` as this call; also gives what the call has asked for.
    pub(super) fn call<T>(self, act: impl FnOnce() -> T) -> (T, Option<String>) {
        let _restore = Restore(RUN.replace(Some(self)));
        let result = act();
        let route = RUN.with_borrow_mut(|run| run.as_mut().and_then(|run| run.route.take()));
        (result, route)
    }

    /// The call that this thread is in; nothing happens outside of one.
    pub(super) fn current(act: impl FnOnce(&mut Self)) {
        RUN.with_borrow_mut(|run| run.as_mut().map(act));
    }

    /// For every operation of a script: the clock is read at each 64th.
    pub(super) fn progress(operations: u64) -> Option<Dynamic> {
        if !operations.is_multiple_of(64) {
            return None;
        }
        Self::is_late().then(|| Dynamic::from(Stop::Time))
    }

    /// For functions of ours that may take long: `progress` does not see what they do.
    pub(super) fn check_time() -> Result<(), Box<EvalAltResult>> {
        if Self::is_late() { Err(Stop::Time.into()) } else { Ok(()) }
    }

    fn is_late() -> bool {
        RUN.with_borrow(|run| run.as_ref().is_some_and(|run| run.deadline < Instant::now()))
    }
}

/// Puts the outer call back, also when the inner one panics.
struct Restore(Option<Run>);

impl Drop for Restore {
    fn drop(&mut self) {
        RUN.set(self.0.take());
    }
}
