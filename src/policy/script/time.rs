//! The time: `now`, `now_ms`, `utc`, `time_in`. The zones come with the program, not from the disk.
use std::time::{SystemTime, UNIX_EPOCH};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use rhai::{Dynamic, Engine, Map};

use crate::policy::script::error::{Answer, Quoting, Told};

/// Makes an engine know them.
pub(super) fn register(engine: &mut Engine) {
    engine
        .register_fn("now", || now_ms() / 1000)
        .register_fn("now_ms", now_ms)
        .register_fn("utc", || parts(Timestamp::now(), TimeZone::UTC))
        .register_fn("utc", |seconds: i64| -> Answer<Map> {
            Ok(parts(moment(seconds)?, TimeZone::UTC))
        })
        .register_fn("time_in", |name: &str| -> Answer<Map> {
            Ok(parts(Timestamp::now(), zone(name)?))
        })
        .register_fn("time_in", |name: &str, seconds: i64| -> Answer<Map> {
            Ok(parts(moment(seconds)?, zone(name)?))
        });
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

fn moment(seconds: i64) -> Answer<Timestamp> {
    let told = || Told(format!("{seconds} seconds are too far from 1970"));
    Ok(Timestamp::from_second(seconds).map_err(|_| told())?)
}

fn zone(name: &str) -> Answer<TimeZone> {
    let unknown = || Quoting {
        message: "no time zone has that name: write one as `Europe/Berlin`".to_owned(),
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
