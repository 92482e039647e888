//! Where plugins run: loads components, and gives each call an instance with limits.
mod behalf;
mod bindings;
mod breaker;
mod call;
mod check;
mod decision;
mod document;
mod engine;
mod failure;
mod fetch;
mod gate;
mod grants;
mod kv;
mod load;
mod manifest;
mod models;
mod pattern;
mod plugin;
pub mod published;
mod run;
mod settings;
mod shelf;
mod wasi;

pub use behalf::{Behalf, File, ModelAnswer, ModelCall, Publish, Reach};
pub use decision::Decision;
pub use engine::Allocator;
pub use failure::{Cause, Failure};
pub use fetch::WayOut;
pub use load::Export;
pub use manifest::{Manifest, SECTION, ToolManifest, Wants, manifest_of};
pub use plugin::{Plugin, ToolCall, ToolError};
pub use published::FilesConfig;
pub use settings::{Instances, PluginConfig};

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::error::Problem;
use crate::plugin_host::breaker::Breaker;
use crate::plugin_host::engine::Runtime;
use crate::plugin_host::kv::Kv;
use crate::plugin_host::load::Code;
use crate::telemetry::plugins::PluginMetrics;

/// What one call may take, where the operator says nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Wall time of a hook, unless the plugin's config says otherwise.
    pub hook: Duration,
    /// Wall time of a server tool, likewise.
    pub tool: Duration,
    /// Bytes of linear memory, at most 256 MiB.
    pub memory: usize,
}

impl Default for Limits {
    /// 50 ms, 30 s, 128 MiB.
    fn default() -> Self {
        Self { hook: Duration::from_millis(50), tool: Duration::from_secs(30), memory: 128 << 20 }
    }
}

/// Tells the time, for what lasts longer than a test may wait.
pub type Clock = Arc<dyn Fn() -> Instant + Send + Sync>;

/// What a host is made with.
#[derive(Clone)]
pub struct Means {
    /// Where compiled code is kept between runs, a directory of the gateway's own (it is made, with
    /// mode 0700); without one every start compiles anew.
    pub cache_dir: Option<PathBuf>,
    /// What a call may take.
    pub limits: Limits,
    /// When a broken plugin is tried again, and when an entry of its store is over.
    pub clock: Clock,
    /// Bytes of address space that the pool reserves for each memory. Where there are not as many,
    /// instances are allocated on demand.
    pub reservation: u64,
}

impl Default for Means {
    fn default() -> Self {
        Self {
            cache_dir: None,
            limits: Limits::default(),
            clock: Arc::new(Instant::now),
            reservation: 4 << 30,
        }
    }
}

/// What all generations share: the engine, its pool, the code compiled so far, and what plugins keep.
///
/// The engine starts with the first plugin: a gateway without plugins pays nothing.
pub struct PluginHost {
    cache: Option<PathBuf>,
    limits: Limits,
    clock: Clock,
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
struct Kept {
    /// Of the file that the breaker is for: another one has a clean slate.
    hash: [u8; 32],
    breaker: Arc<Breaker>,
    kv: Arc<Kv>,
    /// What the log said of it when it was loaded last.
    reported: Option<Box<str>>,
}

/// A plugin file, and what it is given.
pub struct Installation<'a> {
    /// The component.
    pub path: &'a Path,
    /// `plugins.config.<name>`, a JSON object: the gateway's own keys and the plugin's (`null` counts
    /// as an empty one).
    pub config: Value,
    /// What is counted of it.
    pub metrics: PluginMetrics,
    /// How it reaches the network; none: not at all.
    pub way_out: Option<&'a WayOut>,
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

    /// Loads a `.wasm` and asks it for its manifest.
    ///
    /// `config` is `plugins.config.<name>`, a JSON object (`null` counts as an empty one). Compiling
    /// happens on a blocking thread, never on the one that calls. Fails with everything that is wrong:
    /// no component, a border of another version, a config that does not fit.
    pub async fn load(
        self: &Arc<Self>,
        path: &Path,
        config: Value,
    ) -> Result<Plugin, Vec<Problem>> {
        let metrics = PluginMetrics::default();
        self.install(Installation { path, config, metrics, way_out: None }).await
    }

    /// The same, with all that a gateway gives to a plugin.
    pub async fn install(
        self: &Arc<Self>,
        installation: Installation<'_>,
    ) -> Result<Plugin, Vec<Problem>> {
        load::load(self, installation).await
    }

    /// The manifest of a plugin that is being built: the JSON text that `describe` gives where there
    /// is no config yet. Fails as [`PluginHost::load`] does.
    pub async fn manifest_text(self: &Arc<Self>, path: &Path) -> Result<String, Vec<Problem>> {
        load::manifest_text(self, path).await
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
    fn runtime(&self) -> Result<Arc<Runtime>, Problem> {
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
        self.runtime.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn known(&self, hash: &[u8; 32], runtime: &Arc<Runtime>) -> Option<Arc<Code>> {
        let compiled = self.compiled.lock().unwrap_or_else(PoisonError::into_inner);
        compiled.get(hash).and_then(Weak::upgrade).filter(|code| code.is_of(runtime))
    }

    fn remember(&self, hash: [u8; 32], code: &Arc<Code>) {
        let mut compiled = self.compiled.lock().unwrap_or_else(PoisonError::into_inner);
        compiled.retain(|_, code| code.strong_count() > 0);
        compiled.insert(hash, Arc::downgrade(code));
    }

    /// What a plugin of this file name has kept.
    fn kept(&self, file: &str, hash: [u8; 32]) -> Kept {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || Kept { hash, breaker: Arc::default(), kv: Arc::default(), reported: None };
        let kept = kept.entry(file.to_owned()).or_insert_with(new);
        if kept.hash != hash {
            (kept.hash, kept.breaker, kept.reported) = (hash, Arc::default(), None);
        }
        kept.clone()
    }

    /// Notes what is to be said of the plugin of this file name, and gives what was said last: a reload
    /// that changes nothing for it says nothing of it.
    fn note_report(&self, file: &str, report: &str) -> Option<Box<str>> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.get_mut(file)?.reported.replace(report.into())
    }
}
