//! `Clock`: the time that scripts read, which a trial may fix.
use jiff::Timestamp;

/// The time that `now`, `now_ms`, `utc` and `time_in` give.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Clock {
    /// The system's.
    #[default]
    System,
    /// Always the same.
    Fixed(Timestamp),
}

impl Clock {
    /// Fixes the time to that of a text such as `2026-12-24T18:00:00Z`. Fails with the form that was expected.
    pub fn at(time: &str) -> Result<Self, String> {
        let expected = |_| {
            format!("expected a time with its zone such as `2026-12-24T18:00:00Z`, found `{time}`")
        };
        time.parse().map(Self::Fixed).map_err(expected)
    }

    /// The time.
    pub(super) fn now(self) -> Timestamp {
        match self {
            Self::System => Timestamp::now(),
            Self::Fixed(time) => time,
        }
    }
}
