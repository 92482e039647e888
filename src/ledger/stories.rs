//! The exchanges of the ledger: a list by filters, and the whole story of one.
mod filter;
mod list;

use std::time::SystemTime;

use serde::Serialize;
use serde_json::Value;

use crate::ledger::batch::Rows;
use crate::ledger::database::{self, Argument, Database, Position, Statement, Unavailable};
use crate::ledger::row::{CHILDREN, Row};
use crate::ledger::schema::{self, Dialect};
use crate::ledger::stories::filter::named;
pub(crate) use crate::ledger::stories::filter::{Column, Filter};
use crate::telemetry::record::Record;

/// An exchange and its parts, as JSON objects with the columns of their tables.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Told {
    /// The exchange.
    pub(crate) exchange: Value,
    /// Its attempts.
    pub(crate) attempts: Vec<Value>,
    /// The hooks of the stages that ran.
    pub(crate) stages: Vec<Value>,
    /// The calls of server tools.
    pub(crate) tool_calls: Vec<Value>,
    /// The tags.
    pub(crate) tags: Vec<Value>,
    /// The targets that were passed over, the parts that were dropped, and the alias of a budget.
    pub(crate) notes: Vec<Value>,
}

/// Returns exchanges, newest first, after a position.
pub(crate) async fn list(
    database: &Database,
    filter: &Filter,
    after: Option<&Position>,
    limit: u16,
) -> Result<Vec<Value>, Unavailable> {
    let query = list::select(database.dialect(), filter, after, limit);
    let rows = database.read(&[query]).await?;
    Ok(rows.into_iter().flatten().collect())
}

/// Returns one exchange by its id of the ledger (32 hexadecimal digits), or by its request's id, which is the gateway's or
/// the upstream's.
pub(crate) async fn one(database: &Database, id: &str) -> Result<Option<Told>, Unavailable> {
    let dialect = database.dialect();
    let (parts, own) = own(dialect, id);
    let query = |text: String| Statement {
        text: format!("{parts}{text}"),
        arguments: vec![Argument::Text(id.to_owned())],
    };
    let exchange = schema::object(dialect, None);
    let mut queries = vec![query(format!("SELECT {exchange} FROM exchange WHERE id = {own}"))];
    for rows in [Rows::Attempts, Rows::Stages, Rows::ToolCalls, Rows::Tags, Rows::Notes] {
        let object = schema::object(dialect, Some(rows));
        let table = match rows {
            Rows::Attempts => schema::attempts_of(dialect, &own),
            _ => schema::name(rows).to_owned(),
        };
        let order = if rows == Rows::Tags { "tag" } else { "n" };
        let text = format!("SELECT {object} FROM {table} WHERE exchange = {own} ORDER BY {order}");
        queries.push(query(text));
    }
    let mut found = database.read(&queries).await?.into_iter();
    let mut next = || found.next().unwrap_or_default();
    let Some(exchange) = next().into_iter().next() else { return Ok(None) };
    let (attempts, stages, tool_calls) = (next(), next(), next());
    Ok(Some(Told { exchange, attempts, stages, tool_calls, tags: next(), notes: next() }))
}

/// Returns the story of an exchange that has just ended, before it is in the ledger. Its id is not that of the ledger.
pub(crate) fn told(record: &Record, ended: SystemTime) -> Told {
    of_row(&Row::of(record, ended))
}

fn of_row(row: &Row) -> Told {
    Told {
        exchange: value(&row.exchange),
        attempts: row.attempts.iter().take(CHILDREN).map(value).collect(),
        stages: row.stages.iter().map(value).collect(),
        tool_calls: row.tool_calls.iter().map(value).collect(),
        tags: row.tags.iter().map(value).collect(),
        notes: row.notes.iter().map(value).collect(),
    }
}

/// Returns the expression of the id of the exchange that `$1` names, and the tables that it needs. A client's own id of
/// a request may look like an id of the ledger.
fn own(dialect: Dialect, id: &str) -> (String, String) {
    match (dialect, database::is_id(id)) {
        (Dialect::Sqlite, true) => (
            format!("WITH RECURSIVE {} ", schema::PARTS),
            format!(
                "coalesce((SELECT id FROM exchange WHERE id = unhex($1)), (SELECT max(id) FROM ({})))",
                named(dialect, "$1")
            ),
        ),
        (Dialect::Sqlite, false) => (
            format!("WITH RECURSIVE {} ", schema::PARTS),
            format!("(SELECT max(id) FROM ({}))", named(dialect, "$1")),
        ),
        (Dialect::Postgres, true) => (String::new(), {
            let own = "(SELECT id FROM exchange WHERE id = CAST($1 AS UUID))";
            format!("coalesce({own}, {})", newest(dialect))
        }),
        (Dialect::Postgres, false) => (String::new(), newest(dialect)),
    }
}

/// The newest of the exchanges that `$1` names, in PostgreSQL.
fn newest(dialect: Dialect) -> String {
    let named = named(dialect, "CAST($1 AS TEXT)");
    format!("(SELECT id FROM exchange WHERE id IN ({named}) ORDER BY at DESC LIMIT 1)")
}

fn value(row: &impl Serialize) -> Value {
    // texts and numbers can always be written
    serde_json::to_value(row).unwrap_or_default()
}

#[cfg(test)]
mod tests;
