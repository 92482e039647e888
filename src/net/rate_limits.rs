//! Rate-limit headers of other APIs in the Messages API's form.
use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderName, HeaderValue};

/// The beginning of the names that servers use.
const PREFIX: &str = "x-ratelimit-";
/// Numbers above this are times in seconds since 1970, smaller ones are waits.
const FIRST_TIME: f64 = 1_000_000_000.0;

/// Returns `anthropic-ratelimit-*` for the limits that an upstream reports as `x-ratelimit-*`. A limit without
/// all of its three numbers is left out.
pub(crate) fn translated(upstream: &HeaderMap) -> Vec<(HeaderName, HeaderValue)> {
    if !upstream.keys().any(|name| name.as_str().starts_with(PREFIX)) {
        return Vec::new();
    }
    let text = |part: &str, unit: &str| {
        let name = format!("{PREFIX}{part}-{unit}");
        upstream.get(name).and_then(|value| value.to_str().ok()).map(str::trim)
    };
    let mut found = Vec::new();
    for unit in ["requests", "tokens"] {
        let limit = text("limit", unit).and_then(count);
        let remaining = text("remaining", unit).and_then(count);
        let reset = text("reset", unit).and_then(|text| reset(text, SystemTime::now()));
        if let (Some(limit), Some(remaining), Some(reset)) = (limit, remaining, reset) {
            let parts = [("limit", limit), ("remaining", remaining), ("reset", reset)];
            found.extend(parts.into_iter().filter_map(|(part, text)| {
                let name = format!("anthropic-ratelimit-{unit}-{part}").parse().ok()?;
                Some((name, HeaderValue::try_from(text).ok()?))
            }));
        }
    }
    found
}

/// Removes the limits of an upstream's account from an answer. Those of its priority tier stay.
pub(crate) fn remove(headers: &mut HeaderMap) {
    let is_limit = |name: &&HeaderName| name.as_str().starts_with("anthropic-ratelimit-");
    let names: Vec<HeaderName> = headers.keys().filter(is_limit).cloned().collect();
    for name in names {
        headers.remove(name);
    }
}

/// Returns the wait until the first limit that is used up is reset; `None` if the upstream reports none.
pub(crate) fn wait(upstream: &HeaderMap) -> Option<Duration> {
    let text = |part: &str, unit: &str| {
        upstream.get(format!("{PREFIX}{part}-{unit}"))?.to_str().ok().map(str::trim)
    };
    let now = SystemTime::now();
    let until = |unit| time_of(text("reset", unit)?, now)?.duration_since(now).ok();
    let waits = || ["requests", "tokens"].into_iter().filter_map(|unit| Some((unit, until(unit)?)));
    let is_used_up = |unit: &str| {
        text("remaining", unit).and_then(count).is_some_and(|remaining| remaining == "0")
    };
    let used_up = waits().filter(|(unit, _)| is_used_up(unit)).map(|(_, wait)| wait).max();
    used_up.or_else(|| waits().map(|(_, wait)| wait).filter(|wait| !wait.is_zero()).min())
}

/// Returns a number of requests or tokens; some servers count below zero.
fn count(text: &str) -> Option<String> {
    let number: f64 = text.parse().ok()?;
    number.is_finite().then(|| format!("{:.0}", number.max(0.0)))
}

/// Returns a reset as RFC 3339.
fn reset(text: &str, now: SystemTime) -> Option<String> {
    let time = jiff::Timestamp::try_from(time_of(text, now)?).ok()?;
    Some(time.round(jiff::Unit::Second).ok()?.to_string())
}

/// Returns the time of a reset: a duration such as `6m0s`, a number of seconds, or a time.
fn time_of(text: &str, now: SystemTime) -> Option<SystemTime> {
    match text.parse::<f64>() {
        // milliseconds since 1970
        Ok(number) if number > FIRST_TIME * 1000.0 => at(number / 1000.0),
        Ok(number) if number > FIRST_TIME => at(number),
        Ok(number) => now.checked_add(Duration::try_from_secs_f64(number.max(0.0)).ok()?),
        Err(_) => match duration(text) {
            Some(wait) => now.checked_add(wait),
            None => text.parse::<jiff::Timestamp>().ok().map(SystemTime::from),
        },
    }
}

fn at(seconds: f64) -> Option<SystemTime> {
    SystemTime::UNIX_EPOCH.checked_add(Duration::try_from_secs_f64(seconds).ok()?)
}

/// Reads a duration as Go writes it: `1h2m`, `2m52.8s`, `547ms`.
fn duration(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut total = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let units = [
            ("ms", 0.001),
            ("us", 1e-6),
            ("µs", 1e-6),
            ("ns", 1e-9),
            ("h", 3600.0),
            ("m", 60.0),
            ("s", 1.0),
            ("d", 86400.0),
        ];
        let (unit, factor) = units.into_iter().find(|(unit, _)| rest.starts_with(unit))?;
        total += number * factor;
        rest = &rest[unit.len()..];
    }
    Duration::try_from_secs_f64(total).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(list: &[(&str, &str)]) -> HeaderMap {
        let named = |(name, value): &(&str, &str)| {
            (name.parse::<HeaderName>().unwrap(), value.parse::<HeaderValue>().unwrap())
        };
        list.iter().map(named).collect()
    }

    #[test]
    fn a_limit_needs_its_three_numbers() {
        let two =
            headers(&[("x-ratelimit-limit-tokens", "100"), ("x-ratelimit-remaining-tokens", "5")]);
        assert_eq!(translated(&two), []);
        let all = headers(&[
            ("x-ratelimit-limit-requests", "60"),
            ("x-ratelimit-remaining-requests", "-3"),
            ("x-ratelimit-reset-requests", "2026-11-28T10:00:00Z"),
        ]);
        let found = translated(&all);
        let of = |name: &str| found.iter().find(|(n, _)| n == name).unwrap().1.clone();
        assert_eq!(of("anthropic-ratelimit-requests-remaining"), "0");
        assert_eq!(of("anthropic-ratelimit-requests-reset"), "2026-11-28T10:00:00Z");
    }

    #[test]
    fn the_wait_is_that_of_the_limit_that_is_used_up() {
        let both = [
            ("x-ratelimit-remaining-requests", "5"),
            ("x-ratelimit-reset-requests", "2s"),
            ("x-ratelimit-remaining-tokens", "0"),
            ("x-ratelimit-reset-tokens", "1m"),
        ];
        let seconds =
            |list: &[(&str, &str)]| wait(&headers(list)).map(|wait| wait.as_secs_f64().ceil());
        assert_eq!(seconds(&both), Some(60.0));
        // nothing says which limit it was: the first reset
        assert_eq!(seconds(&[both[1], both[3]]), Some(2.0));
        assert_eq!(seconds(&[both[0]]), None);
    }

    #[test]
    fn a_reset_is_a_duration_a_number_or_a_time() {
        let now = at(1_796_000_000.0).unwrap();
        let expected = |more: i64| {
            let time = jiff::Timestamp::from_second(1_796_000_000 + more).unwrap().to_string();
            Some(time)
        };
        for (text, more) in [
            ("6m0s", 360),
            ("1h2m", 3720),
            ("547ms", 1),
            ("30", 30),
            ("1796000009", 9),
            ("1796000009000", 9),
        ] {
            assert_eq!(reset(text, now), expected(more), "{text}");
        }
        assert_eq!(reset("soon", now), None);
    }
}
