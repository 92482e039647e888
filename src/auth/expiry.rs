//! The end of a key: a time, or a date.
use std::fmt;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The length of a date such as `2027-01-31`.
const DATE: usize = 10;

/// The time from which a key is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expiry(pub(crate) Timestamp);

impl Expiry {
    /// Returns whether the key has ended.
    pub(crate) fn is_over(self, now: Timestamp) -> bool {
        now >= self.0
    }

    /// Reads a time with a zone, or a date, which stands for its first moment in UTC.
    fn parse(text: &str) -> Option<Self> {
        if text.len() != DATE {
            return text.parse().ok().map(Self);
        }
        let date: Date = text.parse().ok()?;
        Some(Self(date.to_zoned(TimeZone::UTC).ok()?.timestamp()))
    }
}

impl fmt::Display for Expiry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for Expiry {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Expiry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| {
            de::Error::custom(format!(
                "expected a time with its zone such as `2027-01-31T12:00:00Z`, or a date such as `2027-01-31`, found `{text}`"
            ))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Expiry, String> {
        serde_json::from_value(text.into()).map_err(|e| e.to_string())
    }

    #[test]
    fn a_time_with_a_zone_and_a_date_are_read() {
        for (text, shown) in [
            ("2027-01-31T12:00:00Z", "2027-01-31T12:00:00Z"),
            ("2027-01-31T12:00:00+02:00", "2027-01-31T10:00:00Z"),
            ("2027-01-31T12:00:00.25Z", "2027-01-31T12:00:00.25Z"),
            ("2027-01-31", "2027-01-31T00:00:00Z"),
        ] {
            assert_eq!(read(text).unwrap().to_string(), shown);
        }
        for wrong in ["", "soon", "2027-02-30", "2027-01-31T12:00:00", "31.01.2027", "1801396800"] {
            let found = read(wrong).unwrap_err();
            assert!(found.contains("2027-01-31T12:00:00Z"), "{wrong}: {found}");
        }
    }

    #[test]
    fn a_key_ends_at_the_moment_itself() {
        let end = read("2027-01-31").unwrap();
        assert!(!end.is_over("2027-01-30T23:59:59.999999999Z".parse().unwrap()));
        assert!(end.is_over("2027-01-31T00:00:00Z".parse().unwrap()));
    }
}
