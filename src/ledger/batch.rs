//! `Batch`: rows that are written in one transaction, and the quarters of an hour that they add to.
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::ledger::queue::{Entry, Held};
use crate::ledger::row::{CHILDREN, QUARTER, Row, Tokens};

/// The rows of a transaction.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) rows: Vec<Row>,
    /// The room in the queue that they occupy.
    pub(super) held: Held,
}

/// The kinds of rows that follow an exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rows {
    Attempts,
    Stages,
    ToolCalls,
    Tags,
    Notes,
    Quarters,
}

impl Rows {
    pub(super) const ALL: [Self; 6] =
        [Self::Attempts, Self::Stages, Self::ToolCalls, Self::Tags, Self::Notes, Self::Quarters];
}

/// The row of `quarter` that an exchange adds to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Quarter {
    at: i64,
    key: String,
    model: String,
    target: String,
}

/// The amounts that are added to a row of `quarter`.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
struct Added {
    requests: i64,
    errors: i64,
    #[serde(flatten)]
    tokens: Tokens,
    cost_nano: i64,
    unpriced: i64,
    unpriced_tokens: i64,
    ms: i64,
}

#[derive(Serialize)]
struct QuarterRow<'a> {
    #[serde(flatten)]
    quarter: &'a Quarter,
    is_day: i64,
    #[serde(flatten)]
    added: Added,
}

/// A row of `quarter` that was taken out of the table.
#[derive(Deserialize)]
struct Taken {
    #[serde(flatten)]
    quarter: Quarter,
    #[serde(flatten)]
    added: Added,
}

impl Added {
    fn plus(self, other: Self) -> Self {
        Self {
            requests: self.requests.saturating_add(other.requests),
            errors: self.errors.saturating_add(other.errors),
            tokens: self.tokens.plus(other.tokens),
            cost_nano: self.cost_nano.saturating_add(other.cost_nano),
            unpriced: self.unpriced.saturating_add(other.unpriced),
            unpriced_tokens: self.unpriced_tokens.saturating_add(other.unpriced_tokens),
            ms: self.ms.saturating_add(other.ms),
        }
    }
}

/// Adds rows of `quarter`, each a JSON object, up to those of the day that begins at a time. Returns a JSON list.
///
/// Fails if a row has another shape.
pub(super) fn folded(rows: &[String], day: i64) -> serde_json::Result<String> {
    let mut days: BTreeMap<Quarter, Added> = BTreeMap::new();
    for row in rows {
        let Taken { quarter, added } = serde_json::from_str(row)?;
        let sum = days.entry(Quarter { at: day, ..quarter }).or_default();
        *sum = sum.plus(added);
    }
    let rows = days.iter().map(|(quarter, added)| QuarterRow { quarter, is_day: 1, added: *added });
    Ok(json(rows))
}

impl Batch {
    /// Makes the rows of finished exchanges.
    pub(super) fn of(entries: &[Entry]) -> Self {
        let rows =
            entries.iter().map(|entry| entry.story.read(|record| Row::of(record, entry.ended)));
        Self { rows: rows.collect(), held: Held::of(entries) }
    }

    /// Returns all rows.
    pub(super) fn all(&self) -> Chosen<'_> {
        Chosen(self.rows.iter().collect())
    }

    /// Returns the rows whose ids fulfil a condition.
    pub(super) fn chosen(&self, is_chosen: impl Fn(&str) -> bool) -> Chosen<'_> {
        Chosen(self.rows.iter().filter(|row| is_chosen(&row.exchange.id)).collect())
    }

    /// Returns the exchanges as a JSON list.
    pub(super) fn exchanges(&self) -> String {
        json(self.rows.iter().map(|row| &row.exchange))
    }

    /// Returns the size of all rows as JSON.
    pub(super) fn bytes(&self) -> u64 {
        let all = self.all();
        let children = Rows::ALL.into_iter().filter_map(|kind| all.of_kind(kind, |_| true));
        let children: usize = children.map(|text| text.len()).sum();
        (self.exchanges().len() + children) as u64
    }
}

/// Some rows of a batch: those that are not in the database yet.
pub(super) struct Chosen<'a>(pub(super) Vec<&'a Row>);

impl Chosen<'_> {
    /// Returns one kind of rows as a JSON list; `None` if there are none. Attempts are those of the exchanges in whose
    /// own row they are not.
    pub(super) fn of_kind(&self, kind: Rows, has_attempts: fn(&Row) -> bool) -> Option<String> {
        let rows = || self.0.iter().copied();
        let text = match kind {
            Rows::Attempts => json(
                rows()
                    .filter(|row| has_attempts(row))
                    .flat_map(|row| row.attempts.iter().take(CHILDREN)),
            ),
            Rows::Stages => json(rows().flat_map(|row| &row.stages)),
            Rows::ToolCalls => json(rows().flat_map(|row| &row.tool_calls)),
            Rows::Tags => json(rows().flat_map(|row| &row.tags)),
            Rows::Notes => json(rows().flat_map(|row| &row.notes)),
            Rows::Quarters => {
                let quarters = quarters(rows());
                json(quarters.iter().map(|(quarter, added)| QuarterRow {
                    quarter,
                    is_day: 0,
                    added: *added,
                }))
            }
        };
        (text != "[]").then_some(text)
    }
}

fn json(rows: impl Iterator<Item = impl Serialize>) -> String {
    // texts and numbers can always be written
    serde_json::to_string(&rows.collect::<Vec<_>>()).unwrap_or_default()
}

/// Adds exchanges up. An exchange counts once, under its last target; its tokens and its cost belong to the targets
/// that caused them.
fn quarters<'a>(rows: impl Iterator<Item = &'a Row>) -> BTreeMap<Quarter, Added> {
    const ERROR: i64 = 400;
    let mut quarters: BTreeMap<Quarter, Added> = BTreeMap::new();
    for row in rows {
        let exchange = &row.exchange;
        let place = |model: &str, target: &str| Quarter {
            at: exchange.at.div_euclid(QUARTER) * QUARTER,
            key: exchange.key.clone(),
            model: model.to_owned(),
            target: target.to_owned(),
        };
        let whole = quarters.entry(place(&exchange.model, &exchange.target)).or_default();
        whole.requests += 1;
        whole.errors += i64::from(exchange.status >= ERROR);
        whole.unpriced += i64::from(exchange.is_unpriced());
        whole.ms = whole.ms.saturating_add(exchange.ms);
        for attempt in &row.attempts {
            let part = quarters.entry(place(&attempt.model, &attempt.target)).or_default();
            part.tokens = part.tokens.plus(attempt.tokens);
            part.cost_nano = part.cost_nano.saturating_add(attempt.cost_nano);
            part.unpriced_tokens = part.unpriced_tokens.saturating_add(attempt.unpriced_tokens);
        }
    }
    // an attempt that used nothing, such as one that failed, is no row of its own
    quarters.retain(|_, added| {
        added.requests > 0 || added.tokens != Tokens::default() || added.cost_nano > 0
    });
    quarters
}
