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
use crate::plugin_host::call::PluginCall;
use crate::plugin_host::gate::Seats;
use crate::plugin_host::settings::MAX_MEMORY;
use crate::plugin_host::shelf::SPACES;
use crate::plugin_host::{bindings, wasi};

/// The interval at which a running guest yields to its thread. It is also the precision of
/// deadlines.
const TICK: Duration = Duration::from_millis(10);

/// The part of a slot's memory that is reset in place instead of being returned and faulted in
/// again. The SDK's arena, the stack and a plugin's data fit.
const KEEP_RESIDENT: usize = 4 << 20;

/// The limits of one component. The pool reserves as much for every call, so no plugin takes more
/// than its share.
const MEMORIES: u32 = 2;
const TABLES: u32 = 8;
/// A plain Rust component has three core instances; interpreters have more than ten.
const CORE_INSTANCES: u32 = 64;

/// The address space between memories. It saves most bounds checks.
const GUARD: u64 = 32 << 20;

/// The allocator of instances.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Allocator {
    /// A pool of slots that are reset between calls, in microseconds.
    Pool,
    /// The system, for each call, if the address space is too small for a pool.
    OnDemand,
}

/// An engine and its capacity.
pub(super) struct Runtime {
    pub(super) engine: Engine,
    pub(super) linker: Linker<PluginCall>,
    pub(super) allocator: Allocator,
    /// The highest number of concurrent tool calls, and of concurrent hook calls.
    pub(super) calls: u32,
    /// The seats for the pool: if the pool is full, a call waits instead of failing.
    pub(super) room: Seats,
    /// The places of idle instances.
    pub(super) spaces: Arc<Semaphore>,
}

impl Runtime {
    /// Starts an engine. If the address space has no room for a pool, the engine allocates on
    /// demand. Logs the allocator. `cache` is a directory to which only the gateway writes.
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
            let engine = on_demand(cache)?;
            let why = format!("{error:#}");
            no_pool(calls, &why);
            Ok((engine, Allocator::OnDemand))
        }
    }
}

/// Makes an engine without a pool.
fn on_demand(cache: Option<&Path>) -> Result<Engine, Problem> {
    let mut config = config(cache)?;
    // each call reserves only the memory it uses: a memory that grows moves
    config.memory_reservation(0).memory_reservation_for_growth(1 << 20);
    config.memory_guard_size(64 << 10);
    Engine::new(&config).map_err(problem)
}

fn no_pool(calls: u32, why: &str) {
    let message = "no address space for a pool: plugins run slower";
    tracing::warn!(allocator = "on demand", calls, why, "{message}");
}

fn config(cache: Option<&Path>) -> Result<Config, Problem> {
    let mut config = Config::new();
    config
        .epoch_interruption(true)
        .concurrency_support(false)
        .memory_guard_size(GUARD)
        // symbolizing a native stack for each trap is slow, and the result is not used
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

/// Returns whether memory can be swapped. `PAGEMAP_SCAN` misses a dirty page that was swapped out:
/// the next instance would read data of the previous one. So the pool uses it only without swap.
fn has_swap() -> bool {
    let forbidden = fs::read_to_string("/sys/fs/cgroup/memory.swap.max");
    if forbidden.is_ok_and(|max| max.trim() == "0") {
        return false;
    }
    // the first line is the header
    fs::read_to_string("/proc/swaps").map_or(true, |swaps| swaps.lines().count() > 1)
}

/// Creates the directory of compiled code. The gateway runs this machine code, so no other user may
/// write there.
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

/// Starts the thread that increments the engine's epoch. The thread ends with the engine.
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
