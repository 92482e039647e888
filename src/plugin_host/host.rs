//! `PluginHost`: the state that plugins of all generations share.
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

/// The state that all generations share: the engine, its pool, compiled code and the plugins'
/// stores.
///
/// The engine starts with the first plugin, so a gateway without plugins pays nothing.
pub struct PluginHost {
    cache: Option<PathBuf>,
    pub(super) limits: Limits,
    pub(super) clock: Clock,
    reservation: u64,
    /// The requested number of concurrent tool calls of all plugins, and of concurrent hook calls.
    calls: AtomicU32,
    runtime: Mutex<Option<Arc<Runtime>>>,
    /// Compiled code by the hash of the file: a reload compiles only changed files.
    compiled: Mutex<HashMap<[u8; 32], Weak<Code>>>,
    /// The state that outlives generations, by the plugin's file name.
    kept: Mutex<HashMap<String, HeldPlugin>>,
}

/// The state of a plugin that outlives its generations.
#[derive(Clone)]
pub(super) struct HeldPlugin {
    /// The hash of the file that the breaker belongs to. A changed file gets a new breaker.
    hash: [u8; 32],
    pub(super) breaker: Arc<Breaker>,
    pub(super) kv: Arc<Kv>,
    /// The last report about the plugin in the log.
    reported: Option<Box<str>>,
}

impl PluginHost {
    /// Creates a host with the default limits. Fails if the cache directory cannot be created.
    pub fn new(cache_dir: Option<PathBuf>) -> Result<Arc<Self>, Problem> {
        Self::with(Means { cache_dir, ..Means::default() })
    }

    /// Creates a host with other limits.
    pub fn with_limits(cache_dir: Option<PathBuf>, limits: Limits) -> Result<Arc<Self>, Problem> {
        Self::with(Means { cache_dir, limits, ..Means::default() })
    }

    /// Creates a host with other means.
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

    /// Raises the number of concurrent calls for plugins with these configs, up to the maximum.
    /// Callers run it before they load plugins: a running engine keeps its size.
    pub fn make_room<'a>(&self, configs: impl Iterator<Item = Option<&'a Value>>) {
        let calls = configs.map(settings::calls_of).fold(0, u32::saturating_add);
        self.calls.fetch_max(calls.min(settings::MOST_CALLS), Ordering::Relaxed);
    }

    /// Returns the allocator of instances; `None` before the first plugin.
    pub fn allocator(&self) -> Option<Allocator> {
        self.runtime_now().as_ref().map(|runtime| runtime.allocator)
    }

    /// Returns the highest number of concurrent tool calls of all plugins, which is also that of
    /// hook calls; `None` before the first plugin.
    pub fn room(&self) -> Option<u32> {
        self.runtime_now().as_ref().map(|runtime| runtime.calls)
    }

    /// Returns an engine with enough room. Starts another one if the current engine is too small;
    /// later generations use the new one.
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

    /// Returns the kept state of the plugin with this file name.
    pub(super) fn kept(&self, file: &str, hash: [u8; 32]) -> HeldPlugin {
        let mut kept = self.kept.lock();
        let new =
            || HeldPlugin { hash, breaker: Arc::default(), kv: Arc::default(), reported: None };
        let kept = kept.entry(file.to_owned()).or_insert_with(new);
        if kept.hash != hash {
            (kept.hash, kept.breaker, kept.reported) = (hash, Arc::default(), None);
        }
        kept.clone()
    }

    /// Notes the report about a plugin and returns the previous one. A reload that changes nothing
    /// logs nothing.
    pub(super) fn note_report(&self, file: &str, report: &str) -> Option<Box<str>> {
        let mut kept = self.kept.lock();
        kept.get_mut(file)?.reported.replace(report.into())
    }
}
