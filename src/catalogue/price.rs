//! The prices of a model, as whole pico-dollars for each token, with the days from which they hold.
use std::fmt;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::de::{Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::catalogue::words::Day;

/// Pico-dollars (a millionth of a millionth of a dollar) for one token. A dollar for a million tokens is a million of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct PicoDollars(pub(crate) u64);

impl PicoDollars {
    /// Returns the price as dollars for a million tokens, such as `0.25`.
    pub(crate) fn per_million(self) -> String {
        let (whole, rest) = (self.0 / 1_000_000, self.0 % 1_000_000);
        let rest = format!("{rest:06}");
        match rest.trim_end_matches('0') {
            "" => whole.to_string(),
            rest => format!("{whole}.{rest}"),
        }
    }
}

impl<'de> Deserialize<'de> for PicoDollars {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let dollars = f64::deserialize(deserializer)?;
        let pico = (dollars * 1e6).round();
        if !(0.0..=1e15).contains(&pico) {
            let message = format!("expected dollars for a million tokens, found {dollars}");
            return Err(D::Error::custom(message));
        }
        if (dollars * 1e6 - pico).abs() > 1e-3 {
            let message = format!("expected at most 6 decimals, found {dollars}");
            return Err(D::Error::custom(message));
        }
        Ok(Self(pico as u64))
    }
}

/// The prices of a model over time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Price {
    /// The latest one first; the last one has no `from`, or holds since then only.
    periods: Vec<Period>,
}

/// The prices of a model from a day on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Period {
    /// The first day, in UTC; `None` since ever.
    pub(crate) from: Option<Date>,
    /// The rates of a request below every threshold.
    pub(crate) rates: Rates,
    /// The other rates of requests with more input, the lowest threshold first.
    pub(crate) above: Vec<Above>,
}

/// The rates of a whole request whose prompt reaches a threshold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Above {
    /// The threshold in tokens of the whole prompt.
    pub(crate) tokens: u64,
    /// Whether a prompt of exactly this length has these rates too.
    pub(crate) reached: Reached,
    /// The rates.
    pub(crate) rates: Rates,
}

/// The comparison with a threshold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reached {
    /// `above_200k`: more tokens.
    Above,
    /// `from_200k`: as many tokens, or more.
    From,
}

/// The price of each kind of token.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Rates {
    /// Input that the cache has no part in.
    pub(crate) input: PicoDollars,
    /// Output, with its reasoning.
    pub(crate) output: PicoDollars,
    /// Input that is read from the cache.
    pub(crate) cache_read: Option<PicoDollars>,
    /// Input that is written to the cache for minutes.
    pub(crate) cache_write: Option<PicoDollars>,
    /// Input that is written to the cache for an hour.
    pub(crate) cache_write_1h: Option<PicoDollars>,
    /// Input that is written to the cache for twelve hours.
    pub(crate) cache_write_12h: Option<PicoDollars>,
}

/// Returns the current day in UTC.
pub(crate) fn today() -> Date {
    jiff::Timestamp::now().to_zoned(TimeZone::UTC).date()
}

impl Price {
    /// Returns the prices on a day; `None` before the first one.
    pub(crate) fn on(&self, day: Date) -> Option<&Period> {
        self.periods.iter().find(|period| period.from.is_none_or(|from| from <= day))
    }

    /// Returns whether writes to the cache ever had a price of their own.
    pub(crate) fn has_cache_writes(&self) -> bool {
        self.periods.iter().any(|period| period.rates.cache_write.is_some())
    }
}

impl Period {
    /// Returns the rates of a request with a prompt of this length. The length has all input, from the cache or not.
    pub(crate) fn rates(&self, prompt: u64) -> Rates {
        let is_reached = |above: &&Above| match above.reached {
            Reached::Above => prompt > above.tokens,
            Reached::From => prompt >= above.tokens,
        };
        let above = self.above.iter().rev().find(is_reached);
        above.map_or(self.rates, |above| above.rates)
    }

    /// Returns the price of a request in pico-dollars, if nothing of it is in a cache.
    pub(crate) fn of(&self, input: u64, output: u64) -> u128 {
        let rates = self.rates(input);
        u128::from(rates.input.0) * u128::from(input)
            + u128::from(rates.output.0) * u128::from(output)
    }
}

impl Rates {
    /// Returns the rate of reads from the cache: that of input, unless the table has another.
    pub(crate) fn read(&self) -> PicoDollars {
        self.cache_read.unwrap_or(self.input)
    }

    /// Returns the rate of writes for minutes: that of input, unless the table has another.
    pub(crate) fn write(&self) -> PicoDollars {
        self.cache_write.unwrap_or(self.input)
    }

    /// Returns the rate of writes for an hour: that of shorter writes, unless the table has another.
    pub(crate) fn write_1h(&self) -> PicoDollars {
        self.cache_write_1h.unwrap_or_else(|| self.write())
    }

    /// Adds the rates of the cache that a threshold leaves out: they grow as the rate of input does.
    fn completed(self, base: &Self) -> Self {
        let grown = |own: Option<PicoDollars>, base_rate: Option<PicoDollars>, base: &Self| {
            own.or_else(|| base_rate.and_then(|rate| scaled(rate, self.input, base.input)))
        };
        Self {
            cache_read: grown(self.cache_read, base.cache_read, base),
            cache_write: grown(self.cache_write, base.cache_write, base),
            cache_write_1h: grown(self.cache_write_1h, base.cache_write_1h, base),
            cache_write_12h: grown(self.cache_write_12h, base.cache_write_12h, base),
            ..self
        }
    }
}

/// Returns `rate * new / old`; `None` if input is free.
fn scaled(rate: PicoDollars, new: PicoDollars, old: PicoDollars) -> Option<PicoDollars> {
    let scaled = u128::from(rate.0) * u128::from(new.0) / u128::from(old.0).max(1);
    u64::try_from(scaled).ok().filter(|_| old.0 > 0).map(PicoDollars)
}

/// The keys of a price, beside those of thresholds.
const KEYS: &[&str] = &[
    "from",
    "input",
    "output",
    "cache_read",
    "cache_write",
    "cache_write_1h",
    "cache_write_12h",
    "above_200k",
    "from_200k",
];

impl<'de> Deserialize<'de> for Price {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PriceVisitor)
    }
}

struct PriceVisitor;

impl<'de> Visitor<'de> for PriceVisitor {
    type Value = Price;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map of rates, or a list of them with `from`")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Price, A::Error> {
        Ok(Price { periods: vec![PeriodVisitor.visit_map(map)?] })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Price, A::Error> {
        let mut periods: Vec<Period> = Vec::new();
        while let Some(period) = seq.next_element::<Period>()? {
            if let Some(other) = periods.iter().find(|other| other.from == period.from) {
                let message = match other.from {
                    Some(day) => format!("expected each `from` once, found `{day}` twice"),
                    None => "expected at most one price without `from`, found two".to_owned(),
                };
                return Err(A::Error::custom(message));
            }
            periods.push(period);
        }
        if periods.is_empty() {
            return Err(A::Error::custom("expected at least one price, found an empty list"));
        }
        periods.sort_by_key(|period| std::cmp::Reverse(period.from));
        Ok(Price { periods })
    }
}

impl<'de> Deserialize<'de> for Period {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(PeriodVisitor)
    }
}

struct PeriodVisitor;

impl<'de> Visitor<'de> for PeriodVisitor {
    type Value = Period;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map of rates")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Period, A::Error> {
        let mut draft = Draft::default();
        let (mut from, mut above) = (None, Vec::new());
        while let Some(key) = map.next_key::<String>()? {
            match (key.as_str(), threshold(&key)) {
                ("from", _) => from = Some(map.next_value::<Day>()?.0),
                (_, Some((reached, tokens))) => above.push((reached, tokens, map.next_value()?)),
                (key, None) => {
                    let rate = draft.rate(key)?;
                    *rate = map.next_value()?;
                }
            }
        }
        let rates = draft.rates()?;
        let complete = |(reached, tokens, OtherRates(other))| Above {
            tokens,
            reached,
            rates: other.completed(&rates),
        };
        let mut above: Vec<Above> = above.into_iter().map(complete).collect();
        above.sort_by_key(|above| above.tokens);
        Ok(Period { from, rates, above })
    }
}

/// The rates of requests over a threshold, as a file has them.
struct OtherRates(Rates);

impl<'de> Deserialize<'de> for OtherRates {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(OtherVisitor)
    }
}

struct OtherVisitor;

impl<'de> Visitor<'de> for OtherVisitor {
    type Value = OtherRates;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map of rates")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<OtherRates, A::Error> {
        let mut draft = Draft::default();
        while let Some(key) = map.next_key::<String>()? {
            let rate = draft.rate(&key)?;
            *rate = map.next_value()?;
        }
        draft.rates().map(OtherRates)
    }
}

/// Rates that are being read.
#[derive(Default)]
struct Draft([Option<PicoDollars>; 6]);

impl Draft {
    fn rate<E: Error>(&mut self, key: &str) -> Result<&mut Option<PicoDollars>, E> {
        let names = KEYS[1..7].iter();
        let at = names.zip(&mut self.0).find(|(name, _)| **name == key);
        at.map(|(_, rate)| rate).ok_or_else(|| E::unknown_field(key, KEYS))
    }

    fn rates<E: Error>(self) -> Result<Rates, E> {
        let [input, output, cache_read, cache_write, cache_write_1h, cache_write_12h] = self.0;
        let input = input.ok_or_else(|| E::missing_field("input"))?;
        let output = output.ok_or_else(|| E::missing_field("output"))?;
        Ok(Rates { input, output, cache_read, cache_write, cache_write_1h, cache_write_12h })
    }
}

/// Returns the tokens of `above_272k`, `above_272000` or `from_200k`.
fn threshold(key: &str) -> Option<(Reached, u64)> {
    let above = key.strip_prefix("above_").map(|text| (Reached::Above, text));
    let (reached, text) = above.or_else(|| Some((Reached::From, key.strip_prefix("from_")?)))?;
    let tokens = match text.strip_suffix('k') {
        Some(thousands) => thousands.parse::<u64>().ok()?.checked_mul(1000)?,
        None => text.parse().ok()?,
    };
    Some((reached, tokens))
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    fn price(text: &str) -> Result<Price, String> {
        serde_json::from_str(text).map_err(|error| error.to_string())
    }

    #[test]
    fn prices_are_exact_in_pico_dollars() {
        let read = price(r#"{"input":0.1,"cache_read":0.0375,"output":12}"#).unwrap();
        let read = read.on(date(2026, 1, 1)).unwrap().rates;
        assert_eq!((read.input.0, read.output.0), (100_000, 12_000_000));
        assert_eq!(read.cache_read, Some(PicoDollars(37_500)));
        assert_eq!(read.cache_write, None);
        for (pico, shown) in [(100_000, "0.1"), (37_500, "0.0375"), (12_000_000, "12"), (0, "0")] {
            assert_eq!(PicoDollars(pico).per_million(), shown);
        }
    }

    #[test]
    fn more_input_than_a_threshold_changes_the_rates_of_the_whole_request() {
        let text = r#"{"input":2,"output":10,"above_272k":{"input":4,"output":15},"above_500000":{"input":5,"output":20}}"#;
        let read = price(text).unwrap();
        let read = read.on(date(2026, 1, 1)).unwrap();
        assert_eq!(read.of(272_000, 1), 272_000 * 2_000_000 + 10_000_000);
        assert_eq!(read.of(272_001, 1), 272_001 * 4_000_000 + 15_000_000);
        assert_eq!(read.of(500_001, 1), 500_001 * 5_000_000 + 20_000_000);
    }

    #[test]
    fn a_threshold_that_begins_with_from_includes_its_own_length() {
        let text = r#"{"input":2,"output":10,"from_200k":{"input":4,"output":15}}"#;
        let read = price(text).unwrap();
        let read = read.on(date(2026, 1, 1)).unwrap();
        assert_eq!(read.of(199_999, 0), 199_999 * 2_000_000);
        assert_eq!(read.of(200_000, 0), 200_000 * 4_000_000);
    }

    #[test]
    fn the_rates_of_the_cache_grow_with_input_over_a_threshold_unless_they_are_given() {
        let text = r#"{"input":2,"cache_read":0.1,"cache_write":2.5,"output":10,
            "above_272k":{"input":4,"output":15},
            "above_500k":{"input":4,"output":15,"cache_read":0.3}}"#;
        let read = price(text).unwrap();
        let read = read.on(date(2026, 1, 1)).unwrap();
        let rates = read.rates(300_000);
        assert_eq!((rates.read().0, rates.write().0), (200_000, 5_000_000));
        assert_eq!(read.rates(600_000).read().0, 300_000);
    }

    #[test]
    fn a_price_holds_from_its_day_on() {
        let text = r#"[{"input":2,"output":10,"cache_read":0.2},
            {"from":"2026-10-07","input":2,"output":10,"cache_read":0.1}]"#;
        let read = price(text).unwrap();
        let reads = |day| read.on(day).unwrap().rates.read().0;
        assert_eq!(reads(date(2026, 10, 6)), 200_000);
        assert_eq!(reads(date(2026, 10, 7)), 100_000);
        let later = price(r#"{"from":"2026-10-07","input":2,"output":10}"#).unwrap();
        assert_eq!(later.on(date(2026, 10, 6)), None);
    }

    #[test]
    fn a_kind_without_a_rate_of_its_own_has_the_rate_of_input() {
        let read = price(r#"{"input":2,"output":10}"#).unwrap();
        let rates = read.on(date(2026, 1, 1)).unwrap().rates;
        assert_eq!(
            (rates.read(), rates.write(), rates.write_1h()),
            (rates.input, rates.input, rates.input)
        );
        let read = price(r#"{"input":0,"output":0}"#).unwrap();
        assert_eq!(read.on(date(2026, 1, 1)).unwrap().of(1_000_000, 1_000_000), 0);
    }

    #[test]
    fn a_wrong_price_is_an_error() {
        for (text, expected) in [
            (r#"{"input":-1,"output":1}"#, "expected dollars for a million tokens, found -1"),
            (r#"{"input":0.0000001,"output":1}"#, "expected at most 6 decimals, found 0.0000001"),
            (r#"{"input":1}"#, "missing field `output`"),
            (r#"{"input":1,"output":1,"above_k":{}}"#, "unknown field `above_k`"),
            (
                r#"{"input":1,"output":1,"above_2k":{"input":1,"outputs":1}}"#,
                "unknown field `outputs`",
            ),
            ("[]", "expected at least one price, found an empty list"),
            (
                r#"[{"input":1,"output":1},{"input":2,"output":1}]"#,
                "expected at most one price without `from`, found two",
            ),
            (r#"{"from":"soon","input":1,"output":1}"#, "expected a day such as `2027-04-01`"),
        ] {
            let found = price(text).unwrap_err();
            assert!(found.contains(expected), "{text}: {found}");
        }
    }
}
