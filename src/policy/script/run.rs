//! One call of a hook on this thread: its deadline, what it has asked for, how it was stopped.
use std::cell::RefCell;
use std::sync::Arc;
use std::time::Instant;

use rhai::{Dynamic, EvalAltResult, Position};

use crate::context::Context;
use crate::policy::script::answer::Content;
use crate::policy::script::clock::Clock;
use crate::policy::script::shared::Shared;
use crate::policy::{Hook, Wishes};

/// Why a script ended before its end; a script's `try` cannot catch it.
#[derive(Clone)]
pub(super) enum Stop {
    /// Out of time.
    Time,
    /// `pass_over`
    PassOver(String),
    /// `deny`
    Deny { status: u16, message: String },
    /// `respond`
    Respond(Content),
    /// `drop_event`
    Drop,
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
    /// Which hook it is.
    pub(super) hook: Hook,
    /// The request's facts.
    pub(super) context: Arc<Context>,
    /// The document that the hook is about, where it is about one.
    pub(super) document: Option<Shared>,
    /// The time that the script reads.
    pub(super) clock: Clock,
    /// When it has had its time.
    pub(super) deadline: Instant,
    /// What it has asked for.
    pub(super) asked: Asked,
}

/// What a script has asked for beside its edits.
#[derive(Default)]
pub(in crate::policy) struct Asked {
    /// Where `route` sends the request.
    pub(super) route: Option<String>,
    /// Headers, tags, counts.
    pub(in crate::policy) wishes: Wishes,
    /// Fields that it took out of its document.
    pub(super) removed: Vec<(String, Position)>,
    /// How it ended itself. Rhai lets a script catch what ends a closure; a decision stands all the same.
    pub(super) stop: Option<Stop>,
}

thread_local! {
    static RUN: RefCell<Option<Box<Run>>> = const { RefCell::new(None) };
}

impl Run {
    /// Does `act` as this call; also gives what the call has asked for.
    pub(super) fn call<T>(self, act: impl FnOnce() -> T) -> (T, Asked) {
        let _restore = Restore(RUN.replace(Some(Box::new(self))));
        let result = act();
        let asked =
            RUN.with_borrow_mut(|run| run.as_mut().map(|run| std::mem::take(&mut run.asked)));
        (result, asked.unwrap_or_default())
    }

    /// The call that this thread is in; nothing happens outside of one.
    pub(super) fn current<T>(act: impl FnOnce(&mut Self) -> T) -> Option<T> {
        RUN.with_borrow_mut(|run| run.as_deref_mut().map(act))
    }

    /// The document is a request.
    pub(super) fn is_over_request(&self) -> bool {
        matches!(self.hook, Hook::Request | Hook::UpstreamRequest)
    }

    /// Ends the script by a decision of its own.
    pub(super) fn end(stop: Stop) -> Box<EvalAltResult> {
        Self::current(|run| {
            run.asked.stop.get_or_insert_with(|| stop.clone());
        });
        stop.into()
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
struct Restore(Option<Box<Run>>);

impl Drop for Restore {
    fn drop(&mut self) {
        RUN.set(self.0.take());
    }
}
