//! `Means`: the parts of a `PluginHost`: limits of a call, a clock, a directory for compiled code.
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The default limits of one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The wall time of a hook, unless the plugin's config sets another.
    pub hook: Duration,
    /// The wall time of a server tool, unless the plugin's config sets another.
    pub tool: Duration,
    /// The bytes of linear memory, at most 256 MiB.
    pub memory: usize,
}

impl Default for Limits {
    /// Returns 50 ms, 30 s and 128 MiB.
    fn default() -> Self {
        Self { hook: Duration::from_millis(50), tool: Duration::from_secs(30), memory: 128 << 20 }
    }
}

/// Returns the current time. Tests replace it to skip long waits.
pub(crate) type Clock = Arc<dyn Fn() -> Instant + Send + Sync>;

/// The parts of a host.
#[derive(Clone)]
pub struct Means {
    /// The directory of compiled code between runs. It belongs to the gateway, which creates it
    /// with mode 0700. Without one, every start recompiles the plugins.
    pub cache_dir: Option<PathBuf>,
    /// The limits of a call.
    pub limits: Limits,
    /// The clock for trials of suspended plugins and for the expiry of store entries.
    pub clock: Clock,
    /// The bytes of address space that the pool reserves for each memory. If the system has fewer,
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
