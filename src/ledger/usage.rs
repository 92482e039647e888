//! The sums of the ledger for the admin API: reports, a series over time, and the names that occur.
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::ledger::database::{Argument, Database, Statement, Unavailable};
use crate::ledger::day;
use crate::ledger::report::{self, By, Found, Line, Range, Report, SUMS, Span, Sums};
use crate::ledger::row::{QUARTER, Tokens};
use crate::ledger::schema::Dialect;

/// The most names of one kind.
const NAMES: i64 = 1000;
/// More quarters of an hour than the longest day of any zone has.
const QUARTERS: i64 = 128;

/// The reason for which there is no report.
#[derive(Debug)]
pub(crate) enum NoReport {
    /// A day of the range is out of the calendar.
    Range(String),
    /// The rank of the page before is none of this report.
    After,
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

/// The place of a line among those of a report: days are in their order, others by cost, number of requests and name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "(i64, i64, String, String)", into = "(i64, i64, String, String)")]
pub(crate) struct Rank {
    cost_nano: i64,
    requests: i64,
    name: String,
    value: String,
}

impl TryFrom<(i64, i64, String, String)> for Rank {
    type Error = &'static str;

    fn try_from(found: (i64, i64, String, String)) -> Result<Self, Self::Error> {
        let (cost_nano, requests, name, value) = found;
        match name.contains('\0') || value.contains('\0') {
            true => Err("no text of the ledger has a NUL"),
            false => Ok(Self { cost_nano, requests, name, value }),
        }
    }
}

impl From<Rank> for (i64, i64, String, String) {
    fn from(rank: Rank) -> Self {
        (rank.cost_nano, rank.requests, rank.name, rank.value)
    }
}

impl Rank {
    /// Returns the rank of a line.
    pub(crate) fn of(by: &By, line: &Line) -> Self {
        let sums = if *by == By::Day { Sums::default() } else { line.sums };
        let (name, value) = (line.name.clone(), line.value.clone());
        Self { cost_nano: sums.cost_nano, requests: sums.requests, name, value }
    }
}

/// The lines that a page needs.
#[derive(Debug, Clone)]
pub(crate) struct Page {
    /// The rank of the last line of the page before.
    pub(crate) after: Option<Rank>,
    /// The most lines.
    pub(crate) limit: u16,
}

/// Reads a page of a report, with the sums of the whole range. The database orders the lines and counts them off.
pub(crate) async fn report(
    database: &Database,
    by: &By,
    range: &Range,
    page: &Page,
) -> Result<Report, NoReport> {
    let wrong = |e: jiff::Error| NoReport::Range(e.to_string());
    let span = range.span().map_err(wrong)?;
    let dialect = database.dialect();
    let total = match by {
        By::Tags | By::Tag(_) => report::select_total(dialect),
        _ => report::select_sum(dialect),
    };
    let bounds = [span.from, span.to].map(Argument::Number).to_vec();
    let total = Statement { text: listed(dialect, &total, ""), arguments: bounds };
    let lines = match by {
        By::Day => days(dialect, range, span, page)?,
        _ => groups(dialect, by, span, page),
    };
    let mut found = database.read(&[total, lines]).await?.into_iter();
    let mut next = || found.next().map_or_else(|| Ok(Vec::new()), rows::<Found>);
    let total = next()?.into_iter().next();
    let mut report = report::collected(by, range, next()?, total);
    report.lines.truncate(page.limit.into());
    Ok(report)
}

/// The query of the quarters of an hour of the days after a line.
fn days(dialect: Dialect, range: &Range, span: Span, page: &Page) -> Result<Statement, NoReport> {
    let from = match &page.after {
        None => span.from,
        Some(after) => {
            let last = report::day(&after.name).map_err(|_| NoReport::After)?;
            let next = last.tomorrow().and_then(|next| day::begin(next, &range.zone));
            next.map_err(|_| NoReport::After)?.max(span.from)
        }
    };
    let select = report::select(dialect, &By::Day);
    let most = i64::from(page.limit) * QUARTERS;
    Ok(Statement {
        text: listed(dialect, &select, " ORDER BY c0 LIMIT $3"),
        arguments: [from, span.to, most].map(Argument::Number).to_vec(),
    })
}

/// The query of the groups after a line.
fn groups(dialect: Dialect, by: &By, span: Span, page: &Page) -> Statement {
    let mut arguments = [span.from, span.to].map(Argument::Number).to_vec();
    if let By::Tag(tag) = by {
        arguments.push(Argument::Text(tag.clone()));
    }
    let mut argue = |argument: Argument| {
        arguments.push(argument);
        format!("${}", arguments.len())
    };
    // the order of bytes, in both databases
    let [name, value] = match dialect {
        Dialect::Sqlite => ["c1", "c2"],
        Dialect::Postgres => ["c1 COLLATE \"C\"", "c2 COLLATE \"C\""],
    };
    let mut rest = String::new();
    if let Some(after) = &page.after {
        let cost = argue(Argument::Number(after.cost_nano));
        let requests = argue(Argument::Number(after.requests));
        let [own, other] =
            [&after.name, &after.value].map(|text| argue(Argument::Text(text.clone())));
        rest = format!(
            " WHERE c9 < {cost} OR (c9 = {cost} AND (c3 < {requests} OR (c3 = {requests} \
             AND ({name} > {own} OR ({name} = {own} AND {value} > {other})))))"
        );
    }
    let limit = argue(Argument::Number(page.limit.into()));
    rest.push_str(&format!(" ORDER BY c9 DESC, c3 DESC, {name}, {value} LIMIT {limit}"));
    Statement { text: listed(dialect, &report::select(dialect, by), &rest), arguments }
}

/// Wraps a query of a report so that each row is one text: a JSON list. The columns are `c0` to `c11`.
fn listed(dialect: Dialect, select: &str, rest: &str) -> String {
    let names: Vec<String> = (0..12).map(|n| format!("c{n}")).collect();
    let names = names.join(", ");
    let list = match dialect {
        Dialect::Sqlite => format!("json_array({names})"),
        Dialect::Postgres => format!("CAST(json_build_array({names}) AS TEXT)"),
    };
    format!("WITH found ({names}) AS ({select}) SELECT {list} FROM found{rest}")
}

fn rows<T: serde::de::DeserializeOwned>(rows: Vec<Value>) -> Result<Vec<T>, Unavailable> {
    let read = rows.into_iter().map(serde_json::from_value);
    let wrong = |e: serde_json::Error| Unavailable::Failed(format!("a row of sums: {e}"));
    read.collect::<Result<_, _>>().map_err(wrong)
}

/// Time, and the fields of [`Point`].
type FoundPoint = (i64, i64, i64, i64, i64, i64, i64, i64, i64, i64, i64);

/// Returns the sums of a time. `begin` returns the beginning of the step that a quarter of an hour belongs to.
pub(crate) async fn series(
    database: &Database,
    Span { from, to }: Span,
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

/// Returns the keys, models and targets that occur in a time, in their order; at most 1000 of each.
pub(crate) async fn names(
    database: &Database,
    Span { from, to }: Span,
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
