//! `Level`: how important a log line is.

/// How important a log line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// Something broke.
    Error,
    /// Something may break.
    Warn,
    /// Something worth a line.
    Info,
    /// For whoever looks for a fault.
    Debug,
    /// Everything.
    Trace,
}
