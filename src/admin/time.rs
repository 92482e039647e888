//! Times and durations as the admin API writes them.
use std::time::{Duration, SystemTime};

use jiff::Timestamp;

/// Returns a time in UTC, such as `2026-11-29T12:00:00.123Z`.
pub(crate) fn text(time: SystemTime) -> String {
    Timestamp::try_from(time).map(written).unwrap_or_default()
}

/// Returns milliseconds since 1970 as such a text.
pub(crate) fn of_millis(millis: i64) -> String {
    Timestamp::from_millisecond(millis).map(written).unwrap_or_default()
}

/// Returns whole milliseconds.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Returns whole microseconds.
pub(crate) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

fn written(time: Timestamp) -> String {
    format!("{time:.3}")
}
