//! `Shelf`: idle instances of a plugin, kept for the next call of the same caller (`instances: reuse`).
use std::collections::HashMap;
use std::sync::Arc;
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use wasmtime::Store;
use wasmtime::component::Instance;

use crate::plugin_host::call::PluginCall;

/// The highest number of idle instances of all plugins: pool slots in addition to those of running
/// calls.
pub(super) const SPACES: u32 = 64;
/// The number of calls that one instance serves. Its memory leaks and its state end with it.
const CALLS_PER_INSTANCE: u32 = 100;
/// The longest idle time. An instance that has waited longer is dropped when the next one is put on
/// the shelf.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// The idle instances of one plugin in one generation, one for each thread and caller key. Requests
/// of one key never see the state that another key's requests left.
pub(super) struct Shelf {
    waiting: Mutex<HashMap<(ThreadId, String), Waiting>>,
    /// The places of idle instances, shared by the shelves of all plugins.
    spaces: Arc<Semaphore>,
}

/// An instance, and the number of calls that it has served.
pub(super) struct Used {
    pub(super) store: Store<PluginCall>,
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

    /// Takes the idle instance of this caller on this thread.
    pub(super) fn take(&self, key: &str) -> Option<Used> {
        let place = (thread::current().id(), key.to_owned());
        self.waiting().remove(&place).map(|waiting| waiting.used)
    }

    /// Keeps an instance after a successful call, unless it has served enough calls or no place is
    /// free.
    pub(super) fn put(&self, key: &str, used: Used) {
        if used.calls >= CALLS_PER_INSTANCE {
            return;
        }
        let now = Instant::now();
        let gone = self.make_room(now);
        // the instance is dropped without the lock held
        drop(gone);
        let Ok(space) = Arc::clone(&self.spaces).try_acquire_owned() else { return };
        let place = (thread::current().id(), key.to_owned());
        let replaced = self.waiting().insert(place, Waiting { used, since: now, _space: space });
        drop(replaced);
    }

    /// Removes the instances that have waited too long. If no place is free, removes the instance
    /// that has waited longest.
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
