//! `Roster`: keys by their digests.
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use subtle::ConstantTimeEq;

use crate::auth::holder::Holder;
use crate::auth::keys::Digest;
use crate::auth::owners::{Owned, Owner};

/// Keys and their holders; never changes.
#[derive(Default)]
pub(super) struct Roster {
    entries: Vec<(Digest, Holder)>,
    /// Positions in `entries` by a hash of the digest. The hash uses a secret of this process, so that the
    /// time of a lookup reveals nothing about the digests.
    slots: HashMap<u64, Vec<usize>>,
    hasher: RandomState,
}

impl Roster {
    pub(super) fn new(entries: Vec<(Digest, Holder)>) -> Self {
        let hasher = RandomState::new();
        let mut slots: HashMap<u64, Vec<usize>> = HashMap::new();
        for (n, (digest, _)) in entries.iter().enumerate() {
            slots.entry(hasher.hash_one(digest)).or_default().push(n);
        }
        Self { entries, slots, hasher }
    }

    /// Returns the holder of a key.
    pub(super) fn find(&self, digest: Digest) -> Option<&Holder> {
        let slot = self.slots.get(&self.hasher.hash_one(digest))?;
        let mut entries = slot.iter().map(|n| &self.entries[*n]);
        entries.find(|(own, _)| own.ct_eq(&digest).into()).map(|(_, holder)| holder)
    }

    /// Returns whether a key has this name.
    pub(super) fn has_name(&self, name: &str) -> bool {
        self.entries.iter().any(|(_, holder)| holder.caller.key == name)
    }

    /// Returns the keys that have limits and budgets of their own.
    pub(super) fn owned(&self) -> Vec<Owned> {
        let owned = self.entries.iter().filter_map(|(_, holder)| {
            let allowance = Arc::clone(holder.caller.allowance.as_ref()?);
            Some(Owned { allowance, owner: Owner::Key(holder.caller.key.clone()) })
        });
        owned.collect()
    }

    /// Returns the holder of the key with this name.
    pub(super) fn named(&self, name: &str) -> Option<&Holder> {
        let mut holders = self.entries.iter().map(|(_, holder)| holder);
        holders.find(|holder| holder.caller.key == name)
    }

    /// Returns the number of keys.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }
}
