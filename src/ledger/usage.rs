//! The sums of the ledger for the admin API: reports, a series over time, and the names that occur.
use std::collections::BTreeMap;

use serde_json::Value;

use crate::ledger::database::{Argument, Database, Statement, Unavailable};
use crate::ledger::report::{self, By, Found, Range, Report, SUMS};
use crate::ledger::row::{QUARTER, Tokens};
use crate::ledger::schema::Dialect;

/// The most names of one kind.
const NAMES: i64 = 1000;

/// The reason for which there is no report.
#[derive(Debug)]
pub(crate) enum NoReport {
    /// A day of the range is out of the calendar.
    Range(String),
    /// The database gave no rows.
    Unavailable(Unavailable),
}

impl From<Unavailable> for NoReport {
    fn from(error: Unavailable) -> Self {
        Self::Unavailable(error)
    }
}

/// A column of the sums that a series can be filtered by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Column {
    /// The client's key.
    Key,
    /// The model's name that was looked up in the config.
    Model,
    /// The target.
    Target,
}

impl Column {
    const ALL: [Self; 3] = [Self::Key, Self::Model, Self::Target];

    fn as_str(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::Model => "model",
            Self::Target => "target",
        }
    }
}

/// The sums of one point of a series.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Point {
    /// The number of exchanges.
    pub(crate) requests: i64,
    /// Those whose client received an error.
    pub(crate) errors: i64,
    /// The tokens.
    pub(crate) tokens: Tokens,
    /// The cost in nano-dollars.
    pub(crate) cost_nano: i64,
    /// The exchanges whose cost is not known, or is only a part.
    pub(crate) unpriced: i64,
    /// The duration of all exchanges together, in milliseconds.
    pub(crate) ms: i64,
}

impl Point {
    fn plus(self, other: Self) -> Self {
        Self {
            requests: self.requests.saturating_add(other.requests),
            errors: self.errors.saturating_add(other.errors),
            tokens: self.tokens.plus(other.tokens),
            cost_nano: self.cost_nano.saturating_add(other.cost_nano),
            unpriced: self.unpriced.saturating_add(other.unpriced),
            ms: self.ms.saturating_add(other.ms),
        }
    }
}

/// Reads a report.
pub(crate) async fn report(
    database: &Database,
    by: &By,
    range: &Range,
) -> Result<Report, NoReport> {
    let bounds = range.bounds().map_err(|e| NoReport::Range(e.to_string()))?;
    let dialect = database.dialect();
    let mut arguments = vec![Argument::Number(bounds.0), Argument::Number(bounds.1)];
    let mut queries = Vec::new();
    let has_total = matches!(by, By::Tags | By::Tag(_));
    if has_total {
        let text = listed(dialect, &report::select_total(dialect));
        queries.push(Statement { text, arguments: arguments.clone() });
    }
    if let By::Tag(tag) = by {
        arguments.push(Argument::Text(tag.clone()));
    }
    queries.push(Statement { text: listed(dialect, &report::select(dialect, by)), arguments });
    let mut found = database.read(&queries).await?.into_iter();
    let mut next = || found.next().map_or_else(|| Ok(Vec::new()), rows::<Found>);
    let total = if has_total { next()?.into_iter().next() } else { None };
    Ok(report::collected(by, range, next()?, total))
}

/// Wraps a query of a report so that each row is one text: a JSON list.
fn listed(dialect: Dialect, select: &str) -> String {
    let names: Vec<String> = (0..12).map(|n| format!("c{n}")).collect();
    let names = names.join(", ");
    let list = match dialect {
        Dialect::Sqlite => format!("json_array({names})"),
        Dialect::Postgres => format!("CAST(json_build_array({names}) AS TEXT)"),
    };
    format!("WITH found ({names}) AS ({select}) SELECT {list} FROM found")
}

fn rows<T: serde::de::DeserializeOwned>(rows: Vec<Value>) -> Result<Vec<T>, Unavailable> {
    let read = rows.into_iter().map(serde_json::from_value);
    let wrong = |e: serde_json::Error| Unavailable::Failed(format!("a row of sums: {e}"));
    read.collect::<Result<_, _>>().map_err(wrong)
}

/// Time, and the fields of [`Point`].
type FoundPoint = (i64, i64, i64, i64, i64, i64, i64, i64, i64, i64, i64);

/// Returns the sums of a time, from `from` to before `to` in milliseconds. `begin` returns the beginning of the step that
/// a quarter of an hour belongs to.
pub(crate) async fn series(
    database: &Database,
    (from, to): (i64, i64),
    only: &[(Column, String)],
    begin: impl Fn(i64) -> i64,
) -> Result<BTreeMap<i64, Point>, Unavailable> {
    let dialect = database.dialect();
    let mut arguments = vec![Argument::Number(from), Argument::Number(to)];
    let mut conditions = report::within(dialect, "at");
    for (column, text) in only {
        arguments.push(Argument::Text(text.clone()));
        conditions.push_str(&format!(" AND {} = ${}", column.as_str(), arguments.len()));
    }
    let sums = SUMS.into_iter().filter(|sum| *sum != "unpriced_tokens");
    let sums = ["requests", "errors"].into_iter().chain(sums.skip(1)).chain(["ms"]);
    let sums: Vec<String> = sums.map(report::whole).collect();
    let sums = sums.join(", ");
    let text = match dialect {
        Dialect::Sqlite => {
            format!("SELECT json_array(at, {sums}) FROM quarter WHERE {conditions} GROUP BY at")
        }
        Dialect::Postgres => format!(
            "SELECT CAST(json_build_array(CAST(extract(epoch FROM at) * 1000 AS BIGINT), {sums}) AS TEXT) \
             FROM quarter WHERE {conditions} GROUP BY at"
        ),
    };
    let found = database.read(&[Statement { text, arguments }]).await?;
    let found: Vec<FoundPoint> = rows(found.into_iter().flatten().collect())?;
    let mut points: BTreeMap<i64, Point> = BTreeMap::new();
    for found in found {
        let point = points.entry(begin(found.0)).or_default();
        *point = point.plus(point_of(&found));
    }
    Ok(points)
}

fn point_of(found: &FoundPoint) -> Point {
    let &(_, requests, errors, uncached, write_5m, write_1h, read, output, cost_nano, unpriced, ms) =
        found;
    let tokens = Tokens { uncached, write_5m, write_1h, read, output };
    Point { requests, errors, tokens, cost_nano, unpriced, ms }
}

/// Returns the keys, models and targets that occur from `from` to before `to`, in their order; at most 1000 of each.
pub(crate) async fn names(
    database: &Database,
    (from, to): (i64, i64),
) -> Result<[Vec<String>; 3], Unavailable> {
    let dialect = database.dialect();
    let query = |column: Column| {
        let (column, within) = (column.as_str(), report::within(dialect, "at"));
        let name = match dialect {
            Dialect::Sqlite => "json_quote(name)",
            Dialect::Postgres => "CAST(to_json(name) AS TEXT)",
        };
        let text = format!(
            "SELECT {name} FROM (SELECT DISTINCT {column} AS name FROM quarter WHERE {within} ORDER BY 1 LIMIT $3) AS names"
        );
        let arguments = [from, to, NAMES].map(Argument::Number).to_vec();
        Statement { text, arguments }
    };
    let mut found = database.read(&Column::ALL.map(query)).await?.into_iter();
    let mut next = || found.next().map_or_else(|| Ok(Vec::new()), rows::<String>);
    Ok([next()?, next()?, next()?])
}

/// Returns the beginning of the quarter of an hour of a time.
pub(crate) fn quarter(at: i64) -> i64 {
    at.div_euclid(QUARTER) * QUARTER
}
