//! `Shelf`: instances of a plugin that wait for the next call of the same caller, where the operator wants that.
use std::collections::HashMap;
use std::sync::Arc;
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use wasmtime::Store;
use wasmtime::component::Instance;

use crate::plugin_host::call::Call;

/// How many instances of all plugins wait at once: slots of the pool beside those of running calls.
pub(super) const SPACES: u32 = 64;
/// How many calls one instance serves: what a guest leaks, and what it keeps, goes with it.
const CALLS_PER_INSTANCE: u32 = 100;
/// An instance that nobody came back for gives its memory back when the next one is put beside it.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// The waiting instances of one plugin of one generation: one for each thread and caller key. What
/// one key's requests left in an instance is never seen by another's.
pub(super) struct Shelf {
    waiting: Mutex<HashMap<(ThreadId, String), Waiting>>,
    /// Shared by the shelves of all plugins.
    spaces: Arc<Semaphore>,
}

/// An instance, and how many calls it has served.
pub(super) struct Used {
    pub(super) store: Store<Call>,
    pub(super) instance: Instance,
    pub(super) calls: u32,
}

struct Waiting {
    used: Used,
    since: Instant,
    _space: OwnedSemaphorePermit,
}

impl Shelf {
    pub(super) fn new(spaces: &Arc<Semaphore>) -> Self {
        Self { waiting: Mutex::default(), spaces: Arc::clone(spaces) }
    }

    /// The instance that waits for this caller on this thread.
    pub(super) fn take(&self, key: &str) -> Option<Used> {
        let place = (thread::current().id(), key.to_owned());
        self.waiting().remove(&place).map(|waiting| waiting.used)
    }

    /// Keeps an instance whose call went well, unless it has served enough or there is no room.
    pub(super) fn put(&self, key: &str, used: Used) {
        if used.calls >= CALLS_PER_INSTANCE {
            return;
        }
        let now = Instant::now();
        let gone = self.make_room(now);
        // memory is given back without the lock
        drop(gone);
        let Ok(space) = Arc::clone(&self.spaces).try_acquire_owned() else { return };
        let place = (thread::current().id(), key.to_owned());
        let replaced = self.waiting().insert(place, Waiting { used, since: now, _space: space });
        drop(replaced);
    }

    /// Takes out what waited too long, and, where all spaces are taken, the one that waited longest.
    fn make_room(&self, now: Instant) -> Vec<Waiting> {
        let mut waiting = self.waiting();
        let is_over = |one: &Waiting| now.saturating_duration_since(one.since) > LONGEST_WAIT;
        let mut gone: Vec<Waiting> =
            waiting.extract_if(|_, one| is_over(one)).map(|(_, one)| one).collect();
        if gone.is_empty() && self.spaces.available_permits() == 0 {
            let oldest = waiting.iter().min_by_key(|(_, one)| one.since);
            let oldest = oldest.map(|(place, _)| place.clone());
            gone.extend(oldest.and_then(|place| waiting.remove(&place)));
        }
        gone
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<(ThreadId, String), Waiting>> {
        self.waiting.lock()
    }
}
