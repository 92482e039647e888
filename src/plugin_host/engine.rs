//! The wasm engine: a tuned instance pool, the epoch ticker, the cache of compiled code.
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tokio::sync::Semaphore;
use wasmtime::component::Linker;
use wasmtime::{
    Cache, CacheConfig, Config, Enabled, Engine, InstanceAllocationStrategy,
    PoolingAllocationConfig, WasmBacktraceDetails,
};

use crate::error::Problem;
use crate::plugin_host::call::Call;
use crate::plugin_host::gate::Seats;
use crate::plugin_host::settings::MAX_MEMORY;
use crate::plugin_host::shelf::SPACES;
use crate::plugin_host::{bindings, wasi};

/// How often a running guest yields to its thread, and so the precision of deadlines.
const TICK: Duration = Duration::from_millis(10);

/// A slot's memory up to here is reset in place instead of being given back and faulted in again.
/// The SDK's arena, the stack and a plugin's data fit.
const KEEP_RESIDENT: usize = 4 << 20;

/// What one component may have of these. The pool has as much for every one of its calls: whatever a plugin
/// is made of, it takes no more than its own share.
const MEMORIES: u32 = 2;
const TABLES: u32 = 8;
/// A plain Rust component is three of them; interpreters are more than ten.
const CORE_INSTANCES: u32 = 64;

/// Address space between memories, which spares the checks of most accesses.
const GUARD: u64 = 32 << 20;

/// Where instances come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Allocator {
    /// A pool of slots that are reset between calls: microseconds.
    Pool,
    /// The system, each time: where the address space is too small for a pool.
    OnDemand,
}

/// An engine and the room in it.
pub(super) struct Runtime {
    pub(super) engine: Engine,
    pub(super) linker: Linker<Call>,
    pub(super) allocator: Allocator,
    /// How many calls of tools run at once, and how many of hooks.
    pub(super) calls: u32,
    /// In front of the pool: a full pool is a wait, not an error.
    pub(super) room: Seats,
    /// For instances that wait for their next call.
    pub(super) spaces: Arc<Semaphore>,
}

impl Runtime {
    /// Starts an engine; where the address space has no room for a pool, one that allocates on demand.
    /// Says in the log which it became. `cache` is a directory that only the gateway writes.
    pub(super) fn start(
        cache: Option<&Path>,
        calls: u32,
        reservation: u64,
    ) -> Result<Self, Problem> {
        let (engine, allocator) = build(cache, calls, reservation)?;
        tick(&engine)?;
        let mut linker = Linker::new(&engine);
        bindings::link(&mut linker)
            .and_then(|()| wasi::link(&mut linker))
            .map_err(|e| Problem::new("plugins", format!("cannot link the host: {e:#}")))?;
        let room = Seats::new(calls);
        let spaces = Arc::new(Semaphore::new(SPACES as usize));
        Ok(Self { engine, linker, allocator, calls, room, spaces })
    }
}

fn build(
    cache: Option<&Path>,
    calls: u32,
    reservation: u64,
) -> Result<(Engine, Allocator), Problem> {
    let has_swap = has_swap();
    let mut pooled = config(cache)?;
    pooled
        .memory_reservation(reservation)
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pool(calls, has_swap)));
    match Engine::new(&pooled) {
        Ok(engine) => {
            let reset = if has_swap { "memset" } else { "pagemap_scan" };
            tracing::info!(allocator = "pool", reset, calls, "plugin engine ready");
            Ok((engine, Allocator::Pool))
        }
        Err(error) => {
            let mut on_demand = config(cache)?;
            // what is reserved is what a call has: a memory that grows moves
            on_demand.memory_reservation(0).memory_reservation_for_growth(1 << 20);
            on_demand.memory_guard_size(64 << 10);
            let engine = Engine::new(&on_demand).map_err(problem)?;
            let why = format!("{error:#}");
            tracing::warn!(
                allocator = "on demand",
                calls,
                why,
                "no address space for a pool: plugins run slower"
            );
            Ok((engine, Allocator::OnDemand))
        }
    }
}

fn config(cache: Option<&Path>) -> Result<Config, Problem> {
    let mut config = Config::new();
    config
        .epoch_interruption(true)
        .concurrency_support(false)
        .memory_guard_size(GUARD)
        // symbolizing a native stack for each trap is slow, and nobody reads it
        .wasm_backtrace_details(WasmBacktraceDetails::Disable);
    if let Some(dir) = cache {
        config.cache(Some(open_cache(dir)?));
    }
    Ok(config)
}

fn pool(calls: u32, has_swap: bool) -> PoolingAllocationConfig {
    let cores = thread::available_parallelism().map_or(1, |cores| cores.get() as u32);
    // tools and hooks
    let slots = 2 * calls + SPACES;
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(slots)
        .total_core_instances(slots * CORE_INSTANCES)
        .max_core_instances_per_component(CORE_INSTANCES)
        .total_memories(slots * MEMORIES)
        .max_memories_per_component(MEMORIES)
        .total_tables(slots * TABLES)
        .max_tables_per_component(TABLES)
        .total_stacks(slots)
        .max_memory_size(MAX_MEMORY)
        .linear_memory_keep_resident(KEEP_RESIDENT)
        .table_keep_resident(64 << 10)
        .max_unused_warm_slots(2 * cores)
        .pagemap_scan(if has_swap { Enabled::No } else { Enabled::Auto });
    pool
}

/// `PAGEMAP_SCAN` misses a dirty page that was swapped out: the next instance would read what the
/// last one wrote. So it is used only where nothing can be swapped.
fn has_swap() -> bool {
    let forbidden = fs::read_to_string("/sys/fs/cgroup/memory.swap.max");
    if forbidden.is_ok_and(|max| max.trim() == "0") {
        return false;
    }
    // the first line is the heading
    fs::read_to_string("/proc/swaps").map_or(true, |swaps| swaps.lines().count() > 1)
}

/// Makes the directory of compiled code: machine code that will be run, so nobody else may write
/// there.
pub(super) fn prepare_cache(dir: &Path) -> Result<PathBuf, Problem> {
    fs::create_dir_all(dir)
        .and_then(|()| make_private(dir))
        .and_then(|()| fs::canonicalize(dir))
        .map_err(|e| no_cache(dir, &e.into()))
}

fn open_cache(dir: &Path) -> Result<Cache, Problem> {
    let mut config = CacheConfig::new();
    config.with_directory(dir);
    Cache::new(config).map_err(|e| no_cache(dir, &e))
}

fn no_cache(dir: &Path, error: &wasmtime::Error) -> Problem {
    Problem::new(dir.display().to_string(), format!("cannot keep compiled plugins here: {error:#}"))
}

#[cfg(unix)]
fn make_private(dir: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(dir, fs::Permissions::from_mode(0o700))
}

#[cfg(not(unix))]
fn make_private(_: &Path) -> std::io::Result<()> {
    Ok(())
}

/// One thread an engine; it ends with the engine.
fn tick(engine: &Engine) -> Result<(), Problem> {
    let engine = engine.weak();
    let ticks = move || {
        while let Some(engine) = engine.upgrade() {
            engine.increment_epoch();
            drop(engine);
            thread::sleep(TICK);
        }
    };
    let started = thread::Builder::new().name("plugin-ticks".to_owned()).spawn(ticks);
    started.map(drop).map_err(|e| problem(e.into()))
}

fn problem(error: wasmtime::Error) -> Problem {
    Problem::new("plugins", format!("the wasm engine cannot start: {error:#}"))
}
