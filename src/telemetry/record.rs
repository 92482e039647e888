//! The facts of one finished exchange, for metrics and the log line of an exchange.
use std::time::Duration;

use crate::wire::Usage;

/// One finished exchange; no body, no credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record {
    /// The status that the caller saw.
    pub status: u16,
    /// From the head of the request to the last byte of the answer.
    pub duration: Duration,
    /// From the head of the request to the first event, where the answer streamed.
    pub first_event: Option<Duration>,
    /// The tokens of all turns.
    pub usage: Usage,
    /// How many times an upstream was asked.
    pub attempts: u32,
    /// The answer was a stream of events.
    pub is_stream: bool,
    /// How it ended.
    pub ending: Ending,
}

/// How an exchange ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// The caller got all of it, an error answer included.
    Whole,
    /// The caller left before the end.
    CallerLeft,
    /// The upstream broke off after the first event.
    Broken,
}

impl Ending {
    /// As the log names it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Whole => "whole",
            Self::CallerLeft => "caller_left",
            Self::Broken => "broken",
        }
    }
}
