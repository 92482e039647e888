//! The time: `now`, `now_ms`, `utc`, `time_in`. The time zones are part of the program, not read from disk.
use jiff::Timestamp;
use jiff::tz::TimeZone;
use rhai::{Dynamic, Engine, Map};

use crate::policy::script::clock::Clock;
use crate::policy::script::error::{AuthorError, Quoting, ScriptResult};
use crate::policy::script::run::Run;

/// Registers the functions with an engine.
pub(super) fn register(engine: &mut Engine) {
    engine
        .register_fn("now", || clock().now().as_second())
        .register_fn("now_ms", || clock().now().as_millisecond())
        .register_fn("utc", || parts(clock().now(), TimeZone::UTC))
        .register_fn("utc", |seconds: i64| -> ScriptResult<Map> {
            Ok(parts(moment(seconds)?, TimeZone::UTC))
        })
        .register_fn("time_in", |name: &str| -> ScriptResult<Map> {
            Ok(parts(clock().now(), zone(name)?))
        })
        .register_fn("time_in", |name: &str, seconds: i64| -> ScriptResult<Map> {
            Ok(parts(moment(seconds)?, zone(name)?))
        });
}

/// Returns the clock of the current call of this thread.
fn clock() -> Clock {
    Run::current(|run| run.clock).unwrap_or_default()
}

fn moment(seconds: i64) -> ScriptResult<Timestamp> {
    let too_far = || AuthorError(format!("{seconds} seconds are too far from 1970"));
    Ok(Timestamp::from_second(seconds).map_err(|_| too_far())?)
}

fn zone(name: &str) -> ScriptResult<TimeZone> {
    let unknown = || Quoting {
        message: "unknown time zone (expected a name such as `Europe/Berlin`)".to_owned(),
        quote: name.to_owned(),
    };
    Ok(TimeZone::get(name).map_err(|_| unknown())?)
}

fn parts(at: Timestamp, zone: TimeZone) -> Map {
    let at = at.to_zoned(zone);
    let number = |number: i64| Dynamic::from(number);
    let entries = [
        ("year", number(at.year().into())),
        ("month", number(at.month().into())),
        ("day", number(at.day().into())),
        ("hour", number(at.hour().into())),
        ("minute", number(at.minute().into())),
        ("second", number(at.second().into())),
        ("weekday", number(at.weekday().to_monday_one_offset().into())),
        ("date", at.strftime("%Y-%m-%d").to_string().into()),
        ("time", at.strftime("%H:%M:%S").to_string().into()),
    ];
    entries.into_iter().map(|(name, value)| (name.into(), value)).collect()
}
