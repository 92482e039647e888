//! `Means`: what a `PluginHost` is made with: limits of a call, a clock, a place for compiled code.
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

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
