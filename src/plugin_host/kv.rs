//! `Kv`: a plugin's own in-process store, bounded by bytes.
use std::collections::HashMap;
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};

/// The store of one plugin file. It lives as long as the process.
#[derive(Default)]
pub(super) struct Kv(Mutex<Entries>);

#[derive(Default)]
struct Entries {
    by_key: HashMap<String, Entry>,
    /// The size of all keys and values.
    bytes: u64,
}

struct Entry {
    value: Vec<u8>,
    /// The time of expiry; `None` means the end of the process.
    expires: Option<Instant>,
}

/// An entry that a plugin wants to keep.
pub(super) struct Put {
    pub(super) key: String,
    pub(super) value: Vec<u8>,
    /// The lifetime; `None` means until the process ends.
    pub(super) ttl: Option<Duration>,
}

/// The error of an entry that does not fit: its size and the free bytes.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Full {
    pub(super) needed: u64,
    pub(super) left: u64,
}

impl Kv {
    pub(super) fn get(&self, key: &str, now: Instant) -> Option<Vec<u8>> {
        let entries = self.entries();
        entries.by_key.get(key).filter(|entry| !entry.is_over(now)).map(|entry| entry.value.clone())
    }

    /// Stores a value and replaces the previous one. All entries together take at most `limit`
    /// bytes.
    pub(super) fn set(
        &self,
        Put { key, value, ttl }: Put,
        limit: u64,
        now: Instant,
    ) -> Result<(), Full> {
        let mut entries = self.entries();
        let needed = size(&key, &value);
        let replaced = entries.by_key.get(&key).map_or(0, |old| size(&key, &old.value));
        if entries.bytes - replaced + needed > limit {
            entries.sweep(now);
        }
        let replaced = entries.by_key.get(&key).map_or(0, |old| size(&key, &old.value));
        let left = limit.saturating_sub(entries.bytes - replaced);
        if needed > left {
            return Err(Full { needed, left });
        }
        entries.bytes = entries.bytes - replaced + needed;
        let expires = ttl.and_then(|ttl| now.checked_add(ttl));
        entries.by_key.insert(key, Entry { value, expires });
        Ok(())
    }

    /// Removes an entry. Returns `false` if there was none.
    pub(super) fn remove(&self, key: &str, now: Instant) -> bool {
        let mut entries = self.entries();
        let Some(entry) = entries.by_key.remove(key) else { return false };
        entries.bytes -= size(key, &entry.value);
        !entry.is_over(now)
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.0.lock()
    }
}

impl Entries {
    /// Drops expired entries.
    fn sweep(&mut self, now: Instant) {
        let mut bytes = 0;
        self.by_key.retain(|key, entry| {
            let stays = !entry.is_over(now);
            if stays {
                bytes += size(key, &entry.value);
            }
            stays
        });
        self.bytes = bytes;
    }
}

impl Entry {
    fn is_over(&self, now: Instant) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }
}

fn size(key: &str, value: &[u8]) -> u64 {
    (key.len() + value.len()) as u64
}
