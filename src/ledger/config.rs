//! `ledger:`, the place and the bounds of the ledger.
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use jiff::tz::TimeZone;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::error::Secret;
use crate::wire::duration;

/// The file in `state_dir`.
const FILE: &str = "ledger.sqlite";
const DAY: u64 = 24 * 60 * 60 * 1000;
/// The smallest SQLite file that holds every row, and some hours of small ones.
const SMALLEST: u64 = 8 << 20;

/// `ledger:`, the record of every exchange: tokens, cost, status. A text is short for its `url`.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LedgerConfig {
    /// `sqlite` (the file `ledger.sqlite` in `state_dir`), `sqlite:PATH`, `postgres://…`, or `off`.
    #[schemars(with = "String")]
    pub url: LedgerUrl,
    /// The age at which rows are deleted, such as `90d` or `36h`.
    #[serde(deserialize_with = "age", serialize_with = "age_text")]
    #[schemars(with = "String")]
    pub keep: Duration,
    /// SQLite only: the largest size of the file, such as `2GiB`. At 90 % of it the oldest rows are deleted.
    #[schemars(with = "String")]
    pub max_size: Size,
    /// The exchanges that may wait for the database. Further ones are not recorded, and counted.
    pub queue: QueueConfig,
    /// Whether `metadata.user_id` of requests is stored.
    pub user_id: bool,
    /// Whether the config names the `url`.
    #[serde(skip)]
    pub is_url_named: bool,
    /// The zone of the days into which old sums are folded: `budgets.timezone`.
    #[serde(skip)]
    pub zone: TimeZone,
}

/// `ledger.queue`.
#[derive(Debug, Clone, Copy, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct QueueConfig {
    /// The most exchanges.
    pub entries: usize,
    /// The most memory.
    #[schemars(with = "String")]
    pub bytes: Size,
}

/// A place for the ledger.
#[derive(Clone, PartialEq, Eq)]
pub enum LedgerUrl {
    /// No ledger.
    Off,
    /// A SQLite file; `None` for the one in `state_dir`.
    Sqlite(Option<PathBuf>),
    /// A PostgreSQL database. The URL may have a password.
    Postgres(Secret),
}

/// A number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

impl Default for LedgerConfig {
    fn default() -> Self {
        Self {
            url: LedgerUrl::Sqlite(None),
            keep: Duration::from_millis(90 * DAY),
            max_size: Size(2 << 30),
            queue: QueueConfig::default(),
            user_id: false,
            is_url_named: false,
            zone: TimeZone::UTC,
        }
    }
}

impl Default for QueueConfig {
    fn default() -> Self {
        Self { entries: 10_000, bytes: Size(64 << 20) }
    }
}

impl LedgerConfig {
    /// Returns each wrong value: its key below `ledger`, and a message.
    pub(super) fn problems(&self) -> Vec<(&'static str, String)> {
        let mut found = Vec::new();
        if self.keep.is_zero() {
            found.push(("keep", "must be more than 0".to_owned()));
        }
        if self.max_size.0 < SMALLEST {
            found.push(("max_size", "must be at least `8MiB`".to_owned()));
        }
        if self.queue.entries == 0 {
            found.push(("queue.entries", "must be more than 0".to_owned()));
        }
        if self.queue.bytes.0 == 0 {
            found.push(("queue.bytes", "must be more than 0".to_owned()));
        }
        found
    }

    /// Makes the path of the file absolute or relative to the working directory.
    pub(crate) fn resolve(&mut self, base_dir: &std::path::Path, state_dir: &std::path::Path) {
        if let LedgerUrl::Sqlite(path) = &mut self.url {
            *path = Some(match path.take() {
                Some(path) => base_dir.join(path),
                None => state_dir.join(FILE),
            });
        }
    }
}

impl LedgerUrl {
    /// Returns the part that may hold a password; empty if there is none.
    pub(crate) fn secret(&self) -> &str {
        match self {
            Self::Postgres(url) => url.expose(),
            Self::Off | Self::Sqlite(_) => "",
        }
    }
}

impl fmt::Debug for LedgerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("off"),
            Self::Sqlite(None) => f.write_str("sqlite"),
            Self::Sqlite(Some(path)) => write!(f, "sqlite:{}", path.display()),
            Self::Postgres(_) => f.write_str("postgres://***"),
        }
    }
}

impl Serialize for LedgerUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{self:?}"))
    }
}

impl<'de> Deserialize<'de> for LedgerUrl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let path = text.strip_prefix("sqlite:").map(|path| path.strip_prefix("//").unwrap_or(path));
        match (text.as_str(), path) {
            ("off", _) => Ok(Self::Off),
            ("sqlite", _) => Ok(Self::Sqlite(None)),
            (_, Some(path)) if !path.is_empty() => Ok(Self::Sqlite(Some(path.into()))),
            (url, _) if url.starts_with("postgres://") || url.starts_with("postgresql://") => {
                Ok(Self::Postgres(Secret::new(text)))
            }
            // the text may be a URL with a password, so it is not repeated
            _ => Err(de::Error::custom(
                "expected `sqlite`, `sqlite:PATH`, `postgres://USER@HOST/NAME` or `off`",
            )),
        }
    }
}

impl Serialize for Size {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (count, unit) = match self.0 {
            n if n > 0 && n % (1 << 30) == 0 => (n >> 30, "GiB"),
            n if n > 0 && n % (1 << 20) == 0 => (n >> 20, "MiB"),
            n if n > 0 && n % (1 << 10) == 0 => (n >> 10, "KiB"),
            n => (n, "B"),
        };
        serializer.collect_str(&format_args!("{count}{unit}"))
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        size(&text).map_err(de::Error::custom)
    }
}

/// Reads a whole number with one of the units `B`, `KiB`, `MiB`, `GiB`.
fn size(text: &str) -> Result<Size, String> {
    let wrong = || format!("`{text}` is no size: write a whole number and B, KiB, MiB or GiB");
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let count: u64 = digits.parse().map_err(|_| wrong())?;
    let unit: u64 = match &text[digits.len()..] {
        "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return Err(wrong()),
    };
    // SQLite counts in 63 bits
    let bytes = count.checked_mul(unit).filter(|bytes| i64::try_from(*bytes).is_ok());
    bytes.map(Size).ok_or_else(wrong)
}

/// Reads a duration that may also be a number of days.
fn age<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    let found = match text.strip_suffix('d').map(str::parse::<u64>) {
        Some(Ok(days)) => days.checked_mul(DAY).map(Duration::from_millis),
        Some(Err(_)) => None,
        None => duration::parse(&text).ok(),
    };
    // times in the database are milliseconds in 63 bits
    let found = found.filter(|age| age.as_millis() < 1 << 50);
    found.ok_or_else(|| {
        let message = format!("`{text}` is no duration: write a whole number and d, h, m, s or ms");
        de::Error::custom(message)
    })
}

fn age_text<S: Serializer>(age: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    match u64::try_from(age.as_millis()) {
        Ok(millis) if millis > 0 && millis % DAY == 0 => {
            serializer.collect_str(&format_args!("{}d", millis / DAY))
        }
        _ => duration::serialize(age, serializer),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(value: Value) -> Result<LedgerConfig, String> {
        serde_json::from_value(value).map_err(|e| e.to_string())
    }

    #[test]
    fn the_defaults_are_written_as_they_are_read() {
        let text = serde_json::to_value(LedgerConfig::default()).unwrap();
        let queue = json!({"entries": 10_000, "bytes": "64MiB"});
        let expected = json!({"url": "sqlite", "keep": "90d", "max_size": "2GiB", "queue": queue, "user_id": false});
        assert_eq!(text, expected);
        assert_eq!(serde_json::to_value(read(text).unwrap()).unwrap(), expected);
    }

    #[test]
    fn a_url_names_a_file_a_database_or_nothing() {
        for (text, shown) in [
            ("off", "off"),
            ("sqlite:/var/lib/l.db", "sqlite:/var/lib/l.db"),
            ("sqlite:///var/lib/l.db", "sqlite:/var/lib/l.db"),
            ("sqlite:own.db", "sqlite:own.db"),
            ("postgres://u:secret@h/db", "postgres://***"),
        ] {
            let found = read(json!({"url": text})).unwrap();
            assert_eq!(format!("{:?}", found.url), shown);
        }
        for wrong in ["", "sqlite:", "mysql://u:secret@h/db", "Off", "/var/lib/l.db"] {
            let found = read(json!({"url": wrong})).unwrap_err();
            assert!(found.starts_with("expected `sqlite`") && !found.contains("secret"), "{found}");
        }
    }

    #[test]
    fn sizes_and_ages_have_units() {
        for (key, texts) in [
            ("max_size", ["2", "-1MiB", "1.5GiB", "1GB", "99999999999GiB"]),
            ("keep", ["90", "1.5d", "-1d", "99999999999d", "d"]),
        ] {
            for text in texts {
                let found = read(json!({key: text})).unwrap_err();
                assert!(found.contains(&format!("`{text}` is no ")), "{found}");
            }
        }
        assert_eq!(read(json!({"max_size": "1536MiB"})).unwrap().max_size, Size(1536 << 20));
        assert_eq!(read(json!({"keep": "36h"})).unwrap().keep, Duration::from_secs(36 * 3600));
        let small =
            json!({"keep": "0d", "max_size": "1KiB", "queue": {"entries": 0, "bytes": "0B"}});
        let keys: Vec<_> = read(small).unwrap().problems().iter().map(|found| found.0).collect();
        assert_eq!(keys, ["keep", "max_size", "queue.entries", "queue.bytes"]);
    }
}
