//! `Level`: the severity of a log line.

/// The severity of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// An error.
    Error,
    /// A possible error.
    Warn,
    /// Useful information.
    Info,
    /// Details for finding a fault.
    Debug,
    /// All details.
    Trace,
}
