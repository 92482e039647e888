//! The facts of one recorded exchange: its request, and the edits of each stage and of the gateway.
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use bytes::Bytes;
use parking_lot::Mutex;

/// The most steps of one exchange.
pub(super) const STEPS: usize = 256;

/// One exchange in memory. It gives its bytes back when it leaves.
#[derive(Debug)]
pub(crate) struct Kept {
    /// The gateway's id of the request.
    pub(super) request_id: Box<str>,
    pub(super) inner: Mutex<Recorded>,
    /// The bytes of all exchanges.
    used: Arc<AtomicUsize>,
}

/// The facts of a recorded exchange. Copying them copies no body.
#[derive(Debug, Clone, Default)]
pub(crate) struct Recorded {
    /// The request of the client; `None` until it is read.
    pub(crate) request: Option<Sent>,
    /// The edits, in their order.
    pub(crate) steps: Vec<Step>,
    /// Whether there were more steps.
    pub(crate) is_cut: bool,
    /// The request up to now, before the turns.
    pub(super) current: Option<Bytes>,
    /// The request of the attempt under way.
    pub(super) sending: Option<Bytes>,
    pub(super) turn: u32,
    pub(super) target: Option<Arc<str>>,
    /// The bytes that this exchange holds.
    pub(super) size: usize,
}

/// A request as the client sent it.
#[derive(Debug, Clone)]
pub(crate) struct Sent {
    /// The method.
    pub(crate) method: Box<str>,
    /// The path, without the query.
    pub(crate) path: Box<str>,
    /// The headers; a secret is masked.
    pub(crate) headers: Vec<(Box<str>, Box<str>)>,
    /// The body; `None` if it is too large.
    pub(crate) body: Option<Bytes>,
}

/// The author of an edit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Actor {
    /// The stage's name; empty for the gateway.
    pub(crate) stage: Arc<str>,
    /// The kind.
    pub(crate) kind: ActorKind,
    /// The hook, or the place in the gateway.
    pub(crate) hook: &'static str,
}

/// The kind of an author.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ActorKind {
    /// A policy.
    Policy,
    /// A plugin.
    Plugin,
    /// The gateway itself.
    Gateway,
}

/// An edit.
#[derive(Debug, Clone)]
pub(crate) struct Step {
    /// The author.
    pub(crate) actor: Actor,
    /// The turn of the tool loop, from 1; 0 before the first attempt.
    pub(crate) turn: u32,
    /// The target of the attempt, for edits of one attempt.
    pub(crate) target: Option<Arc<str>>,
    /// The edit.
    pub(crate) edit: Edit,
}

/// The subject of an edit, before and after it.
#[derive(Debug, Clone)]
pub(crate) enum Edit {
    /// A whole JSON value.
    Whole {
        /// The earlier value.
        before: Bytes,
        /// The later one.
        after: Bytes,
    },
    /// Pieces of a stream.
    Pieces {
        /// The number of all edits.
        number: u64,
        /// The first ones, each bounded: before and after.
        first: Vec<[Box<str>; 2]>,
    },
    /// The values are too large for the memory that is left.
    TooLarge,
}

impl Kept {
    /// Begins with nothing; `used` is the sum that all exchanges share.
    pub(super) fn new(request_id: &str, used: &Arc<AtomicUsize>) -> Self {
        let used = Arc::clone(used);
        Self { request_id: request_id.into(), inner: Mutex::default(), used }
    }

    /// Returns the facts up to now.
    pub(crate) fn read(&self) -> Recorded {
        self.inner.lock().clone()
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.used.fetch_sub(self.inner.get_mut().size, Relaxed);
    }
}

impl Recorded {
    /// Adds a step, if there is a place for it.
    pub(super) fn push(&mut self, actor: Actor, edit: Edit) {
        if self.steps.len() >= STEPS {
            self.is_cut = true;
            return;
        }
        let target = self.target.clone().filter(|_| actor.is_of_attempt());
        self.steps.push(Step { actor, turn: self.turn, target, edit });
    }
}

impl Actor {
    /// Returns the gateway at this place.
    pub(super) fn gateway(place: &'static str) -> Self {
        Self { stage: "".into(), kind: ActorKind::Gateway, hook: place }
    }

    fn is_of_attempt(&self) -> bool {
        matches!(self.hook, "attempt" | "on_upstream_request")
    }
}
