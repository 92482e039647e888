//! Which failures another try, or another target, may mend: as the config says, or as the request does.
use std::time::Duration;

use crate::models::Alias;

/// What a request says of its tries; what is not there is the alias's.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Retry {
    /// Further tries of the same target.
    pub attempts: Option<u32>,
    /// How long a try may take, to its first event or, without a stream, to its end.
    pub timeout: Option<Duration>,
    /// The upstream statuses that are no end yet.
    pub on: Option<Statuses>,
}

/// A set of the statuses from 400 to 599.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Statuses([u64; 4]);

impl Statuses {
    /// Puts one in; `false` if it is no status of an error.
    pub fn insert(&mut self, status: u64) -> bool {
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
    /// Returns how many further tries a target gets.
    pub fn attempts(&self, alias: &Alias) -> u32 {
        self.attempts.unwrap_or(alias.retries)
    }

    /// Returns whether another try may follow this status.
    pub fn is_listed(&self, alias: &Alias, status: u16) -> bool {
        match self.on {
            Some(on) => on.has(status),
            None => alias.retry_on.contains(&status),
        }
    }
}
