//! Sums of the ledger by key, model, target, tag or day, for a range of days in a named zone.
use std::collections::BTreeMap;
use std::str::FromStr;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use sqlx::{AssertSqlSafe, Connection, Database, Executor, FromRow, IntoArguments};

use crate::error::Problem;
use crate::ledger::config::LedgerUrl;
use crate::ledger::day;
use crate::ledger::row::Tokens;
use crate::ledger::schema::{self, Dialect};
use crate::ledger::{postgres, sqlite};

/// The property that the lines of a report have in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum By {
    /// The client's key.
    Key,
    /// The model's name that was looked up in the config.
    Model,
    /// `provider/model` of the last attempt.
    Target,
    /// The day in the zone.
    Day,
    /// Every tag with its value; exchanges with several tags are in several lines.
    Tags,
    /// The values of one tag.
    Tag(String),
}

/// The words for a property.
const PROPERTIES: &str = "`key`, `model`, `target`, `day`, `tag` or `tag:NAME`";

impl FromStr for By {
    type Err = String;

    /// Reads a property by its word. The error says which words there are.
    fn from_str(text: &str) -> Result<Self, String> {
        match (text, text.strip_prefix("tag:")) {
            ("key", _) => Ok(Self::Key),
            ("model", _) => Ok(Self::Model),
            ("target", _) => Ok(Self::Target),
            ("day", _) => Ok(Self::Day),
            ("tag", _) => Ok(Self::Tags),
            (_, Some(name)) if !name.is_empty() => Ok(Self::Tag(name.to_owned())),
            _ => Err(format!("expected {PROPERTIES}")),
        }
    }
}

/// Reads a day. The error says how one is written.
pub(crate) fn day(text: &str) -> Result<Date, String> {
    // the parser would also read the day of a longer text, such as one with a time
    let is_day = text.len() == "2026-11-29".len();
    let parsed = text.parse().ok().filter(|_| is_day);
    parsed.ok_or_else(|| "expected a day such as `2026-11-29`".to_owned())
}

/// A time from one moment to before another one, in milliseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    /// The first moment.
    pub(crate) from: i64,
    /// The first later moment.
    pub(crate) to: i64,
}

/// A range of days, both included.
#[derive(Debug, Clone)]
pub(crate) struct Range {
    /// The first day.
    pub(crate) from: Option<Date>,
    /// The last day.
    pub(crate) to: Option<Date>,
    /// The zone in which days begin.
    pub(crate) zone: TimeZone,
}

/// The lines and their sum.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Report {
    /// The lines: days in their order, others by their cost.
    pub(crate) lines: Vec<Line>,
    /// The sum over all exchanges, each counted once.
    pub(crate) total: Sums,
}

/// A line of a report.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Line {
    /// The key, model, target, day, or the tag's name.
    pub(crate) name: String,
    /// The tag's value.
    pub(crate) value: String,
    /// The sums.
    pub(crate) sums: Sums,
}

/// Sums over exchanges.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Sums {
    /// The number of exchanges.
    pub(crate) requests: i64,
    /// The tokens.
    pub(crate) tokens: Tokens,
    /// The cost in nano-dollars.
    pub(crate) cost_nano: i64,
    /// The number of exchanges whose cost is not known, or is only a part.
    pub(crate) unpriced: i64,
    /// The number of these tokens.
    pub(crate) unpriced_tokens: i64,
}

impl Sums {
    fn add(&mut self, other: Self) {
        self.requests = self.requests.saturating_add(other.requests);
        self.tokens = self.tokens.plus(other.tokens);
        self.cost_nano = self.cost_nano.saturating_add(other.cost_nano);
        self.unpriced = self.unpriced.saturating_add(other.unpriced);
        self.unpriced_tokens = self.unpriced_tokens.saturating_add(other.unpriced_tokens);
    }
}

/// The names of the sums, which are columns of `quarter`, in the order of the output.
pub(crate) const SUMS: [&str; 9] = [
    "requests",
    "uncached",
    "write_5m",
    "write_1h",
    "read",
    "output",
    "cost_nano",
    "unpriced",
    "unpriced_tokens",
];

/// Time, name, value, and the fields of [`Sums`].
pub(super) type Found = (i64, String, String, i64, i64, i64, i64, i64, i64, i64, i64, i64);

impl Range {
    /// Returns the time of these days.
    ///
    /// Fails if a day is out of the calendar.
    pub(super) fn span(&self) -> Result<Span, jiff::Error> {
        let from = self.from.map(|first| day::begin(first, &self.zone)).transpose()?.unwrap_or(0);
        let to = match self.to {
            Some(last) => day::begin(last.tomorrow()?, &self.zone)?,
            // the last moment of the calendar, for both databases
            None => Timestamp::MAX.as_millisecond(),
        };
        // nothing is older, and PostgreSQL's own calendar begins later than this one
        Ok(Span { from: from.max(0), to: to.max(0) })
    }
}

/// Reads a report from the ledger, which a gateway may be writing to.
///
/// Fails if there is no ledger, or if it cannot be read.
pub(crate) async fn report(url: &LedgerUrl, by: &By, range: &Range) -> Result<Report, Problem> {
    let span = range.span().map_err(|e| Problem::new("", format!("the range of days: {e}")))?;
    let unread =
        |e: sqlx::Error| Problem::new("ledger.url", format!("{url:?} cannot be read: {e}"));
    let (lines, total) = match url {
        LedgerUrl::Off | LedgerUrl::Sqlite(None) => {
            return Err(Problem::new("ledger.url", "the ledger is `off`: nothing is recorded"));
        }
        LedgerUrl::Sqlite(Some(path)) => {
            if !path.exists() {
                let message = format!("{}: no gateway has written a ledger yet", path.display());
                return Err(Problem::new("ledger.url", message));
            }
            let mut connection = sqlite::reader(path).await.map_err(unread)?;
            read(&mut connection, Dialect::Sqlite, by, span).await.map_err(unread)?
        }
        LedgerUrl::Postgres(url) => {
            let mut connection = postgres::reader(url.expose(), postgres::READING).await?;
            read(&mut connection, Dialect::Postgres, by, span).await.map_err(unread)?
        }
    };
    Ok(collected(by, range, lines, total))
}

/// Adds quarters of an hour up to days, orders the lines, and sums them up.
pub(super) fn collected(by: &By, range: &Range, found: Vec<Found>, total: Option<Found>) -> Report {
    let mut lines: BTreeMap<[String; 2], Sums> = BTreeMap::new();
    let mut sum = Sums::default();
    for found in found {
        let sums = sums(&found);
        let (at, name, value, ..) = found;
        let name = if *by == By::Day { day::of(at, &range.zone).to_string() } else { name };
        lines.entry([name, value]).or_default().add(sums);
        sum.add(sums);
    }
    let lines = lines.into_iter().map(|([name, value], sums)| Line { name, value, sums });
    let mut lines: Vec<Line> = lines.collect();
    if *by != By::Day {
        // the sort keeps the order of names
        lines.sort_by_key(|line| std::cmp::Reverse((line.sums.cost_nano, line.sums.requests)));
    }
    Report { lines, total: total.as_ref().map_or(sum, sums) }
}

fn sums(found: &Found) -> Sums {
    let &(
        _,
        _,
        _,
        requests,
        uncached,
        write_5m,
        write_1h,
        read,
        output,
        cost_nano,
        unpriced,
        tokens,
    ) = found;
    Sums {
        requests,
        tokens: Tokens { uncached, write_5m, write_1h, read, output },
        cost_nano,
        unpriced,
        unpriced_tokens: tokens,
    }
}

/// Returns the lines, and the total if it is not their sum.
async fn read<C, D>(
    connection: &mut C,
    dialect: Dialect,
    by: &By,
    Span { from, to }: Span,
) -> Result<(Vec<Found>, Option<Found>), sqlx::Error>
where
    C: Connection<Database = D>,
    D: Database,
    for<'c> &'c mut D::Connection: Executor<'c, Database = D>,
    D::Arguments: IntoArguments<D>,
    for<'r> Found: FromRow<'r, D::Row>,
    i64: sqlx::Type<D> + for<'q> sqlx::Encode<'q, D>,
    String: sqlx::Type<D> + for<'q> sqlx::Encode<'q, D>,
    Option<String>: sqlx::Type<D> + for<'q> sqlx::Encode<'q, D>,
{
    let tag = match by {
        By::Tag(tag) => Some(tag.clone()),
        _ => None,
    };
    // both statements see the same moment
    let mut transaction = connection.begin_with(dialect.begin_reading()).await?;
    let lines = sqlx::query_as::<D, Found>(AssertSqlSafe(select(dialect, by)));
    let lines = match by {
        By::Tag(_) => lines.bind(from).bind(to).bind(tag),
        _ => lines.bind(from).bind(to),
    };
    let lines = lines.fetch_all(&mut *transaction).await?;
    let total = match by {
        By::Tags | By::Tag(_) => {
            let total = sqlx::query_as::<D, Found>(AssertSqlSafe(select_total(dialect)));
            Some(total.bind(from).bind(to).fetch_one(&mut *transaction).await?)
        }
        _ => None,
    };
    transaction.rollback().await?;
    Ok((lines, total))
}

pub(super) fn select(dialect: Dialect, by: &By) -> String {
    let quarters = |name: &str| {
        let sums = SUMS.map(whole).join(", ");
        let within = within(dialect, "at");
        format!("SELECT {ZERO}, {name}, '', {sums} FROM quarter WHERE {within} GROUP BY {name}")
    };
    match by {
        By::Key => quarters("key"),
        By::Model => quarters("model"),
        By::Target => quarters("target"),
        By::Day => {
            let at = match dialect {
                Dialect::Sqlite => "at",
                Dialect::Postgres => "CAST(extract(epoch FROM at) * 1000 AS BIGINT)",
            };
            let sums = SUMS.map(whole).join(", ");
            let within = within(dialect, "at");
            format!("SELECT {at}, '', '', {sums} FROM quarter WHERE {within} GROUP BY at")
        }
        By::Tags | By::Tag(_) => {
            let [.., third] = arguments(dialect);
            let named = match by {
                By::Tag(_) => format!(" AND tag.tag = {third}"),
                _ => String::new(),
            };
            let sums = of_exchanges().join(", ");
            let [from, to, _] = arguments(dialect);
            let within = schema::began_within(dialect, from, to);
            format!(
                "SELECT {ZERO}, coalesce(tag.tag, ''), coalesce(tag.value, ''), {sums} FROM exchange \
                 LEFT JOIN tag ON tag.exchange = exchange.id{named} WHERE {within} \
                 GROUP BY coalesce(tag.tag, ''), coalesce(tag.value, '')"
            )
        }
    }
}

/// The sums of all exchanges.
pub(super) fn select_total(dialect: Dialect) -> String {
    let [from, to, _] = arguments(dialect);
    let (sums, within) = (of_exchanges().join(", "), schema::began_within(dialect, from, to));
    format!("SELECT {ZERO}, '', '', {sums} FROM exchange WHERE {within}")
}

/// The sums of all quarters of an hour.
pub(super) fn select_sum(dialect: Dialect) -> String {
    let (sums, within) = (SUMS.map(whole).join(", "), within(dialect, "at"));
    format!("SELECT {ZERO}, '', '', {sums} FROM quarter WHERE {within}")
}

const ZERO: &str = "CAST(0 AS BIGINT)";
/// Returns the sums of [`SUMS`] over rows of `exchange`.
fn of_exchanges() -> [String; 9] {
    SUMS.map(|sum| match sum {
        "requests" => whole("1"),
        "unpriced" => {
            whole("CASE WHEN unpriced_tokens > 0 OR cost_state = 'unmetered' THEN 1 ELSE 0 END")
        }
        column => whole(column),
    })
}

/// Returns a sum as a whole number: PostgreSQL's own is a decimal one.
pub(super) fn whole(term: &str) -> String {
    format!("CAST(coalesce(sum({term}), 0) AS BIGINT)")
}

pub(super) fn within(dialect: Dialect, at: &str) -> String {
    let [from, to, _] = arguments(dialect);
    match dialect {
        Dialect::Sqlite => format!("{at} >= {from} AND {at} < {to}"),
        Dialect::Postgres => {
            format!("{at} >= to_timestamp({from} / 1000.0) AND {at} < to_timestamp({to} / 1000.0)")
        }
    }
}

fn arguments(dialect: Dialect) -> [&'static str; 3] {
    match dialect {
        Dialect::Sqlite => ["?1", "?2", "?3"],
        Dialect::Postgres => ["$1", "$2", "$3"],
    }
}

#[cfg(test)]
mod tests;
