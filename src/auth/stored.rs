//! The keys of the key store in memory, for the request path: a look-up takes no lock and waits for nothing.
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::auth::holder::Holder;
use crate::auth::keys::Digest;
use crate::auth::life::{Life, State};
use crate::auth::owners::Owned;
use crate::auth::roster::Roster;
use crate::auth::settings::KeySettings;
use crate::telemetry::keys::KeyState;

/// `key_store:`, the keys that the admin API makes. A text is short for its `place`.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct KeyStoreConfig {
    /// `ledger` (the database of the ledger), or `off`.
    pub place: KeyPlace,
    /// The time for which known keys count while the database is away.
    #[serde(with = "crate::wire::duration")]
    #[schemars(with = "String")]
    pub stale_for: Duration,
    /// The requests under way of a key that is revoked, disabled or expired: `finish` (they go on to their end), or `cut`
    /// (within a second they end with an error).
    pub revoke: Revoke,
}

/// The requests under way of a key that does not count any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Revoke {
    /// They go on to their end.
    #[default]
    Finish,
    /// They end with an error.
    Cut,
}

/// A place for keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum KeyPlace {
    /// There is no key store.
    #[default]
    Off,
    /// The database of the ledger.
    Ledger,
}

impl Default for KeyStoreConfig {
    fn default() -> Self {
        Self {
            place: KeyPlace::Off,
            stale_for: Duration::from_secs(15 * 60),
            revoke: Revoke::Finish,
        }
    }
}

impl KeyStoreConfig {
    /// Returns whether there is a key store.
    pub(crate) fn is_on(&self) -> bool {
        self.place == KeyPlace::Ledger
    }
}

/// The keys as the store had them at its last answer.
pub(crate) struct StoredKeys {
    roster: ArcSwap<Roster>,
    lives: Mutex<HashMap<Digest, (String, Arc<Life>)>>,
    revoke: Revoke,
    /// The store's generation, with which each change of a key counts up.
    generation: AtomicU64,
    begun: Instant,
    /// The milliseconds from `begun` to the store's last answer.
    answered: AtomicU64,
    stale_for: Duration,
}

/// A key of the store.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Loaded<'a> {
    /// Its digest.
    pub(crate) digest: Digest,
    /// Its id.
    pub(crate) id: &'a str,
    /// Its settings.
    pub(crate) settings: &'a KeySettings,
}

/// The last use of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Use {
    /// The id of the key.
    pub(crate) id: String,
    /// The second since 1970.
    pub(crate) second: i64,
}

/// The result of a look-up.
pub(super) enum Found {
    /// The store has the key.
    Known(Holder),
    /// The store has no such key.
    Unknown,
    /// The store has not answered for too long.
    Stale,
}

/// The state of the keys in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Freshness {
    /// The store answers.
    Current,
    /// The store has not answered for this time; known keys count.
    Stale(Duration),
    /// The store has not answered for longer than `stale_for`: no key counts.
    Refusing(Duration),
}

/// The age from which the keys are reported as stale: three answers are missing.
const STALE: Duration = Duration::from_millis(1500);

impl Freshness {
    /// Returns the state for the metrics.
    pub(crate) fn state(self) -> KeyState {
        match self {
            Self::Current => KeyState::Current,
            Self::Stale(_) => KeyState::Stale,
            Self::Refusing(_) => KeyState::Refusing,
        }
    }
}

impl StoredKeys {
    /// Creates an empty set of keys, which counts as current.
    pub(crate) fn new(config: &KeyStoreConfig) -> Self {
        Self {
            roster: ArcSwap::default(),
            lives: Mutex::default(),
            revoke: config.revoke,
            generation: AtomicU64::new(0),
            begun: Instant::now(),
            answered: AtomicU64::new(0),
            stale_for: config.stale_for,
        }
    }

    /// Replaces the keys. Those that are gone are revoked.
    pub(crate) fn replace<'a>(&self, generation: u64, keys: impl Iterator<Item = Loaded<'a>>) {
        let mut lives = self.lives.lock();
        let (mut entries, mut gone) = (Vec::new(), std::mem::take(&mut *lives));
        let mut states = Vec::new();
        for Loaded { digest, id, settings } in keys {
            let state = match settings.disabled {
                true => State::Disabled,
                false => State::Counts(settings.expires),
            };
            let known = gone.remove(&digest).map(|(_, life)| life);
            let life = known.unwrap_or_else(|| Arc::new(Life::new(state)));
            let cuts = self.revoke == Revoke::Cut;
            let holder = Holder { life: Some(Arc::clone(&life)), cuts, ..settings.holder() };
            entries.push((digest, holder));
            states.push((Arc::clone(&life), state));
            lives.insert(digest, (id.to_owned(), life));
        }
        // new requests are refused before those under way end
        self.roster.store(Arc::new(Roster::new(entries)));
        self.generation.store(generation, Ordering::Release);
        states.iter().for_each(|(life, state)| life.set(*state));
        gone.values().for_each(|(_, life)| life.set(State::Revoked));
    }

    /// Returns the second of a key's last use at this gateway.
    pub(crate) fn used(&self, digest: &Digest) -> Option<i64> {
        self.lives.lock().get(digest)?.1.used()
    }

    /// Returns the last uses that the store does not have, by the ids of the keys.
    pub(crate) fn unwritten(&self) -> Vec<Use> {
        let lives = self.lives.lock();
        let uses = lives
            .values()
            .filter_map(|(id, life)| life.unwritten().map(|second| Use { id: id.clone(), second }));
        let mut uses: Vec<Use> = uses.collect();
        uses.sort_unstable_by(|a, b| a.id.cmp(&b.id));
        uses
    }

    /// Notes that the store has these uses.
    pub(crate) fn wrote(&self, uses: &[Use]) {
        let lives = self.lives.lock();
        let by_id: HashMap<&str, i64> =
            uses.iter().map(|used| (used.id.as_str(), used.second)).collect();
        for (id, life) in lives.values() {
            if let Some(second) = by_id.get(id.as_str()) {
                life.wrote(*second);
            }
        }
    }

    /// Notes that the store answered, and that the keys are those of its present generation.
    pub(crate) fn confirm(&self) {
        let now = self.begun.elapsed().as_millis();
        self.answered.store(u64::try_from(now).unwrap_or(u64::MAX), Ordering::Release);
    }

    /// Returns the generation of the keys.
    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Returns whether the keys are those of the store.
    pub(crate) fn freshness(&self) -> Freshness {
        let answered = Duration::from_millis(self.answered.load(Ordering::Acquire));
        match self.begun.elapsed().saturating_sub(answered) {
            age if age > self.stale_for.max(STALE) => Freshness::Refusing(age),
            age if age > STALE => Freshness::Stale(age),
            _ => Freshness::Current,
        }
    }

    /// Returns the keys that have limits and budgets of their own.
    pub(super) fn owned(&self) -> Vec<Owned> {
        self.roster.load().owned()
    }

    /// Returns whether the store had a key at its last answer, however long ago.
    pub(super) fn has(&self, digest: Digest) -> bool {
        self.roster.load().find(digest).is_some()
    }

    /// Returns the holder of the key with this name.
    pub(super) fn named(&self, name: &str) -> Option<Holder> {
        self.roster.load().named(name).cloned()
    }

    pub(super) fn find(&self, digest: Digest) -> Found {
        if let Freshness::Refusing(_) = self.freshness() {
            return Found::Stale;
        }
        self.roster
            .load()
            .find(digest)
            .map_or(Found::Unknown, |holder| Found::Known(holder.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::keys::digest;

    #[test]
    fn keys_count_until_the_store_was_silent_for_too_long() {
        let config =
            KeyStoreConfig { stale_for: Duration::from_secs(60), ..KeyStoreConfig::default() };
        let stored = StoredKeys::new(&config);
        let settings = KeySettings { name: "ci".to_owned(), ..KeySettings::default() };
        let key = Loaded { digest: digest("a"), id: "key_1", settings: &settings };
        stored.replace(7, [key].into_iter());
        assert!(
            matches!(stored.find(digest("a")), Found::Known(holder) if holder.caller.key == "ci")
        );
        assert!(matches!(stored.find(digest("b")), Found::Unknown));
        assert_eq!((stored.generation(), stored.freshness()), (7, Freshness::Current));
        for (ago, expected) in [(1, "Current"), (30, "Stale"), (59, "Stale"), (61, "Refusing")] {
            let stored = StoredKeys {
                begun: Instant::now().checked_sub(Duration::from_secs(ago)).unwrap(),
                ..StoredKeys::new(&config)
            };
            let found = format!("{:?}", stored.freshness());
            assert!(found.starts_with(expected), "{ago}: {found}");
            assert_eq!(matches!(stored.find(digest("a")), Found::Stale), expected == "Refusing");
            stored.confirm();
            assert_eq!(stored.freshness(), Freshness::Current);
        }
    }
}
