//! Days in a named zone. A quarter of an hour belongs to the day in which it begins.
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Error, Timestamp};

use crate::ledger::row::QUARTER;

/// Returns the begin of the first quarter of an hour of a day, in milliseconds since 1970.
///
/// Fails if the day is out of the calendar.
pub(super) fn begin(day: Date, zone: &TimeZone) -> Result<i64, Error> {
    let begin = day.to_zoned(zone.clone())?.timestamp().as_millisecond();
    Ok((begin + QUARTER - 1).div_euclid(QUARTER) * QUARTER)
}

/// Returns the day of a moment.
pub(super) fn of(at: i64, zone: &TimeZone) -> Date {
    Timestamp::from_millisecond(at).unwrap_or_default().to_zoned(zone.clone()).date()
}

/// Returns the begin of a moment's day, and the begin of the next one.
///
/// Fails at the end of the calendar.
pub(super) fn around(at: i64, zone: &TimeZone) -> Result<(i64, i64), Error> {
    let day = of(at, zone);
    Ok((begin(day, zone)?, begin(day.tomorrow()?, zone)?))
}
