//! Tokens that were checked, by their digests, until they expire.
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use dashmap::DashMap;

use crate::auth::holder::Holder;
use crate::auth::keys::Digest;

/// The most tokens.
const MOST: usize = 10_000;

/// A token that was checked.
#[derive(Clone)]
pub(super) struct Checked {
    pub(super) holder: Arc<Holder>,
    /// The second from which it is refused.
    pub(super) end: u64,
    /// The position of its entry in the config.
    pub(super) entry: usize,
    /// The version of the issuer's keys by which it was checked.
    pub(super) version: u64,
}

/// The tokens.
#[derive(Default)]
pub(super) struct Cache {
    tokens: DashMap<Digest, Checked>,
    /// Kept beside the map, whose own count visits every part of it.
    count: AtomicUsize,
}

impl Cache {
    /// Returns a token that was checked.
    pub(super) fn get(&self, digest: &Digest) -> Option<Checked> {
        self.tokens.get(digest).map(|found| found.clone())
    }

    /// Removes a token.
    pub(super) fn remove(&self, digest: &Digest) {
        if self.tokens.remove(digest).is_some() {
            self.count.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Keeps a token. If there is no room, tokens that have expired at `now` go first, then any others.
    pub(super) fn keep(&self, digest: Digest, checked: Checked, now: u64) {
        if self.count.load(Ordering::Relaxed) >= MOST {
            self.tokens.retain(|_, token| token.end > now);
            let mut left = 0;
            self.tokens.retain(|_, _| {
                left += 1;
                left <= MOST / 2
            });
            self.count.store(self.tokens.len(), Ordering::Relaxed);
        }
        if self.tokens.insert(digest, checked).is_none() {
            self.count.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::settings::KeySettings;

    #[test]
    fn tokens_are_bounded_and_expired_ones_go_first() {
        let cache = Cache::default();
        let holder = Arc::new(KeySettings::default().holder());
        let digest = |n: usize| {
            let mut digest = Digest::default();
            digest[..8].copy_from_slice(&n.to_le_bytes());
            digest
        };
        for n in 0..MOST {
            let end = if n % 4 == 0 { 200 } else { 50 };
            let checked = Checked { holder: Arc::clone(&holder), end, entry: 0, version: 1 };
            cache.keep(digest(n), checked, 10);
        }
        assert_eq!(cache.tokens.len(), MOST);
        let checked = Checked { holder: Arc::clone(&holder), end: 200, entry: 0, version: 1 };
        cache.keep(digest(MOST), checked.clone(), 100);
        assert_eq!(cache.tokens.len(), MOST / 4 + 1);
        assert!(cache.get(&digest(0)).is_some() && cache.get(&digest(1)).is_none());
        for n in MOST..3 * MOST {
            cache.keep(digest(n), checked.clone(), 100);
            assert!(cache.tokens.len() <= MOST);
        }
        cache.remove(&digest(3 * MOST - 1));
        assert!(cache.get(&digest(3 * MOST - 1)).is_none());
        assert_eq!(cache.tokens.len(), cache.count.load(Ordering::Relaxed));
    }
}
