//! The wait before a retry of the same target.
use std::time::Duration;

/// Exponential backoff with jitter, so that requests that failed together do not retry together.
#[derive(Debug, Clone, Copy)]
pub struct Backoff {
    /// The wait before the first retry; it doubles with each retry.
    pub first: Duration,
    /// The longest wait. If the upstream asks for more, the gateway fails over instead.
    pub most: Duration,
}

impl Backoff {
    /// Returns the wait after the `tries`-th try; `requested` is the wait that the upstream asks for.
    /// Returns `None` if the retry would be too soon for the upstream, or too late for the client, which
    /// has `left`.
    pub fn pause(
        &self,
        tries: u32,
        requested: Option<Duration>,
        left: Option<Duration>,
    ) -> Option<Duration> {
        let pause = match requested {
            Some(requested) if requested > self.most => return None,
            Some(requested) => requested,
            None => {
                let doubled = self.first.saturating_mul(1 << tries.saturating_sub(1).min(16));
                doubled.min(self.most).mul_f64(0.5 + fastrand::f64() / 2.0)
            }
        };
        left.is_none_or(|left| pause < left).then_some(pause)
    }
}

#[cfg(test)]
mod tests;
