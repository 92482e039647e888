//! Calls of hidden tools that the model has not heard the result of, until their caller comes back.
//!
//! A turn may call a tool that a policy added and one of the caller's own. The caller gets to see
//! its own call only, so that its next request would lack the other one and its result.
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
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

/// By the caller's key, and the id of the call of its own that stood in the same turn. Bounded: the
/// oldest make room.
#[derive(Default)]
pub struct Carried(Mutex<Book>);

type Key = (String, String);

#[derive(Default)]
struct Book {
    entries: HashMap<Key, Entry>,
    /// The oldest first.
    order: VecDeque<Key>,
    bytes: usize,
}

struct Entry {
    hidden: Arc<Hidden>,
    since: Instant,
}

impl Carried {
    /// Keeps what stood beside the call `id` of the caller's own. What is too large to keep is lost.
    pub fn keep(&self, caller: &str, id: &str, hidden: Hidden) {
        let size = hidden.size();
        if size > MAX_BYTES / 8 {
            return;
        }
        let key = (caller.to_owned(), id.to_owned());
        let entry = Entry { hidden: Arc::new(hidden), since: Instant::now() };
        let mut book = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(old) = book.entries.insert(key.clone(), entry) {
            book.bytes -= old.hidden.size();
            book.order.retain(|other| *other != key);
        }
        book.order.push_back(key);
        book.bytes += size;
        book.make_room();
    }

    /// What stood beside a call.
    pub fn find(&self, caller: &str, id: &str) -> Option<Arc<Hidden>> {
        let mut book = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = book.entries.get_mut(&(caller.to_owned(), id.to_owned()))?;
        // the caller repeats its whole history with each request
        entry.since = Instant::now();
        Some(Arc::clone(&entry.hidden))
    }

    /// Nothing is kept: no history need be searched.
    pub fn is_empty(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).entries.is_empty()
    }
}

impl Book {
    fn make_room(&mut self) {
        while let Some(key) = self.order.pop_front() {
            let is_full = self.bytes > MAX_BYTES || self.entries.len() > MAX_ENTRIES;
            let is_stale =
                self.entries.get(&key).is_none_or(|entry| entry.since.elapsed() > KEPT_FOR);
            if !is_full && !is_stale {
                self.order.push_front(key);
                return;
            }
            if let Some(entry) = self.entries.remove(&key) {
                self.bytes -= entry.hidden.size();
            }
        }
    }
}
