//! `tidegate ledger`: prints what was used and spent, by key, tag, model, target or day.
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;
use std::str::FromStr as _;

use clap::{Args, ValueEnum};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde_json::{Map, Value};

use crate::config::Config;
use crate::error::Problem;
use crate::ledger::report::{By, Line, Range, Report, SUMS, Sums, day, report};
use crate::telemetry::money::dollars;

/// The arguments.
#[derive(Args)]
pub(super) struct Query {
    /// The property to group by: `key`, `model`, `target`, `day`, `tag` (each tag with its value) or `tag:NAME`.
    #[arg(long, value_name = "PROPERTY", default_value = "day", value_parser = By::from_str)]
    by: By,
    /// The first day, such as 2026-11-01; the oldest if left out.
    #[arg(long, value_name = "DAY", value_parser = day)]
    from: Option<Date>,
    /// The last day, which is included; the newest if left out.
    #[arg(long, value_name = "DAY", value_parser = day)]
    to: Option<Date>,
    /// The time zone in which days begin, such as Europe/Berlin.
    #[arg(long, value_name = "ZONE", default_value = "UTC", value_parser = zone)]
    zone: TimeZone,
    /// The format of the output.
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Aligned columns.
    Table,
    /// Comma-separated values.
    Csv,
    /// One JSON object.
    Json,
}

/// The position of the cost, the only text among numbers.
const COST: usize = 6;

/// Returns the columns after the names.
fn columns() -> [&'static str; 9] {
    let mut columns = SUMS;
    columns[COST] = "cost_usd";
    columns
}

fn zone(text: &str) -> Result<TimeZone, String> {
    let expected = "expected the name of a time zone such as `Europe/Berlin`";
    TimeZone::get(text).map_err(|_| expected.to_owned())
}

/// Prints a report of the config's ledger. A gateway may be running.
pub(super) fn run(config: &Path, query: &Query) -> ExitCode {
    let text = match load(config, query) {
        Ok(found) => query.shown(&found),
        Err(problems) => {
            problems.iter().for_each(|problem| eprintln!("{problem}"));
            return ExitCode::FAILURE;
        }
    };
    // a reader that closes early, such as `head`, is no reason to panic
    match io::stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn load(file: &Path, query: &Query) -> Result<Report, Vec<Problem>> {
    if let (Some(from), Some(to)) = (query.from, query.to)
        && from > to
    {
        let message = format!("`--from {from}` is after `--to {to}`");
        return Err(vec![Problem::new("", message)]);
    }
    let config = Config::load(file)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| vec![Problem::new("", format!("cannot start: {e}"))])?;
    let range = Range { from: query.from, to: query.to, zone: query.zone.clone() };
    let found = runtime.block_on(report(&config.ledger.url, &query.by, &range));
    found.map_err(|problem| vec![problem])
}

impl Query {
    /// Returns the names of the columns that say which exchanges a line sums up.
    fn names(&self) -> &'static [&'static str] {
        match self.by {
            By::Key => &["key"],
            By::Model => &["model"],
            By::Target => &["target"],
            By::Day => &["day"],
            By::Tags | By::Tag(_) => &["tag", "value"],
        }
    }

    fn shown(&self, report: &Report) -> String {
        match self.format {
            Format::Table => self.table(report),
            Format::Csv => self.csv(report),
            Format::Json => format!("{:#}\n", self.json(report)),
        }
    }

    /// Returns the names of a line. An exchange without the tag that was requested has the empty value of this tag.
    fn named<'a>(&'a self, line: &'a Line) -> Vec<&'a str> {
        let name = match &self.by {
            By::Tag(tag) => tag,
            _ => &line.name,
        };
        let both = [name.as_str(), line.value.as_str()];
        both[..self.names().len()].to_vec()
    }

    fn json(&self, report: &Report) -> Value {
        let rows = report.lines.iter().map(|line| {
            let names = self.names().iter().zip(self.named(line));
            let names = names.map(|(name, text)| ((*name).to_owned(), Value::from(text)));
            names.chain(fields(&line.sums)).collect::<Map<_, _>>()
        });
        let rows = rows.map(Value::from).collect::<Vec<_>>();
        let total: Map<_, _> = fields(&report.total).collect();
        serde_json::json!({ "rows": rows, "total": total })
    }

    fn csv(&self, report: &Report) -> String {
        let mut text = [self.names(), &columns()].concat().join(",") + "\r\n";
        for line in &report.lines {
            let names = self.named(line).into_iter().map(cell);
            let cells: Vec<String> = names.chain(numbers(&line.sums)).collect();
            text += &(cells.join(",") + "\r\n");
        }
        text
    }

    fn table(&self, report: &Report) -> String {
        let heads = [self.names(), &columns()].concat();
        let mut lines = vec![heads.iter().map(|head| head.to_uppercase()).collect::<Vec<_>>()];
        for line in &report.lines {
            let names = self.named(line).into_iter().map(|name| match name {
                "" => "-".to_owned(),
                name => name.to_owned(),
            });
            lines.push(names.chain(numbers(&line.sums)).collect());
        }
        let mut total = vec![String::new(); self.names().len()];
        total[0] = "total".to_owned();
        total.extend(numbers(&report.total));
        lines.push(total);
        let width = |n: usize| lines.iter().map(|line| line[n].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..heads.len()).map(width).collect();
        let mut text = String::new();
        for line in &lines {
            for (n, (cell, width)) in line.iter().zip(&widths).enumerate() {
                // writing to a string cannot fail
                let _ = match (n, n < self.names().len()) {
                    (0, _) => write!(text, "{cell:<width$}"),
                    (_, true) => write!(text, "  {cell:<width$}"),
                    (_, false) => write!(text, "  {cell:>width$}"),
                };
            }
            text.push('\n');
        }
        text
    }
}

fn fields(sums: &Sums) -> impl Iterator<Item = (String, Value)> {
    let mut values = counts(sums).map(Value::from);
    values[COST] = dollars(sums.cost_nano).into();
    columns().map(ToOwned::to_owned).into_iter().zip(values)
}

fn numbers(sums: &Sums) -> impl Iterator<Item = String> {
    let mut texts = counts(sums).map(|count| count.to_string());
    texts[COST] = dollars(sums.cost_nano);
    texts.into_iter()
}

/// Returns the numbers in the order of [`SUMS`].
fn counts(sums: &Sums) -> [i64; 9] {
    let tokens = sums.tokens;
    [
        sums.requests,
        tokens.uncached,
        tokens.write_5m,
        tokens.write_1h,
        tokens.read,
        tokens.output,
        sums.cost_nano,
        sums.unpriced,
        sums.unpriced_tokens,
    ]
}

/// Returns a cell of CSV. A spreadsheet would run a text that begins like a formula.
fn cell(text: &str) -> String {
    let is_formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let text = if is_formula { format!("'{text}") } else { text.to_owned() };
    match text.contains([',', '"', '\n', '\r']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_is_quoted_and_never_a_formula() {
        for (text, expected) in [
            ("ci", "ci"),
            ("a,b", "\"a,b\""),
            ("say \"hi\"", "\"say \"\"hi\"\"\""),
            ("=1+1", "'=1+1"),
            ("+1", "'+1"),
            ("-1", "'-1"),
            ("@SUM(A1,A2)", "\"'@SUM(A1,A2)\""),
            ("a=1", "a=1"),
        ] {
            assert_eq!(cell(text), expected);
        }
    }
}
