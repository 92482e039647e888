//! `PluginHost`: what plugins of all generations share: the engine, compiled code, and what plugins keep.
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::{Mutex, MutexGuard};
use serde_json::Value;

use crate::error::Problem;
use crate::plugin_host::breaker::Breaker;
use crate::plugin_host::code::Code;
use crate::plugin_host::engine::{self, Allocator, Runtime};
use crate::plugin_host::kv::Kv;
use crate::plugin_host::means::{Clock, Limits, Means};
use crate::plugin_host::settings;

/// What all generations share: the engine, its pool, the code compiled so far, and what plugins keep.
///
/// The engine starts with the first plugin: a gateway without plugins pays nothing.
pub struct PluginHost {
    cache: Option<PathBuf>,
    pub(super) limits: Limits,
    pub(super) clock: Clock,
    reservation: u64,
    /// How many calls of tools are to run at once, of all plugins, and how many of hooks.
    calls: AtomicU32,
    runtime: Mutex<Option<Arc<Runtime>>>,
    /// By the hash of the file: a reload compiles only what changed.
    compiled: Mutex<HashMap<[u8; 32], Weak<Code>>>,
    /// By the plugin's file name.
    kept: Mutex<HashMap<String, Kept>>,
}

/// What outlives generations of a plugin.
#[derive(Clone)]
pub(super) struct Kept {
    /// Of the file that the breaker is for: another one has a clean slate.
    hash: [u8; 32],
    pub(super) breaker: Arc<Breaker>,
    pub(super) kv: Arc<Kv>,
    /// What the log said of it when it was loaded last.
    reported: Option<Box<str>>,
}

impl PluginHost {
    /// A host whose calls have the usual limits. Fails if the directory cannot be made.
    pub fn new(cache_dir: Option<PathBuf>) -> Result<Arc<Self>, Problem> {
        Self::with(Means { cache_dir, ..Means::default() })
    }

    /// The same with other limits.
    pub fn with_limits(cache_dir: Option<PathBuf>, limits: Limits) -> Result<Arc<Self>, Problem> {
        Self::with(Means { cache_dir, limits, ..Means::default() })
    }

    /// The same with all that can be another.
    pub fn with(means: Means) -> Result<Arc<Self>, Problem> {
        let cache = means.cache_dir.as_deref().map(engine::prepare_cache).transpose()?;
        Ok(Arc::new(Self {
            cache,
            limits: means.limits,
            clock: means.clock,
            reservation: means.reservation,
            calls: AtomicU32::new(settings::USUAL_CALLS),
            runtime: Mutex::default(),
            compiled: Mutex::default(),
            kept: Mutex::default(),
        }))
    }

    /// Sees to it that calls of plugins with these configs find room side by side, as far as there
    /// is room at all. Before they are loaded: what is running keeps the room that it has.
    pub fn make_room<'a>(&self, configs: impl Iterator<Item = Option<&'a Value>>) {
        let calls = configs.map(settings::calls_of).fold(0, u32::saturating_add);
        self.calls.fetch_max(calls.min(settings::MOST_CALLS), Ordering::Relaxed);
    }

    /// Where instances come from; none before the first plugin.
    pub fn allocator(&self) -> Option<Allocator> {
        self.runtime_now().as_ref().map(|runtime| runtime.allocator)
    }

    /// How many calls of tools may run at once, of all plugins, and how many of hooks; none before the
    /// first plugin.
    pub fn room(&self) -> Option<u32> {
        self.runtime_now().as_ref().map(|runtime| runtime.calls)
    }

    /// An engine with enough room: another one where the first has become too small, which serves the
    /// generations to come.
    pub(super) fn runtime(&self) -> Result<Arc<Runtime>, Problem> {
        let calls = self.calls.load(Ordering::Relaxed);
        let mut runtime = self.runtime_now();
        if let Some(runtime) = runtime.as_ref().filter(|runtime| runtime.calls >= calls) {
            return Ok(Arc::clone(runtime));
        }
        let new = Arc::new(Runtime::start(self.cache.as_deref(), calls, self.reservation)?);
        *runtime = Some(Arc::clone(&new));
        Ok(new)
    }

    fn runtime_now(&self) -> MutexGuard<'_, Option<Arc<Runtime>>> {
        self.runtime.lock()
    }

    pub(super) fn known(&self, hash: &[u8; 32], runtime: &Arc<Runtime>) -> Option<Arc<Code>> {
        let compiled = self.compiled.lock();
        compiled.get(hash).and_then(Weak::upgrade).filter(|code| code.is_of(runtime))
    }

    pub(super) fn remember(&self, hash: [u8; 32], code: &Arc<Code>) {
        let mut compiled = self.compiled.lock();
        compiled.retain(|_, code| code.strong_count() > 0);
        compiled.insert(hash, Arc::downgrade(code));
    }

    /// What a plugin of this file name has kept.
    pub(super) fn kept(&self, file: &str, hash: [u8; 32]) -> Kept {
        let mut kept = self.kept.lock();
        let new = || Kept { hash, breaker: Arc::default(), kv: Arc::default(), reported: None };
        let kept = kept.entry(file.to_owned()).or_insert_with(new);
        if kept.hash != hash {
            (kept.hash, kept.breaker, kept.reported) = (hash, Arc::default(), None);
        }
        kept.clone()
    }

    /// Notes what is to be said of the plugin of this file name, and gives what was said last: a reload
    /// that changes nothing for it says nothing of it.
    pub(super) fn note_report(&self, file: &str, report: &str) -> Option<Box<str>> {
        let mut kept = self.kept.lock();
        kept.get_mut(file)?.reported.replace(report.into())
    }
}
