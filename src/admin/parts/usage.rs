//! `usage`: sums of the ledger by a property, over time, and the names to filter by.
use std::sync::Arc;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::admin::answer::Answer;
use crate::admin::call::Call;
use crate::admin::failure::Failure;
use crate::admin::page::{self, Limit};
use crate::admin::route::Route;
use crate::admin::state::State;
use crate::admin::{queried, time};
use crate::ledger::report::{self, By, Line, Range, Report, Span, Sums};
use crate::ledger::usage::{self, Column, NoReport, Point, Rank};
use crate::telemetry::money::dollars;

/// The days that a series and names cover if the request names none.
const USUAL_DAYS: i64 = 7;
/// The most days of a series: 100 days have 9600 quarters of an hour.
const MOST_DAYS: i64 = 100;

/// Returns the routes.
pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get(
            "/api/usage",
            "Returns sums by a property: days in their order, others by their cost.",
            |state, call| Box::pin(report(state, call)),
        )
        .query::<Asked>()
        .answers::<Page>(200),
        Route::get(
            "/api/usage/series",
            "Returns sums over time. A step without an exchange is left out. Old sums of the ledger are whole days, which appear in the first step of their day.",
            |state, call| Box::pin(series(state, call)),
        )
        .query::<AskedSeries>()
        .answers::<Series>(200),
        Route::get(
            "/api/usage/names",
            "Returns the keys, models and targets that occur, to filter by; at most 1000 of each.",
            |state, call| Box::pin(names(state, call)),
        )
        .query::<AskedNames>()
        .answers::<Names>(200),
    ]
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Asked {
    /// The property: `key`, `model`, `target`, `day`, `tag` (each tag with its value) or `tag:NAME`.
    #[serde(default)]
    by: Property,
    /// The first day, such as `2026-11-01`; the oldest if left out.
    from: Option<Day>,
    /// The last day, which is included; the newest if left out.
    to: Option<Day>,
    /// The time zone in which days begin, such as `Europe/Berlin`.
    #[serde(default)]
    zone: Zone,
    /// The most rows.
    #[serde(default)]
    limit: Limit,
    /// The `next` of an earlier page.
    after: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct AskedSeries {
    /// The length of a step.
    #[serde(default)]
    step: Step,
    /// The first day; six days before the last one if left out.
    from: Option<Day>,
    /// The last day, which is included; today if left out.
    to: Option<Day>,
    /// The time zone in which days and hours begin.
    #[serde(default)]
    zone: Zone,
    /// Only exchanges of this key.
    key: Option<String>,
    /// Only exchanges of this model.
    model: Option<String>,
    /// Only exchanges of this target.
    target: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct AskedNames {
    /// The first day; six days before the last one if left out.
    from: Option<Day>,
    /// The last day, which is included; today if left out.
    to: Option<Day>,
    /// The time zone in which days begin.
    #[serde(default)]
    zone: Zone,
}

/// A step of a series.
#[derive(Debug, Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Step {
    /// A quarter of an hour.
    Quarter,
    /// An hour.
    #[default]
    Hour,
    /// A day.
    Day,
}

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
struct Property(#[schemars(with = "String")] By);

impl Default for Property {
    fn default() -> Self {
        Self(By::Day)
    }
}

impl TryFrom<String> for Property {
    type Error = String;

    fn try_from(found: String) -> Result<Self, String> {
        let by = found.parse().map_err(|expected| format!("{expected}, found `{found}`"))?;
        Ok(Self(by))
    }
}

#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
struct Day(#[schemars(with = "String")] Date);

impl TryFrom<String> for Day {
    type Error = String;

    fn try_from(found: String) -> Result<Self, String> {
        report::day(&found).map(Self).map_err(|expected| format!("{expected}, found `{found}`"))
    }
}

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
struct Zone(#[schemars(with = "String")] TimeZone);

impl Default for Zone {
    fn default() -> Self {
        Self(TimeZone::UTC)
    }
}

impl TryFrom<String> for Zone {
    type Error = String;

    fn try_from(found: String) -> Result<Self, String> {
        let wrong =
            |_| format!("expected a name of a time zone such as `Europe/Berlin`, found `{found}`");
        TimeZone::get(&found).map(Self).map_err(wrong)
    }
}

impl Zone {
    fn name(&self) -> String {
        self.0.iana_name().unwrap_or("UTC").to_owned()
    }
}

/// A page of sums.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Page {
    /// The time zone in which days begin.
    zone: String,
    /// The rows.
    rows: Vec<Row>,
    /// The sums over all exchanges of the range, each counted once.
    total: ShownSums,
    /// The `after` of the next page; `null` if this is the last one.
    next: Option<String>,
}

/// The sums of one value of the property.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Row {
    /// The key, model, target or day, or the name of the tag.
    name: String,
    /// The value of the tag; `null` for other properties.
    value: Option<String>,
    /// The sums.
    sums: ShownSums,
}

/// Sums over exchanges.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ShownSums {
    /// The number of exchanges.
    requests: i64,
    /// Input tokens outside of the cache.
    uncached: i64,
    /// Tokens written to the cache for 5 minutes.
    write_5m: i64,
    /// Tokens written to the cache for an hour.
    write_1h: i64,
    /// Tokens read from the cache.
    read: i64,
    /// Output tokens.
    output: i64,
    /// The cost in dollars of all tokens with a price.
    cost_usd: String,
    /// The exchanges whose cost is not known, or is only a part.
    unpriced: i64,
    /// The tokens without a price.
    unpriced_tokens: i64,
}

/// Sums over time.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Series {
    /// The time zone in which steps begin.
    zone: String,
    /// The first day.
    from: String,
    /// The last day.
    to: String,
    /// The steps in their order.
    points: Vec<ShownPoint>,
}

/// The sums of one step.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ShownPoint {
    /// The beginning of the step.
    at: String,
    /// The number of exchanges.
    requests: i64,
    /// Those whose client received an error.
    errors: i64,
    /// Input tokens outside of the cache.
    uncached: i64,
    /// Tokens written to the cache for 5 minutes.
    write_5m: i64,
    /// Tokens written to the cache for an hour.
    write_1h: i64,
    /// Tokens read from the cache.
    read: i64,
    /// Output tokens.
    output: i64,
    /// The cost in dollars of all tokens with a price.
    cost_usd: String,
    /// The exchanges whose cost is not known, or is only a part.
    unpriced: i64,
    /// The duration of all exchanges together, in milliseconds.
    ms: i64,
}

/// The names that occur.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Names {
    /// The keys; the empty one stands for exchanges without a key.
    keys: Vec<String>,
    /// The models.
    models: Vec<String>,
    /// The targets; the empty one stands for exchanges without an attempt.
    targets: Vec<String>,
}

async fn report(state: Arc<State>, call: Call) -> Result<Answer, Failure> {
    let asked: Asked = call.query()?;
    let (Property(by), Zone(zone)) = (&asked.by, &asked.zone);
    let after: Option<Rank> = page::place(asked.after.as_deref())?;
    let [from, to] = [asked.from, asked.to].map(|day| day.map(|Day(day)| day));
    ordered(from, to)?;
    let range = Range { from, to, zone: zone.clone() };
    let needed = usage::Page { after, limit: asked.limit.and_one() };
    let report = usage::report(queried::database(&state)?, by, &range, &needed).await;
    let Report { mut lines, total } = report.map_err(no_report)?;
    let most = usize::from(asked.limit.number());
    let has_next = lines.len() > most;
    lines.truncate(most);
    let last = lines.last().filter(|_| has_next);
    let next = last.map(|line| page::cursor(&Rank::of(by, line)));
    let rows = lines.iter().map(|line| Row::of(by, line)).collect();
    Answer::json(&Page { zone: asked.zone.name(), rows, total: ShownSums::of(total), next })
}

fn ordered(from: Option<Date>, to: Option<Date>) -> Result<(), Failure> {
    match (from, to) {
        (Some(from), Some(to)) if from > to => {
            let expected = format!("a day up to `to`, which is {to}");
            Err(Failure::field("from", expected, from.to_string()))
        }
        _ => Ok(()),
    }
}

fn no_report(error: NoReport) -> Failure {
    match error {
        NoReport::Range(error) => Failure::field("from", "a day of the calendar", error),
        NoReport::After => {
            Failure::field("after", "the `next` of an earlier page of these sums", "another text")
        }
        NoReport::Unavailable(error) => queried::failed(error),
    }
}

impl Row {
    fn of(by: &By, line: &Line) -> Self {
        let (name, value) = match by {
            By::Tag(name) => (name.clone(), Some(line.value.clone())),
            By::Tags => (line.name.clone(), Some(line.value.clone())),
            _ => (line.name.clone(), None),
        };
        Self { name, value, sums: ShownSums::of(line.sums) }
    }
}

impl ShownSums {
    fn of(sums: Sums) -> Self {
        Self {
            requests: sums.requests,
            uncached: sums.tokens.uncached,
            write_5m: sums.tokens.write_5m,
            write_1h: sums.tokens.write_1h,
            read: sums.tokens.read,
            output: sums.tokens.output,
            cost_usd: dollars(sums.cost_nano),
            unpriced: sums.unpriced,
            unpriced_tokens: sums.unpriced_tokens,
        }
    }
}

/// The days of a series.
struct Days {
    from: Date,
    to: Date,
    span: Span,
}

impl Days {
    fn of(from: Option<Day>, to: Option<Day>, zone: &TimeZone) -> Result<Self, Failure> {
        let wrong = |e: jiff::Error| Failure::field("from", "a day of the calendar", e.to_string());
        let Day(to) = to.unwrap_or_else(|| Day(Zoned::now().with_time_zone(zone.clone()).date()));
        let usual = || to.checked_sub(jiff::Span::new().days(USUAL_DAYS - 1)).map_err(wrong);
        let from = from.map_or_else(usual, |Day(day)| Ok(day))?;
        ordered(Some(from), Some(to))?;
        let days = to.since(from).map_err(wrong)?.get_days() + 1;
        if i64::from(days) > MOST_DAYS {
            let expected = format!("at most {MOST_DAYS} days up to `to`");
            return Err(Failure::field("from", expected, format!("{days} days")));
        }
        let begin =
            |day: Date| day.to_zoned(zone.clone()).map(|it| it.timestamp().as_millisecond());
        let end = to.tomorrow().and_then(begin).map_err(wrong)?;
        // nothing is older, and PostgreSQL's own calendar begins later than this one
        let span = Span { from: begin(from).map_err(wrong)?.max(0), to: end.max(0) };
        Ok(Self { from, to, span })
    }
}

async fn series(state: Arc<State>, call: Call) -> Result<Answer, Failure> {
    let asked: AskedSeries = call.query()?;
    let Zone(zone) = &asked.zone;
    let days = Days::of(asked.from, asked.to, zone)?;
    let only = [
        (Column::Key, asked.key.clone()),
        (Column::Model, asked.model.clone()),
        (Column::Target, asked.target.clone()),
    ];
    let only: Vec<_> =
        only.into_iter().filter_map(|(column, text)| Some((column, text?))).collect();
    let begin = |at| asked.step.begin(at, zone);
    let found = usage::series(queried::database(&state)?, days.span, &only, begin).await;
    let points = found.map_err(queried::failed)?;
    Answer::json(&Series {
        zone: asked.zone.name(),
        from: days.from.to_string(),
        to: days.to.to_string(),
        points: points.into_iter().map(|(at, point)| ShownPoint::of(at, point)).collect(),
    })
}

impl Step {
    /// Returns the beginning of the step of a time, in milliseconds.
    fn begin(self, at: i64, zone: &TimeZone) -> i64 {
        let zoned = Timestamp::from_millisecond(at).unwrap_or_default().to_zoned(zone.clone());
        let begun = match self {
            Self::Quarter => return usage::quarter(at),
            Self::Hour => zoned.round(
                jiff::ZonedRound::new().smallest(jiff::Unit::Hour).mode(jiff::RoundMode::Trunc),
            ),
            Self::Day => zoned.start_of_day(),
        };
        begun.map_or(at, |begun| begun.timestamp().as_millisecond())
    }
}

impl ShownPoint {
    fn of(at: i64, point: Point) -> Self {
        let Point { requests, errors, tokens, cost_nano, unpriced, ms } = point;
        Self {
            at: time::of_millis(at),
            requests,
            errors,
            uncached: tokens.uncached,
            write_5m: tokens.write_5m,
            write_1h: tokens.write_1h,
            read: tokens.read,
            output: tokens.output,
            cost_usd: dollars(cost_nano),
            unpriced,
            ms,
        }
    }
}

async fn names(state: Arc<State>, call: Call) -> Result<Answer, Failure> {
    let asked: AskedNames = call.query()?;
    let Zone(zone) = &asked.zone;
    let days = Days::of(asked.from, asked.to, zone)?;
    let found = usage::names(queried::database(&state)?, days.span).await;
    let [keys, models, targets] = found.map_err(queried::failed)?;
    Answer::json(&Names { keys, models, targets })
}
