//! `Seen`: the steps of a case's stage, as the passage reports them.
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;

use crate::policy::Hook;
use crate::policy::cases::ran::{End, Refusal};
use crate::policy::watch::{Decided, End as StepEnd, Ran, Watch};

/// The steps of a case so far.
#[derive(Default)]
pub(super) struct Seen(Mutex<Vec<SeenStep>>);

/// A step of the case's stage.
enum SeenStep {
    Ran(Hook, SeenRun),
    Broke(String),
}

/// A run of a hook.
struct SeenRun {
    left: Bytes,
    decision: Decision,
    route: Option<String>,
}

/// The decision of a run.
#[derive(Clone)]
enum Decision {
    GoOn,
    Answer(Bytes),
    Deny(Refusal),
}

impl Seen {
    /// Returns the watch that records the steps.
    pub(super) fn watch(self: &Arc<Self>) -> Watch {
        let seen = Arc::clone(self);
        Watch::new(move |step| {
            let shown = match &step.end {
                StepEnd::Done(ran) => SeenStep::Ran(step.hook, SeenRun::of(ran)),
                StepEnd::Broke(_, error) => SeenStep::Broke(error.message.clone()),
                StepEnd::NoHook | StepEnd::NotFor => return,
            };
            seen.0.lock().push(shown);
        })
    }

    /// Returns the message of the first failure at any hook.
    pub(super) fn failure(&self) -> Option<String> {
        self.0.lock().iter().find_map(|shown| match shown {
            SeenStep::Broke(message) => Some(message.clone()),
            SeenStep::Ran(..) => None,
        })
    }

    /// Returns the subject as a hook left it; `None` if the hook did not run to its end.
    pub(super) fn left(&self, hook: Hook) -> Option<Bytes> {
        self.read(hook, |kept| kept.left.clone())
    }

    /// Returns the model that a hook routes to.
    pub(super) fn route(&self, hook: Hook) -> Option<String> {
        self.read(hook, |kept| kept.route.clone()).flatten()
    }

    /// Returns the end that a hook chose.
    pub(super) fn end(&self, hook: Hook) -> End {
        match self.read(hook, |kept| kept.decision.clone()) {
            None | Some(Decision::GoOn) => End::GoesOn,
            Some(Decision::Deny(refusal)) => End::Denied(refusal),
            Some(Decision::Answer(content)) => {
                End::Answered(serde_json::from_slice(&content).unwrap_or_default())
            }
        }
    }

    fn read<T>(&self, hook: Hook, read: impl FnOnce(&SeenRun) -> T) -> Option<T> {
        let shown = self.0.lock();
        let mut of_hook = shown.iter().filter_map(|shown| match shown {
            SeenStep::Ran(of, kept) if *of == hook => Some(kept),
            _ => None,
        });
        of_hook.next_back().map(read)
    }
}

impl SeenRun {
    fn of(ran: &Ran<'_>) -> Self {
        let decision = match &ran.decision {
            Decided::GoOn => Decision::GoOn,
            Decided::Answer(content) => Decision::Answer(content.clone()),
            Decided::Deny(error) => Decision::Deny(Refusal::of(error)),
        };
        Self { left: ran.left.clone(), decision, route: ran.route.map(ToOwned::to_owned) }
    }
}
