//! Keeps calls of hidden tools and their results until their caller continues the conversation.
//!
//! One message to the caller may hold several turns, with calls of tools that a policy added. The
//! caller's next request lacks those calls, so the model would lose their results.
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::{Mutex, MutexGuard};
use prometheus_client::metrics::counter::Counter;

/// The time for which hidden calls are kept. A caller that answers later continues without them.
const KEPT_FOR: Duration = Duration::from_secs(60 * 60);
const MAX_BYTES: usize = 16 * 1024 * 1024;
const MAX_ENTRIES: usize = 4096;

/// The features by which a block of the caller is recognized.
#[derive(Debug, PartialEq, Eq, Default)]
pub struct Shape {
    /// The block's `type`.
    pub kind: String,
    /// The id of a call in the caller's form; empty for other blocks.
    pub id: String,
    /// Whether the block is an empty text.
    pub is_empty: bool,
}

impl Shape {
    /// Returns whether clients may leave the block out of their next request.
    pub fn may_be_missing(&self) -> bool {
        self.is_empty || matches!(self.kind.as_str(), "thinking" | "redacted_thinking")
    }
}

/// A block of a message, in the upstream's order.
#[derive(Debug, PartialEq, Eq)]
pub enum HiddenBlock {
    /// A block that the caller holds.
    Shown(Shape),
    /// A `tool_use` that the caller does not hold.
    Call(Bytes),
    /// The `tool_result` of such a call.
    Result(Bytes),
}

impl HiddenBlock {
    fn size(&self) -> usize {
        let held = match self {
            Self::Shown(shape) => shape.kind.len() + shape.id.len(),
            Self::Call(text) | Self::Result(text) => text.len(),
        };
        held + size_of::<Self>()
    }
}

/// One message of the gateway: the blocks that its caller holds, and the hidden ones.
#[derive(Debug, PartialEq, Eq, Default)]
pub struct Hidden {
    /// The blocks of all turns in order. The results of a turn stand at its end.
    blocks: Vec<HiddenBlock>,
    /// The index at which the last turn begins.
    last: usize,
}

impl Hidden {
    /// Appends a turn.
    pub fn push(&mut self, turn: Vec<HiddenBlock>) {
        self.last = self.blocks.len();
        self.blocks.extend(turn);
    }

    /// Returns the blocks of all turns.
    pub fn blocks(&self) -> &[HiddenBlock] {
        &self.blocks
    }

    /// Returns the blocks of the last turn.
    pub fn last_turn(&self) -> &[HiddenBlock] {
        &self.blocks[self.last..]
    }

    fn without_earlier_turns(mut self) -> Self {
        self.blocks.drain(..self.last);
        Self { blocks: self.blocks, last: 0 }
    }

    fn hides(&self) -> bool {
        self.blocks.iter().any(|block| !matches!(block, HiddenBlock::Shown(_)))
    }

    fn size(&self) -> usize {
        self.blocks.iter().map(HiddenBlock::size).sum()
    }
}

/// Hidden messages by the caller's key and the id of a call that the caller sees in the last turn.
/// The size is bounded: entries that were unused for the longest time are dropped.
#[derive(Default)]
pub struct Carried(Mutex<Book>);

#[derive(Default)]
struct Book {
    /// The entries by caller, then by call.
    entries: HashMap<String, HashMap<String, Entry>>,
    count: usize,
    bytes: usize,
    /// The caller and call of every entry, with its last known time of use, the oldest first.
    order: VecDeque<(String, String, Instant)>,
    /// Counts entries that are dropped before their time.
    dropped: Counter,
}

struct Entry {
    hidden: Arc<Hidden>,
    used: Instant,
}

impl Carried {
    /// Keeps nothing yet. `dropped` counts the messages that are dropped before their time.
    pub(crate) fn new(dropped: Counter) -> Self {
        Self(Mutex::new(Book { dropped, ..Book::default() }))
    }

    /// Keeps the message with the visible call `id` in its last turn. If the message is too large,
    /// only its last turn is kept. If that is still too large, it is dropped.
    pub fn keep(&self, caller: &str, id: &str, hidden: Hidden) {
        let hidden = match hidden.size() > MAX_BYTES / 8 {
            true => hidden.without_earlier_turns(),
            false => hidden,
        };
        let size = hidden.size();
        let mut book = self.book();
        // some upstreams repeat ids in other conversations
        book.forget(caller, id);
        if !hidden.hides() {
            return;
        }
        if size > MAX_BYTES / 8 {
            book.dropped.inc();
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

    /// Returns the message with this visible call.
    pub fn find(&self, caller: &str, id: &str) -> Option<Arc<Hidden>> {
        let mut book = self.book();
        let entry = book.entries.get_mut(caller)?.get_mut(id)?;
        // the caller repeats its whole history with each request
        entry.used = Instant::now();
        Some(Arc::clone(&entry.hidden))
    }

    /// Returns whether something is kept for a caller, so that its history has to be searched.
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
    /// Drops entries that are too old, and the oldest ones if the size is exceeded.
    fn sweep(&mut self, now: Instant) {
        while let Some((caller, id, known)) = self.order.pop_front() {
            let used = self.entries.get(&caller).and_then(|calls| calls.get(&id)).map(|e| e.used);
            let is_stale = |since| now.saturating_duration_since(since) > KEPT_FOR;
            match used {
                // it was used since then: it moves to the end
                Some(used) if used > known => self.order.push_back((caller, id, used)),
                Some(used) if is_stale(used) => self.forget(&caller, &id),
                Some(_) if self.is_full() => {
                    self.dropped.inc();
                    self.forget(&caller, &id);
                }
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

    /// Removes an entry. Its place in `order` is skipped later.
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
