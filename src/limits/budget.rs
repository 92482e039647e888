//! The config of `budgets:`, and calendar periods.
use jiff::civil::{Date, Weekday};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan, Zoned};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::auth::WhenConfig;
use crate::auth::allowance::{Every, OwnBudget, Then, then_schema};
use crate::limits::config::Per;

/// `budgets:`, the most money that clients may spend in each calendar period.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The time zone in which periods begin, by its name in the IANA database: `Europe/Berlin`.
    pub timezone: String,
    /// The price of models without a price: dollars a million tokens, or `free`.
    #[schemars(schema_with = "unpriced_schema")]
    pub unpriced: Unpriced,
    /// The rules. A request must be within all that apply to it.
    pub rules: Vec<RuleConfig>,
}

impl Default for Config {
    fn default() -> Self {
        Self { timezone: "UTC".to_owned(), unpriced: Unpriced::default(), rules: Vec::new() }
    }
}

impl Config {
    /// Returns the time zone; UTC if there is none of this name.
    pub(crate) fn zone(&self) -> TimeZone {
        TimeZone::get(&self.timezone).unwrap_or(TimeZone::UTC)
    }
}

/// An entry of `budgets.rules`.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RuleConfig {
    /// The owner of each sum: `key`, `model` (the alias), or `tag:NAME` for a tag of the key.
    #[schemars(with = "String")]
    pub per: Per,
    /// The requests that the rule applies to; all if absent. `model` is the model that the request is sent to.
    #[serde(default)]
    pub when: WhenConfig,
    /// The US dollars of a period.
    pub usd: f64,
    /// The calendar period.
    pub every: Every,
    /// The part of the budget, from 0 to 1, at which the log and a metric warn, once a period.
    pub warn_at: Option<f64>,
    /// The end of a budget: `deny` rejects the request, `{ route: ALIAS }` sends it to another model.
    #[serde(default)]
    #[schemars(schema_with = "then_schema")]
    pub then: Then,
}

impl RuleConfig {
    /// Returns the rule of a key's own budget.
    pub(super) fn own(budget: &OwnBudget) -> Self {
        let OwnBudget { when, usd, every, warn_at, then } = budget.clone();
        Self { per: Per::Own, when, usd, every, warn_at, then }
    }
}

/// The price of tokens of models without a price.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize, Serialize)]
#[serde(untagged, expecting = "expected `free`, or a mapping with `input` and `output`")]
pub enum Unpriced {
    /// They cost nothing.
    Word(Free),
    /// They have a price.
    Priced(UnpricedRates),
}

/// `free`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Free {
    /// Tokens without a price cost nothing.
    Free,
}

/// Dollars a million tokens.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct UnpricedRates {
    /// Input, from the cache or not.
    pub input: f64,
    /// Output.
    pub output: f64,
}

impl Default for Unpriced {
    fn default() -> Self {
        Self::Priced(UnpricedRates { input: 5.0, output: 25.0 })
    }
}

impl Unpriced {
    /// Returns the price in nano-dollars of tokens without a price, of which `output` are output.
    pub(super) fn nano_dollars(self, input: u64, output: u64) -> u64 {
        let Self::Priced(rates) = self else { return 0 };
        // a dollar a million tokens is 1000 nano-dollars a token
        let of = |rate: f64, tokens: u64| u128::from(nano(rate / 1e3)) * u128::from(tokens) / 1000;
        u64::try_from(of(rates.input, input) + of(rates.output, output)).unwrap_or(u64::MAX)
    }
}

/// A period, in seconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Period {
    /// The first second.
    pub(crate) start: i64,
    /// The first second after it.
    pub(crate) end: i64,
}

impl Every {
    /// Returns the period of this kind around a time, in a zone.
    pub(crate) fn around(self, now: Timestamp, zone: &TimeZone) -> Period {
        let zoned = now.to_zoned(zone.clone());
        self.calendar(&zoned).unwrap_or_else(|_| {
            // only at the ends of the calendar
            Period { start: now.as_second(), end: now.as_second() + 3600 }
        })
    }

    fn calendar(self, now: &Zoned) -> Result<Period, jiff::Error> {
        let date = now.date();
        let (first, next) = match self {
            Self::Hour => {
                let second = i64::from(now.minute()) * 60 + i64::from(now.second());
                let start = now.timestamp().as_second() - second;
                return Ok(Period { start, end: start + 3600 });
            }
            Self::Day => (date, date.tomorrow()?),
            Self::Week => {
                let since = i64::from(date.weekday().since(Weekday::Monday));
                let first = date.checked_sub(since.days())?;
                (first, first.checked_add(7.days())?)
            }
            Self::Month => {
                let first = date.first_of_month();
                (first, first.checked_add(1.month())?)
            }
        };
        let begin = |day: Date| day.to_zoned(now.time_zone().clone());
        let [start, end] = [begin(first)?, begin(next)?].map(|day| day.timestamp().as_second());
        Ok(Period { start, end })
    }
}

fn unpriced_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"anyOf": [
        {"type": "string", "enum": ["free"]},
        {
            "type": "object",
            "properties": {"input": {"type": "number"}, "output": {"type": "number"}},
            "required": ["input", "output"],
            "additionalProperties": false,
        },
    ]})
}

/// Returns dollars as nano-dollars.
pub(super) fn nano(dollars: f64) -> u64 {
    (dollars * 1e9).round().max(0.0) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn around(every: Every, now: &str, zone: &str) -> [String; 2] {
        let zone = TimeZone::get(zone).unwrap();
        let Period { start, end } = every.around(now.parse().unwrap(), &zone);
        [start, end].map(|second| Timestamp::from_second(second).unwrap().to_string())
    }

    #[test]
    fn periods_are_those_of_the_calendar_in_the_zone() {
        for (every, now, zone, start, end) in [
            (
                Every::Hour,
                "2026-11-29T09:59:59Z",
                "UTC",
                "2026-11-29T09:00:00Z",
                "2026-11-29T10:00:00Z",
            ),
            (
                Every::Hour,
                "2026-11-29T09:10:00Z",
                "Asia/Kolkata",
                "2026-11-29T08:30:00Z",
                "2026-11-29T09:30:00Z",
            ),
            (
                Every::Day,
                "2026-11-29T23:30:00Z",
                "Europe/Berlin",
                "2026-11-29T23:00:00Z",
                "2026-11-30T23:00:00Z",
            ),
            // a day with 25 hours
            (
                Every::Day,
                "2026-10-25T12:00:00Z",
                "Europe/Berlin",
                "2026-10-24T22:00:00Z",
                "2026-10-25T23:00:00Z",
            ),
            // 2026-11-29 is a Sunday
            (
                Every::Week,
                "2026-11-29T12:00:00Z",
                "UTC",
                "2026-11-23T00:00:00Z",
                "2026-11-30T00:00:00Z",
            ),
            (
                Every::Week,
                "2026-11-30T00:00:00Z",
                "UTC",
                "2026-11-30T00:00:00Z",
                "2026-12-07T00:00:00Z",
            ),
            (
                Every::Month,
                "2026-02-28T12:00:00Z",
                "UTC",
                "2026-02-01T00:00:00Z",
                "2026-03-01T00:00:00Z",
            ),
            (
                Every::Month,
                "2026-12-31T23:59:59Z",
                "UTC",
                "2026-12-01T00:00:00Z",
                "2027-01-01T00:00:00Z",
            ),
        ] {
            assert_eq!(around(every, now, zone), [start, end], "{every} {now} {zone}");
        }
    }

    #[test]
    fn tokens_without_a_price_cost_the_rates_of_the_config() {
        assert_eq!(Unpriced::default().nano_dollars(1_000_000, 1_000_000), 30_000_000_000);
        assert_eq!(Unpriced::default().nano_dollars(1, 0), 5_000);
        assert_eq!(Unpriced::Word(Free::Free).nano_dollars(1_000_000, 1_000_000), 0);
        let cheap = Unpriced::Priced(UnpricedRates { input: 0.05, output: 0.4 });
        assert_eq!(cheap.nano_dollars(1_000_000, 1_000_000), 450_000_000);
    }
}
