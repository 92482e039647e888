//! How much a script may use: operations, time, depth, sizes.
use std::time::Duration;

/// How much a script may use; one that wants more ends with an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Operations of one call of a hook.
    pub operations: u64,
    /// The time of one call of a hook.
    pub time: Duration,
    /// Calls within calls.
    pub call_depth: usize,
    /// Expressions and blocks within each other.
    pub expression_depth: usize,
    /// Bytes of a string, and of all strings of an array or map together.
    pub string_bytes: usize,
    /// Elements of an array, those of inner ones included.
    pub array_items: usize,
    /// Entries of a map, those of inner ones included.
    pub map_entries: usize,
    /// Variables at a time.
    pub variables: usize,
}

/// The stack that a thread needs to run scripts. Closures may hold closures, and Rhai takes such a
/// chain apart level by level: as many levels as the limit of operations allows fit in here. Memory
/// is only what is really used of it.
pub const STACK_BYTES: usize = 64 * 1024 * 1024;

impl Default for Limits {
    fn default() -> Self {
        Self {
            operations: 1_000_000,
            time: Duration::from_millis(50),
            call_depth: 32,
            expression_depth: 32,
            // any string of a body fits: it may be read, but hardly be doubled
            string_bytes: 32 * 1024 * 1024,
            // inner ones count: deeper nesting would overflow the stack where Rhai walks a value
            array_items: 2_000,
            map_entries: 1_000,
            variables: 256,
        }
    }
}
