//! Where plugins run: loads components, and gives each call a fresh instance with limits.
mod bindings;
mod engine;
mod failure;
mod load;
mod wasi;

pub(in crate::policy) use bindings::{
    Action, Call, Denial, Facts, Memory, MessageBody, Problem as Reported, RequestBody,
};
pub use failure::{Cause, Failure};
pub(in crate::policy) use load::{Answer, Code, Export};

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::timeout;
use wasmtime::component::{Instance, Linker};
use wasmtime::{Engine, Store, UpdateDeadline};

use crate::error::Problem;
use crate::policy::plugin::Plugin;

/// What one call may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Wall time of a hook.
    pub hook: Duration,
    /// Wall time of a server tool.
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

/// What all generations share: the engine, its pool, and the code compiled so far.
///
/// The engine starts with the first plugin: a gateway without plugins pays nothing.
pub struct PluginHost {
    cache: Option<PathBuf>,
    pub(in crate::policy) limits: Limits,
    runtime: OnceLock<Result<Runtime, Problem>>,
    /// By the hash of the file: a reload compiles only what changed.
    compiled: Mutex<HashMap<[u8; 32], Weak<Code>>>,
    /// In front of the pool: a full pool is a wait, not an error.
    room: Semaphore,
}

struct Runtime {
    engine: Engine,
    linker: Linker<Call>,
}

impl PluginHost {
    /// A host whose calls have the usual limits.
    ///
    /// `cache_dir` is where compiled code is kept between runs, a directory of the gateway's own
    /// (it is made, with mode 0700); without one every start compiles anew. Fails if it cannot be
    /// made.
    pub fn new(cache_dir: Option<PathBuf>) -> Result<Arc<Self>, Problem> {
        Self::with_limits(cache_dir, Limits::default())
    }

    /// The same with other limits.
    pub fn with_limits(cache_dir: Option<PathBuf>, limits: Limits) -> Result<Arc<Self>, Problem> {
        let cache = cache_dir.as_deref().map(engine::prepare_cache).transpose()?;
        Ok(Arc::new(Self {
            cache,
            limits,
            runtime: OnceLock::new(),
            compiled: Mutex::default(),
            room: Semaphore::new(engine::CONCURRENT_CALLS as usize),
        }))
    }

    /// Loads a `.wasm` and asks it for its manifest.
    ///
    /// `config` is what the plugin reads as its own, a JSON object (`null` counts as an empty one).
    /// Compiling happens on a blocking thread, never on the one that calls. Fails with everything
    /// that is wrong: no component, a border of another version, a config that the plugin refuses.
    pub async fn load(
        self: &Arc<Self>,
        path: &Path,
        config: serde_json::Value,
    ) -> Result<Plugin, Vec<Problem>> {
        load::load(self, path, config).await
    }

    fn runtime(&self) -> Result<&Runtime, Problem> {
        let start = || {
            let engine = engine::build(self.cache.as_deref())?;
            let mut linker = Linker::new(&engine);
            bindings::link(&mut linker)
                .and_then(|()| wasi::link(&mut linker))
                .map_err(|e| Problem::new("plugins", format!("cannot link the host: {e:#}")))?;
            Ok(Runtime { engine, linker })
        };
        self.runtime.get_or_init(start).as_ref().map_err(Clone::clone)
    }

    fn known(&self, hash: &[u8; 32]) -> Option<Arc<Code>> {
        let compiled = self.compiled.lock().unwrap_or_else(PoisonError::into_inner);
        compiled.get(hash).and_then(Weak::upgrade)
    }

    fn remember(&self, hash: [u8; 32], code: &Arc<Code>) {
        let mut compiled = self.compiled.lock().unwrap_or_else(PoisonError::into_inner);
        compiled.retain(|_, code| code.strong_count() > 0);
        compiled.insert(hash, Arc::downgrade(code));
    }

    /// Runs one call in an instance of its own; whatever happens ends this call only.
    ///
    /// The host's side comes back either way, with the document and the last words in it.
    pub(in crate::policy) async fn run<T>(
        &self,
        code: &Code,
        call: Call,
        deadline: Duration,
        body: impl AsyncFnOnce(&mut Store<Call>, Instance) -> wasmtime::Result<T>,
    ) -> (Call, Result<T, Cause>) {
        let Ok(Ok(_room)) = timeout(deadline, self.room.acquire()).await else {
            return (call, Err(Cause::Busy));
        };
        let mut store = Store::new(code.engine(), call);
        store.limiter(|call| &mut call.memory);
        store.set_epoch_deadline(1);
        // wasmtime's own yield wakes its task at once: a thread that always has one task ready looks
        // at timers and sockets only once in dozens of ticks
        store.epoch_deadline_callback(|_| {
            Ok(UpdateDeadline::YieldCustom(1, Box::pin(tokio::task::yield_now())))
        });
        let run = async {
            let instance = code.instantiate(&mut store).await?;
            body(&mut store, instance).await
        };
        let ended = timeout(deadline, run).await;
        let call = store.data_mut();
        let printed = call.wasi.as_ref().and_then(|wasi| wasi.finish());
        call.last_words = call.last_words.take().or(printed);
        let result = match ended {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(Cause::of(&error, store.data())),
            Err(_) => Err(Cause::Deadline(deadline)),
        };
        (store.into_data(), result)
    }
}
