//! `Recordings`: the last recorded exchanges of the process, bounded in number and memory.
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

use parking_lot::Mutex;

use crate::telemetry::recorded::Kept;

/// The exchanges that are kept if the config says nothing else.
const REQUESTS: usize = 50;
/// The bytes that they may hold if the config says nothing else.
const BYTES: usize = 32 * 1024 * 1024;

/// The recorded exchanges. While it is off, only the playground records.
#[derive(Debug)]
pub(crate) struct Recordings {
    is_on: AtomicBool,
    requests: AtomicUsize,
    bytes: AtomicUsize,
    /// The bytes of all recordings, those of running exchanges included.
    used: Arc<AtomicUsize>,
    ended: Mutex<VecDeque<Arc<Kept>>>,
}

impl Default for Recordings {
    fn default() -> Self {
        Self {
            is_on: AtomicBool::new(false),
            requests: REQUESTS.into(),
            bytes: BYTES.into(),
            used: Arc::default(),
            ended: Mutex::default(),
        }
    }
}

impl Recordings {
    /// Begins to record every exchange, within these bounds.
    pub(crate) fn switch_on(&self, requests: usize, bytes: usize) {
        self.requests.store(requests, Relaxed);
        self.bytes.store(bytes, Relaxed);
        self.is_on.store(true, Relaxed);
    }

    /// Returns whether every exchange is recorded.
    pub(crate) fn is_on(&self) -> bool {
        self.is_on.load(Relaxed)
    }

    /// Returns an exchange that holds nothing yet.
    pub(super) fn new_one(&self, request_id: &str) -> Kept {
        Kept::new(request_id, &self.used)
    }

    /// Keeps the recording of an exchange that has ended. The oldest ones leave.
    pub(super) fn keep(&self, exchange: Arc<Kept>) {
        let mut ended = self.ended.lock();
        ended.push_back(exchange);
        let more = ended.len().saturating_sub(self.requests.load(Relaxed));
        let old: Vec<_> = ended.drain(..more).collect();
        drop(ended);
        // bodies are freed outside of the lock
        drop(old);
    }

    /// Returns the recording of a request.
    pub(crate) fn of(&self, request_id: &str) -> Option<Arc<Kept>> {
        let ended = self.ended.lock();
        ended.iter().rev().find(|kept| *kept.request_id == *request_id).cloned()
    }

    /// Returns the bytes that all recordings may hold together.
    pub(super) fn bytes(&self) -> usize {
        self.bytes.load(Relaxed)
    }

    /// Takes memory. The oldest exchanges that have ended leave until there is enough of it.
    pub(super) fn take(&self, size: usize) -> bool {
        let most = self.bytes();
        if self.used.fetch_add(size, Relaxed).saturating_add(size) <= most {
            return true;
        }
        while self.used.load(Relaxed) > most {
            let Some(oldest) = self.ended.lock().pop_front() else {
                self.used.fetch_sub(size, Relaxed);
                return false;
            };
            drop(oldest);
        }
        true
    }

    /// Returns the bytes that all recordings hold.
    #[cfg(test)]
    pub(super) fn used(&self) -> usize {
        self.used.load(Relaxed)
    }
}
