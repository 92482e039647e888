//! The limits of a script: operations, time, depth, sizes.
use std::time::Duration;

/// The limits of a script. A script that exceeds one ends with an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Operations in one call of a hook.
    pub operations: u64,
    /// The time of one call of a hook.
    pub time: Duration,
    /// The time that is added for each MiB of the document or text that the hook gets.
    pub time_per_mib: Duration,
    /// The depth of nested function calls.
    pub call_depth: usize,
    /// The depth of nested expressions and blocks.
    pub expression_depth: usize,
    /// Bytes of a string, and of all strings of an array or map together.
    pub string_bytes: usize,
    /// Elements of an array, including those of inner arrays.
    pub array_items: usize,
    /// Entries of a map, including those of inner maps.
    pub map_entries: usize,
    /// Variables at one time.
    pub variables: usize,
}

/// The stack size of a thread that runs scripts. Closures may hold closures, and Rhai drops such a chain
/// recursively. The stack is large enough for the longest chain within the limit of operations. Only the
/// used part takes memory.
pub(crate) const STACK_BYTES: usize = 64 * 1024 * 1024;

impl Default for Limits {
    fn default() -> Self {
        Self {
            operations: 1_000_000,
            time: Duration::from_millis(50),
            // several times as much as the shipped guards take
            time_per_mib: Duration::from_millis(50),
            call_depth: 32,
            expression_depth: 32,
            // any string of a body fits: a script may read it, but can hardly double it
            string_bytes: 32 * 1024 * 1024,
            // inner ones count: deeper nesting would overflow the stack when Rhai walks a value
            array_items: 2_000,
            map_entries: 1_000,
            variables: 256,
        }
    }
}

impl Limits {
    /// Returns the time of one call of a hook over a document or text of this size.
    pub(super) fn time_for(&self, bytes: usize) -> Duration {
        const MIB: f64 = 1024.0 * 1024.0;
        self.time.saturating_add(self.time_per_mib.mul_f64(bytes as f64 / MIB))
    }
}
