//! The wasm engine: a tuned instance pool, the epoch ticker, the cache of compiled code.
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use wasmtime::{
    Cache, CacheConfig, Config, Enabled, Engine, InstanceAllocationStrategy,
    PoolingAllocationConfig, WasmBacktraceDetails,
};

use crate::error::Problem;

/// How many calls may run at once, over all threads; more wait.
pub(super) const CONCURRENT_CALLS: u32 = 256;

/// How often a running guest yields to its thread, and so the precision of deadlines.
const TICK: Duration = Duration::from_millis(10);

/// The hard ceiling of one linear memory; `Limits::memory` is the one in force.
const MAX_MEMORY: usize = 256 << 20;

/// A slot's memory up to here is reset in place instead of being given back and faulted in again.
/// The SDK's arena, the stack and a plugin's data fit.
const KEEP_RESIDENT: usize = 4 << 20;

/// Builds the engine; where the address space has no room for a pool, one that allocates on demand.
/// Says in the log which it became. `cache` is a directory that only the gateway writes.
pub(super) fn build(cache: Option<&Path>) -> Result<Engine, Problem> {
    let has_swap = has_swap();
    let engine = match Engine::new(&config(cache, Some(pool(has_swap)))?) {
        Ok(engine) => {
            let reset = if has_swap { "memset" } else { "pagemap_scan" };
            tracing::info!(allocator = "pool", reset, "plugin engine ready");
            engine
        }
        Err(error) => {
            let engine = Engine::new(&config(cache, None)?).map_err(problem)?;
            let why = format!("{error:#}");
            tracing::warn!(allocator = "on demand", why, "no room for a pool: plugins run slower");
            engine
        }
    };
    tick(&engine)?;
    Ok(engine)
}

fn config(cache: Option<&Path>, pool: Option<PoolingAllocationConfig>) -> Result<Config, Problem> {
    let mut config = Config::new();
    config
        .epoch_interruption(true)
        .concurrency_support(false)
        // symbolizing a native stack for each trap is slow, and nobody reads it
        .wasm_backtrace_details(WasmBacktraceDetails::Disable);
    if let Some(pool) = pool {
        config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    }
    if let Some(dir) = cache {
        config.cache(Some(open_cache(dir)?));
    }
    Ok(config)
}

fn pool(has_swap: bool) -> PoolingAllocationConfig {
    let cores = thread::available_parallelism().map_or(1, |cores| cores.get() as u32);
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(CONCURRENT_CALLS)
        // a plain Rust component is three core instances, other toolchains' are more
        .total_core_instances(CONCURRENT_CALLS * 8)
        .total_memories(CONCURRENT_CALLS)
        .total_tables(CONCURRENT_CALLS * 4)
        .total_stacks(CONCURRENT_CALLS)
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
