//! `Clock`: the time that scripts read. A trial may fix it.
use jiff::Timestamp;

/// The time that `now`, `now_ms`, `utc` and `time_in` return.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Clock {
    /// The time of the system.
    #[default]
    System,
    /// A fixed time.
    Fixed(Timestamp),
}

impl Clock {
    /// Returns a clock fixed at a time such as `2026-12-24T18:00:00Z`. Fails with the expected form.
    pub fn at(time: &str) -> Result<Self, String> {
        let expected = |_| {
            format!("expected a time with its zone such as `2026-12-24T18:00:00Z`, found `{time}`")
        };
        time.parse().map(Self::Fixed).map_err(expected)
    }

    /// Returns the current time of the clock.
    pub(super) fn now(self) -> Timestamp {
        match self {
            Self::System => Timestamp::now(),
            Self::Fixed(time) => time,
        }
    }
}
