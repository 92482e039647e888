//! Which failures another try, or another target, may mend: as the config says, or as the request does.
use std::fmt;
use std::time::Duration;

use crate::error::{Error, ErrorKind};
use crate::models::Alias;
use crate::net::headers::SHOULD_RETRY;

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
    /// How many further tries a target gets.
    pub fn attempts(&self, alias: &Alias) -> u32 {
        self.attempts.unwrap_or(alias.retries)
    }

    /// Another try, or another target, may mend it.
    pub fn goes_on(&self, alias: &Alias, error: &Error) -> bool {
        may_mend(error, |status| match self.on {
            Some(on) => on.has(status),
            None => alias.retry_on.contains(&status),
        })
    }

    /// The target has failed for others as well, whatever this request goes on after.
    pub fn is_failure(&self, alias: &Alias, error: &Error) -> bool {
        // a bound of the caller's own choice says nothing of the target
        let is_impatience = error.source.as_ref().is_some_and(|source| source.is::<Impatience>());
        !is_impatience && may_mend(error, |status| alias.retry_on.contains(&status))
    }
}

/// Why an attempt was given up that the config would have let go on.
#[derive(Debug)]
pub struct Impatience;

impl fmt::Display for Impatience {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the request's own `attempt_timeout_ms` was over")
    }
}

impl std::error::Error for Impatience {}

fn may_mend(error: &Error, is_listed: impl Fn(u16) -> bool) -> bool {
    let Some(answer) = &error.upstream else {
        // a stage's own refusal is a decision that no other target changes
        if error.status.is_some() {
            return false;
        }
        return matches!(error.kind, ErrorKind::BadUpstream | ErrorKind::Timeout);
    };
    match answer.headers().get(SHOULD_RETRY).map(http::HeaderValue::as_bytes) {
        Some(b"false") => false,
        Some(b"true") => true,
        _ => is_listed(answer.status().as_u16()),
    }
}
