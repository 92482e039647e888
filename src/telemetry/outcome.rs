//! How an attempt went, and how an exchange ended.

/// The outcome of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttemptOutcome {
    /// A success status.
    Success,
    /// The upstream refused the request; another target would refuse it too.
    Refused,
    /// The upstream failed, was overloaded, or could not be reached.
    Failed,
    /// The attempt took too long.
    TimedOut,
}

impl AttemptOutcome {
    /// Returns the label of the metric.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Refused => "refused",
            Self::Failed => "failed",
            Self::TimedOut => "timed_out",
        }
    }
}

/// The way in which an exchange ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// The client received everything, possibly an error response.
    Whole,
    /// The client left before the end.
    CallerLeft,
    /// The upstream's stream broke off after its first event.
    Broken,
}

impl Ending {
    /// Returns the name in logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Whole => "whole",
            Self::CallerLeft => "caller_left",
            Self::Broken => "broken",
        }
    }
}
