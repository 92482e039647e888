//! Decides which failures lead to another attempt, by the config or by the request.
use std::time::Duration;

use crate::models::Alias;

/// The retry rules of a request. Missing members are taken from the alias.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Retry {
    /// The number of retries on the same target.
    pub attempts: Option<u32>,
    /// The time limit of an attempt, up to its first event or, without a stream, to its end.
    pub timeout: Option<Duration>,
    /// The upstream statuses that allow another attempt.
    pub on: Option<Statuses>,
}

/// A set of statuses from 400 to 599.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Statuses([u64; 4]);

impl Statuses {
    /// Adds a status. Returns `false` if it is no error status.
    pub(crate) fn insert(&mut self, status: u64) -> bool {
        let Some(at) = place(status) else { return false };
        self.0[at / 64] |= 1 << (at % 64);
        true
    }

    fn has(self, status: u16) -> bool {
        place(status.into()).is_some_and(|at| self.0[at / 64] & (1 << (at % 64)) != 0)
    }
}

fn place(status: u64) -> Option<usize> {
    matches!(status, 400..=599).then(|| status as usize - 400)
}

impl Retry {
    /// Returns the number of retries on one target.
    pub(crate) fn attempts(&self, alias: &Alias) -> u32 {
        self.attempts.unwrap_or(alias.retries)
    }

    /// Returns whether another attempt may follow this status.
    pub(crate) fn is_listed(&self, alias: &Alias, status: u16) -> bool {
        match self.on {
            Some(on) => on.has(status),
            None => alias.retry_on.contains(&status),
        }
    }
}
