//! The prices of a model, as whole pico-dollars for each token.
use std::fmt;

use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

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

/// The prices of a model for each kind of token.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Price {
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
    /// The other rates of requests with more input, the lowest threshold first.
    pub(crate) above: Vec<Above>,
}

/// The rates of a whole request whose input exceeds a threshold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Above {
    /// The threshold in tokens.
    pub(crate) tokens: u64,
    /// The rates.
    pub(crate) rates: Rates,
}

/// The rates of requests over a threshold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rates {
    /// Input that the cache has no part in.
    pub(crate) input: PicoDollars,
    /// Output, with its reasoning.
    pub(crate) output: PicoDollars,
}

impl Price {
    /// Returns the rates of a request with this much input.
    pub(crate) fn rates(&self, input: u64) -> Rates {
        let above = self.above.iter().rev().find(|above| input > above.tokens);
        above.map_or(Rates { input: self.input, output: self.output }, |above| above.rates)
    }

    /// Returns the price of a request in pico-dollars, if nothing of it is in a cache.
    pub(crate) fn of(&self, input: u64, output: u64) -> u128 {
        let rates = self.rates(input);
        u128::from(rates.input.0) * u128::from(input)
            + u128::from(rates.output.0) * u128::from(output)
    }
}

/// The keys of a price, beside those of thresholds.
const KEYS: &[&str] = &[
    "input",
    "output",
    "cache_read",
    "cache_write",
    "cache_write_1h",
    "cache_write_12h",
    "above_200k",
];

impl<'de> Deserialize<'de> for Price {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(PriceVisitor)
    }
}

struct PriceVisitor;

impl<'de> Visitor<'de> for PriceVisitor {
    type Value = Price;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Price, A::Error> {
        let (mut input, mut output) = (None, None);
        let mut price = Price::default();
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "input" => input = Some(map.next_value()?),
                "output" => output = Some(map.next_value()?),
                "cache_read" => price.cache_read = map.next_value()?,
                "cache_write" => price.cache_write = map.next_value()?,
                "cache_write_1h" => price.cache_write_1h = map.next_value()?,
                "cache_write_12h" => price.cache_write_12h = map.next_value()?,
                key => match threshold(key) {
                    Some(tokens) => price.above.push(Above { tokens, rates: map.next_value()? }),
                    None => return Err(A::Error::unknown_field(key, KEYS)),
                },
            }
        }
        price.input = input.ok_or_else(|| A::Error::missing_field("input"))?;
        price.output = output.ok_or_else(|| A::Error::missing_field("output"))?;
        price.above.sort_by_key(|above| above.tokens);
        Ok(price)
    }
}

/// Returns the tokens of `above_272k` or `above_272000`.
fn threshold(key: &str) -> Option<u64> {
    let text = key.strip_prefix("above_")?;
    match text.strip_suffix('k') {
        Some(thousands) => thousands.parse::<u64>().ok()?.checked_mul(1000),
        None => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn price(text: &str) -> Result<Price, String> {
        serde_json::from_str(text).map_err(|error| error.to_string())
    }

    #[test]
    fn prices_are_exact_in_pico_dollars() {
        let read = price(r#"{"input":0.1,"cache_read":0.0375,"output":12}"#).unwrap();
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
        assert_eq!(read.of(272_000, 1), 272_000 * 2_000_000 + 10_000_000);
        assert_eq!(read.of(272_001, 1), 272_001 * 4_000_000 + 15_000_000);
        assert_eq!(read.of(500_001, 1), 500_001 * 5_000_000 + 20_000_000);
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
        ] {
            let found = price(text).unwrap_err();
            assert!(found.contains(expected), "{text}: {found}");
        }
    }
}
