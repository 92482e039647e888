//! `Prompts`: the last prompts of each session as hashes, to find where the next one breaks with them and why.
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::telemetry::continuity::{Break, By, Cached, Verdict};
use crate::wire::prompt::{Place, Prompt};

/// The life of a cache after its last use.
const MINUTES: Duration = Duration::from_secs(5 * 60);
const HOUR: Duration = Duration::from_secs(60 * 60);
/// The most conversations of a session: clients run several side by side.
const CONVERSATIONS: usize = 8;
/// The most memory of all sessions. Those that were unused for the longest time are forgotten.
const MAX_BYTES: usize = 8 << 20;
/// The memory of a session beside its prompts, roughly.
const ELEMENT: usize = 256;

/// The sessions. It holds hashes only, no text.
#[derive(Default)]
pub struct Prompts(Mutex<Sessions>);

impl std::fmt::Debug for Prompts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Prompts").field("bytes", &self.0.lock().bytes).finish()
    }
}

#[derive(Default)]
struct Sessions {
    known: HashMap<u64, Session>,
    /// Every session with its last known time of use, the oldest first.
    order: VecDeque<(u64, Instant)>,
    bytes: usize,
}

struct Session {
    conversations: Vec<Known>,
    used: Instant,
}

/// A prompt that an upstream answered.
struct Known {
    sent: Sent,
    /// The time of the answer.
    used: Instant,
    cached: Cached,
}

/// A prompt at one point of its way.
#[derive(Debug, Clone)]
pub(super) struct Level {
    /// The hash of the model's name.
    pub(super) model: u64,
    pub(super) prompt: Arc<Prompt>,
}

/// A prompt after a stage that edited it.
#[derive(Debug, Clone)]
pub(super) struct Edit {
    pub(super) stage: Arc<str>,
    pub(super) level: Level,
}

/// A prompt on its whole way, from the client to the upstream.
#[derive(Debug, Clone)]
pub(super) struct Sent {
    pub(super) client: Level,
    pub(super) edits: Vec<Edit>,
    pub(super) prompt: Arc<Prompt>,
    /// The hash of `<provider>/<model>`.
    pub(super) target: u64,
    /// The hash of the alias that a budget sent the request to.
    pub(super) rerouted: Option<u64>,
}

/// The result of a comparison, and the tokens of the previous prompt in the cache.
pub(super) struct Compared {
    pub(super) verdict: Verdict,
    pub(super) before: Option<Cached>,
}

impl Prompts {
    /// Compares a prompt that an upstream answered with those of its session, and keeps it as the next one's previous
    /// one. `cached` receives its tokens later.
    pub(super) fn answered(
        &self,
        session: u64,
        sent: Sent,
        cached: &Cached,
        now: Instant,
    ) -> Compared {
        let mut sessions = self.0.lock();
        let sessions = &mut *sessions;
        let session_of = sessions.known.entry(session).or_insert_with(|| {
            sessions.order.push_back((session, now));
            sessions.bytes += ELEMENT;
            Session { conversations: Vec::new(), used: now }
        });
        session_of.used = now;
        let conversations = &mut session_of.conversations;
        let found = previous(conversations, &sent);
        let compared = match found.map(|at| &conversations[at]) {
            None => Compared { verdict: Verdict::First, before: None },
            Some(known) => Compared {
                verdict: sent.after(&known.sent, now.saturating_duration_since(known.used)),
                before: Some(Arc::clone(&known.cached)),
            },
        };
        // another first message is another conversation, which may go on beside this one
        let replaced = found.filter(|at| conversations[*at].sent.has_begin_of(&sent));
        let replaced = replaced.or((conversations.len() >= CONVERSATIONS).then_some(0));
        let freed = replaced.map_or(0, |at| conversations.remove(at).sent.size());
        sessions.bytes = (sessions.bytes + sent.size()).saturating_sub(freed);
        conversations.push(Known { sent, used: now, cached: Arc::clone(cached) });
        sessions.sweep();
        compared
    }
}

impl Sessions {
    /// Forgets the sessions that were unused for the longest time, as long as there is too much.
    fn sweep(&mut self) {
        while self.bytes > MAX_BYTES {
            let Some((session, noted)) = self.order.pop_front() else { return };
            match self.known.get(&session) {
                Some(known) if known.used > noted => self.order.push_back((session, known.used)),
                _ => {
                    let known = self.known.remove(&session);
                    let prompts = known.into_iter().flat_map(|known| known.conversations);
                    let freed: usize = prompts.map(|known| known.sent.size()).sum();
                    self.bytes = self.bytes.saturating_sub(freed + ELEMENT);
                }
            }
        }
    }
}

/// Returns the conversation that a prompt belongs to: the one with the longest common start in the client's own form.
fn previous(conversations: &[Known], sent: &Sent) -> Option<usize> {
    let own = &sent.client.prompt;
    let candidates = conversations.iter().enumerate();
    let candidates = candidates.filter(|(_, known)| own.is_akin(&known.sent.client.prompt));
    let rank = |known: &Known| {
        (own.common(&known.sent.client.prompt), known.sent.target == sent.target, known.used)
    };
    candidates.max_by_key(|(_, known)| rank(known)).map(|(at, _)| at)
}

impl Sent {
    fn has_begin_of(&self, other: &Self) -> bool {
        self.client.prompt.agrees(&other.client.prompt, Place::Message(0))
    }

    fn size(&self) -> usize {
        let edits = self.edits.iter().map(|edit| (&edit.level.prompt, size_of::<Edit>()));
        let mut size = size_of::<Known>() + self.client.prompt.size();
        let mut before = &self.client.prompt;
        for (prompt, more) in edits.chain([(&self.prompt, 0)]) {
            let own = if Arc::ptr_eq(before, prompt) { 0 } else { prompt.size() };
            size += own + more;
            before = prompt;
        }
        size
    }

    /// Compares this prompt with the previous one, which was used `idle` ago.
    fn after(&self, known: &Self, idle: Duration) -> Verdict {
        let (own, before) = (&self.prompt, &known.prompt);
        let reach = own.cached().min(before.cached());
        let changed = Some(own.common(before)).filter(|at| *at < reach);
        let left = match idle {
            idle if idle >= HOUR => 0,
            idle if idle >= MINUTES => before.hours(),
            _ => reach,
        };
        let late = Some(left).filter(|at| *at < reach);
        let is_elsewhere = self.target != known.target;
        match (late, changed) {
            // there was nothing left that another change could break
            (Some(late), _)
                if late == 0 || !is_elsewhere && changed.is_none_or(|at| late <= at) =>
            {
                Verdict::Broken(Break { at: own.place_of(late), by: By::Timeout })
            }
            _ if is_elsewhere => Verdict::Broken(Break { at: Place::Model, by: self.mover(known) }),
            (_, Some(changed)) => {
                let at = own.place_of(changed).min(before.place_of(changed));
                Verdict::Broken(Break { at, by: self.editor(known, at) })
            }
            (_, None) => Verdict::Continues,
        }
    }

    /// Returns the cause of another target.
    fn mover(&self, known: &Self) -> By {
        let is_other = |own: &Level, other: &Level| own.model != other.model;
        match self.first_difference(known, is_other) {
            Some(by) => by,
            None if self.rerouted != known.rerouted => By::Budget,
            None => By::Failover,
        }
    }

    /// Returns the cause of another prompt at a place.
    fn editor(&self, known: &Self, at: Place) -> By {
        let is_other = |own: &Level, other: &Level| {
            let (own, other) = (&own.prompt, &other.prompt);
            let part = own.difference(other);
            part.is_some_and(|part| own.place_of(part).min(other.place_of(part)) <= at)
        };
        self.first_difference(known, is_other).unwrap_or(By::Gateway)
    }

    /// Returns the first point of the way at which two prompts differ: the client, or a stage.
    fn first_difference(
        &self,
        known: &Self,
        is_other: impl Fn(&Level, &Level) -> bool,
    ) -> Option<By> {
        if is_other(&self.client, &known.client) {
            return Some(By::Client);
        }
        let mut points = self.points(known).into_iter();
        let first = points.find(|point| is_other(point.own, point.other));
        first.map(|point| By::Stage(Arc::clone(point.stage)))
    }

    /// Returns the stages that edited one of two prompts, in order, with both prompts after each of them.
    fn points<'a>(&'a self, known: &'a Self) -> Vec<Point<'a>> {
        let (mut own, mut other) = (&self.client, &known.client);
        let mut left = known.edits.as_slice();
        let mut points = Vec::with_capacity(self.edits.len() + left.len());
        for edit in &self.edits {
            if let Some(at) = left.iter().position(|one| one.stage == edit.stage) {
                // the stages before it edited the other prompt only
                points.extend(left[..at].iter().map(|one| Point::of_other(one, own)));
                other = &left[at].level;
                left = &left[at + 1..];
            }
            own = &edit.level;
            points.push(Point { stage: &edit.stage, own, other });
        }
        points.extend(left.iter().map(|one| Point::of_other(one, own)));
        points
    }
}

/// Two prompts after a stage.
struct Point<'a> {
    stage: &'a Arc<str>,
    own: &'a Level,
    other: &'a Level,
}

impl<'a> Point<'a> {
    fn of_other(edit: &'a Edit, own: &'a Level) -> Self {
        Self { stage: &edit.stage, own, other: &edit.level }
    }
}

#[cfg(test)]
mod tests;
