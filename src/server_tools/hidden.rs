//! Calls of hidden tools and their results, until their caller comes back.
//!
//! What a caller sees as one message may be several turns, with calls of tools in them that a policy
//! added. The caller holds what it has seen only, so that its next request would lack the others, and
//! the model would not know any more what it has found.
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::{Mutex, MutexGuard};

/// A caller that takes longer with its tool goes on without.
const KEPT_FOR: Duration = Duration::from_secs(60 * 60);
const MAX_BYTES: usize = 16 * 1024 * 1024;
const MAX_ENTRIES: usize = 4096;

/// What a block that the caller holds is known again by.
#[derive(Debug, PartialEq, Eq, Default)]
pub struct Shape {
    /// Its `type`.
    pub kind: String,
    /// Of a call, as the caller sees it; else empty.
    pub id: String,
    /// A text without a character.
    pub is_empty: bool,
}

impl Shape {
    /// Clients leave such blocks out of what they send back.
    pub fn may_be_missing(&self) -> bool {
        self.is_empty || matches!(self.kind.as_str(), "thinking" | "redacted_thinking")
    }
}

/// A block of a message, in the order of the upstream's.
#[derive(Debug, PartialEq, Eq)]
pub enum Block {
    /// The caller holds it.
    Shown(Shape),
    /// A `tool_use` that it does not hold.
    Call(Bytes),
    /// The `tool_result` for one.
    Result(Bytes),
}

impl Block {
    fn size(&self) -> usize {
        let held = match self {
            Self::Shown(shape) => shape.kind.len() + shape.id.len(),
            Self::Call(text) | Self::Result(text) => text.len(),
        };
        held + size_of::<Self>()
    }
}

/// One message of the gateway's: what its caller holds of it, and what it does not.
#[derive(Debug, PartialEq, Eq, Default)]
pub struct Hidden {
    /// Turn after turn; the results of a turn stand at its end.
    blocks: Vec<Block>,
    /// Where the last turn begins.
    last: usize,
}

impl Hidden {
    /// Adds a turn behind the others.
    pub fn push(&mut self, turn: Vec<Block>) {
        self.last = self.blocks.len();
        self.blocks.extend(turn);
    }

    /// The blocks of all turns.
    pub fn blocks(&self) -> &[Block] {
        &self.blocks
    }

    /// Those of the last turn.
    pub fn last_turn(&self) -> &[Block] {
        &self.blocks[self.last..]
    }

    fn without_earlier_turns(mut self) -> Self {
        self.blocks.drain(..self.last);
        Self { blocks: self.blocks, last: 0 }
    }

    fn hides(&self) -> bool {
        self.blocks.iter().any(|block| !matches!(block, Block::Shown(_)))
    }

    fn size(&self) -> usize {
        self.blocks.iter().map(Block::size).sum()
    }
}

/// By the caller's key, and the id of a call in the last turn that the caller sees. Bounded: those
/// that nobody has asked for longest make room.
#[derive(Default)]
pub struct Carried(Mutex<Book>);

#[derive(Default)]
struct Book {
    /// By caller, then by call.
    entries: HashMap<String, HashMap<String, Entry>>,
    count: usize,
    bytes: usize,
    /// Caller and call of every entry, and when it stood last in use as far as is known here: the
    /// oldest first.
    order: VecDeque<(String, String, Instant)>,
}

struct Entry {
    hidden: Arc<Hidden>,
    used: Instant,
}

impl Carried {
    /// Keeps the message that shows the call `id` in its last turn. Where it is too large, only that
    /// turn is kept; what is still too large is lost.
    pub fn keep(&self, caller: &str, id: &str, hidden: Hidden) {
        let hidden = match hidden.size() > MAX_BYTES / 8 {
            true => hidden.without_earlier_turns(),
            false => hidden,
        };
        let size = hidden.size();
        let mut book = self.book();
        // not every upstream makes ids that no other conversation has
        book.forget(caller, id);
        if size > MAX_BYTES / 8 || !hidden.hides() {
            return;
        }
        let now = Instant::now();
        let entry = Entry { hidden: Arc::new(hidden), used: now };
        book.entries.entry(caller.to_owned()).or_default().insert(id.to_owned(), entry);
        book.order.push_back((caller.to_owned(), id.to_owned(), now));
        book.count += 1;
        book.bytes += size;
        book.sweep(now);
    }

    /// The message that shows a call.
    pub fn find(&self, caller: &str, id: &str) -> Option<Arc<Hidden>> {
        let mut book = self.book();
        let entry = book.entries.get_mut(caller)?.get_mut(id)?;
        // the caller repeats its whole history with each request
        entry.used = Instant::now();
        Some(Arc::clone(&entry.hidden))
    }

    /// Something is kept for a caller, and its history has to be searched.
    pub fn has(&self, caller: &str, now: Instant) -> bool {
        let mut book = self.book();
        if book.count > 0 {
            book.sweep(now);
        }
        book.entries.contains_key(caller)
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.0.lock()
    }
}

impl Book {
    /// Drops what is too old, and what there is no room for.
    fn sweep(&mut self, now: Instant) {
        while let Some((caller, id, known)) = self.order.pop_front() {
            let used = self.entries.get(&caller).and_then(|calls| calls.get(&id)).map(|e| e.used);
            let is_stale = |since| now.saturating_duration_since(since) > KEPT_FOR;
            match used {
                // it has been in use since: its place is further behind
                Some(used) if used > known => self.order.push_back((caller, id, used)),
                Some(used) if is_stale(used) || self.is_full() => self.forget(&caller, &id),
                Some(_) => {
                    self.order.push_front((caller, id, known));
                    return;
                }
                None => {}
            }
        }
    }

    fn is_full(&self) -> bool {
        self.bytes > MAX_BYTES || self.count > MAX_ENTRIES
    }

    /// Its place in the order is passed over later.
    fn forget(&mut self, caller: &str, id: &str) {
        let Some(calls) = self.entries.get_mut(caller) else { return };
        if let Some(entry) = calls.remove(id) {
            self.bytes -= entry.hidden.size();
            self.count -= 1;
        }
        if calls.is_empty() {
            self.entries.remove(caller);
        }
    }
}

#[cfg(test)]
mod tests;
