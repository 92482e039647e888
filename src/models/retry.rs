//! How long to wait before the same target is tried again.
use std::time::Duration;

/// Exponential, with jitter, so that those who failed together do not come back together.
#[derive(Debug, Clone, Copy)]
pub struct Backoff {
    /// Before the first retry; doubles with each.
    pub first: Duration,
    /// The most that is waited. Who asks for more is not waited for: another target is nearer.
    pub most: Duration,
}

impl Backoff {
    /// The wait behind the `tries`-th try; `told` is what the upstream asked for. `None` if another
    /// try would come too soon for it, or too late for the caller, who has `left`.
    pub fn pause(
        &self,
        tries: u32,
        told: Option<Duration>,
        left: Option<Duration>,
    ) -> Option<Duration> {
        let pause = match told {
            Some(told) if told > self.most => return None,
            Some(told) => told,
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
