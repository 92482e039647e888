//! Calls of hidden tools that the model has not heard the result of, until their caller comes back.
//!
//! A turn may call a tool that a policy added and one of the caller's own. The caller gets to see
//! its own call only, so that its next request would lack the other one and its result.
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;

/// A caller that takes longer with its tool goes on without.
const KEPT_FOR: Duration = Duration::from_secs(60 * 60);
const MAX_BYTES: usize = 16 * 1024 * 1024;
const MAX_ENTRIES: usize = 4096;

/// What belongs into a conversation and its caller does not hold.
#[derive(Debug, PartialEq, Eq)]
pub struct Hidden {
    /// `tool_use` blocks.
    pub calls: Vec<Bytes>,
    /// Their `tool_result` blocks.
    pub results: Vec<Bytes>,
}

impl Hidden {
    fn size(&self) -> usize {
        self.calls.iter().chain(&self.results).map(Bytes::len).sum()
    }
}

/// By the caller's key, and the id of the call of its own that stood in the same turn. Bounded: those
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
    /// Keeps what stood beside the call `id` of the caller's own. What is too large to keep is lost.
    pub fn keep(&self, caller: &str, id: &str, hidden: Hidden) {
        let size = hidden.size();
        if size > MAX_BYTES / 8 {
            return;
        }
        let now = Instant::now();
        let mut book = self.book();
        book.forget(caller, id);
        let entry = Entry { hidden: Arc::new(hidden), used: now };
        book.entries.entry(caller.to_owned()).or_default().insert(id.to_owned(), entry);
        book.order.push_back((caller.to_owned(), id.to_owned(), now));
        book.count += 1;
        book.bytes += size;
        book.sweep(now);
    }

    /// What stood beside a call.
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
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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
