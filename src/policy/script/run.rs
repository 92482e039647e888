//! `Run`: one call of a hook on this thread: its deadline, its requested side effects, its stop.
use std::cell::RefCell;
use std::sync::Arc;
use std::time::Instant;

use rhai::{Dynamic, EvalAltResult, NativeCallContext, Position};

use crate::context::Context;
use crate::policy::script::answer::Content;
use crate::policy::script::clock::Clock;
use crate::policy::script::shared::Shared;
use crate::policy::{Hook, Wishes};

/// The reason why a script was stopped early. A `try` of the script cannot catch it.
#[derive(Clone, PartialEq)]
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
    /// The script used a deciding verb in a wrong way; the message has the mistake.
    Misuse(String),
    /// `ctx.state` has no room for a value.
    Full(Full),
}

/// A value of `ctx.state` that exceeds the limit.
#[derive(Clone, PartialEq)]
pub(super) struct Full {
    pub(super) name: String,
    /// The bytes of the value, with its name.
    pub(super) bytes: usize,
    /// The bytes of all other values.
    pub(super) others: usize,
    pub(super) limit: usize,
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

/// A stop, and its place in a file.
pub(super) struct Stopped {
    pub(super) stop: Stop,
    at: Position,
    /// The path of the file, if it is known.
    file: Option<String>,
}

impl From<Stopped> for Box<EvalAltResult> {
    fn from(stopped: Stopped) -> Self {
        let Stopped { stop, at, file } = stopped;
        let error = EvalAltResult::ErrorTerminated(Dynamic::from(stop), at);
        match file {
            // only the error of a call has a file
            Some(file) => {
                let (name, at) = (String::new(), Position::NONE);
                EvalAltResult::ErrorInFunctionCall(name, file, error.into(), at).into()
            }
            None => error.into(),
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
    /// The result of the call is only compared: the script logs nothing.
    pub(super) is_muted: bool,
    /// The side effects that the script has requested.
    pub(super) effects: Effects,
}

/// The side effects that a script has requested beside its edits.
#[derive(Default)]
pub(in crate::policy) struct Effects {
    /// The model that `route` set.
    pub(super) route: Option<String>,
    /// Headers, tags and counter increments.
    pub(in crate::policy) wishes: Wishes,
    /// The fields that the script removed from its document.
    pub(super) removed: Vec<(String, Position)>,
    /// The first stop of the script. It holds whatever the script does afterwards.
    pub(super) stop: Option<Stopped>,
}

thread_local! {
    static RUN: RefCell<Option<Box<Run>>> = const { RefCell::new(None) };
}

impl Run {
    /// Runs `act` as this call. Also returns the requested side effects.
    pub(super) fn call<T>(self, act: impl FnOnce() -> T) -> (T, Effects) {
        let _restore = Restore(RUN.replace(Some(Box::new(self))));
        let result = act();
        let effects =
            RUN.with_borrow_mut(|run| run.as_mut().map(|run| std::mem::take(&mut run.effects)));
        (result, effects.unwrap_or_default())
    }

    /// Calls `act` with the current call of this thread; returns `None` outside of a call.
    pub(super) fn current<T>(act: impl FnOnce(&mut Self) -> T) -> Option<T> {
        RUN.with_borrow_mut(|run| run.as_deref_mut().map(act))
    }

    /// Returns whether the document is a request.
    pub(super) fn is_over_request(&self) -> bool {
        matches!(self.hook, Hook::Request | Hook::UpstreamRequest)
    }

    /// Ends the script, and records the stop: no later act of the script undoes it.
    pub(super) fn end(stop: Stop) -> Box<EvalAltResult> {
        Self::record(Stopped { stop: stop.clone(), at: Position::NONE, file: None });
        stop.into()
    }

    /// Ends the script at the call of a function, and records the stop with its place.
    pub(super) fn end_at(call: &NativeCallContext<'_>, stop: Stop) -> Box<EvalAltResult> {
        let file = call.call_source().map(ToOwned::to_owned);
        Self::record(Stopped { stop: stop.clone(), at: call.call_position(), file });
        stop.into()
    }

    fn record(stopped: Stopped) {
        Self::current(|run| {
            run.effects.stop.get_or_insert(stopped);
        });
    }

    /// Runs `work` outside of the script's time: the next calls need not do it again.
    pub(super) fn untimed<T>(work: impl FnOnce() -> T) -> T {
        let started = Instant::now();
        let done = work();
        Self::current(|run| run.deadline += started.elapsed());
        done
    }

    /// Runs at every operation of a script, and reads the clock at each 64th.
    pub(super) fn progress(operations: u64) -> Option<Dynamic> {
        if !operations.is_multiple_of(64) {
            return None;
        }
        Self::stopped().map(Dynamic::from)
    }

    /// Fails if the script was stopped, or if its time is over. Functions of Tidegate that may take long call
    /// it: `progress` does not run there.
    pub(super) fn check_time() -> Result<(), Box<EvalAltResult>> {
        Self::stopped().map_or(Ok(()), |stop| Err(stop.into()))
    }

    /// Returns the stop of the script. The end of its time is a stop, too.
    fn stopped() -> Option<Stop> {
        let recorded = |run: &mut Self| match &run.effects.stop {
            Some(stopped) => Some(stopped.stop.clone()),
            None => (run.deadline < Instant::now()).then_some(Stop::Time),
        };
        let stop = Self::current(recorded).flatten()?;
        Self::record(Stopped { stop: stop.clone(), at: Position::NONE, file: None });
        Some(stop)
    }
}

/// Restores the outer call, also when the inner one panics.
struct Restore(Option<Box<Run>>);

impl Drop for Restore {
    fn drop(&mut self) {
        RUN.set(self.0.take());
    }
}
