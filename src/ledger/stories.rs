//! The exchanges of the ledger: a list by filters, and the whole story of one.
use std::time::SystemTime;

use serde::Serialize;
use serde_json::Value;

use crate::ledger::batch::Rows;
use crate::ledger::database::{Argument, Database, Place, Statement, Unavailable};
use crate::ledger::row::{CHILDREN, Row};
use crate::ledger::schema::{self, Dialect};
use crate::telemetry::record::Record;

/// The exchanges of a list. Absent parts accept everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Filter {
    /// The first moment, in milliseconds since 1970.
    pub(crate) from: Option<i64>,
    /// The first later moment.
    pub(crate) to: Option<i64>,
    /// Columns that must have a value: each has the name of the column.
    pub(crate) texts: Vec<(Column, String)>,
    /// The status that the client received.
    pub(crate) status: Option<u16>,
    /// Whether the client received an error.
    pub(crate) is_error: Option<bool>,
    /// A tag and its value.
    pub(crate) tag: Option<[String; 2]>,
}

/// A column that a list can be filtered by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Column {
    /// The client's key.
    Key,
    /// The model's name that was looked up in the config.
    Model,
    /// The target of the last attempt.
    Target,
    /// The session.
    Session,
    /// The request's id.
    RequestId,
    /// The kind of exchange.
    Operation,
}

impl Column {
    fn as_str(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::Model => "model",
            Self::Target => "target",
            Self::Session => "session",
            Self::RequestId => "request_id",
            Self::Operation => "operation",
        }
    }
}

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

/// Returns exchanges, newest first, after a place.
pub(crate) async fn list(
    database: &Database,
    filter: &Filter,
    after: Option<&Place>,
    limit: u16,
) -> Result<Vec<Value>, Unavailable> {
    let query = select(database.dialect(), filter, after, limit);
    let rows = database.read(&[query]).await?;
    Ok(rows.into_iter().flatten().collect())
}

/// Returns one exchange by its id of the ledger (32 hexadecimal digits), or by its request's id, which is the gateway's or
/// the upstream's.
pub(crate) async fn one(database: &Database, id: &str) -> Result<Option<Told>, Unavailable> {
    let dialect = database.dialect();
    let is_own = id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    let own = match (is_own, dialect) {
        (true, Dialect::Sqlite) => "unhex($1)",
        (true, Dialect::Postgres) => "CAST($1 AS UUID)",
        (false, _) => &format!(
            "(SELECT id FROM ({}) AS named ORDER BY at DESC LIMIT 1)",
            named("id, at", "$1")
        ),
    };
    let query = |text: String| Statement { text, arguments: vec![Argument::Text(id.to_owned())] };
    let exchange = schema::object(dialect, None);
    let mut queries = vec![query(format!("SELECT {exchange} FROM exchange WHERE id = {own}"))];
    for rows in [Rows::Attempts, Rows::Stages, Rows::ToolCalls, Rows::Tags, Rows::Notes] {
        let (object, table) = (schema::object(dialect, Some(rows)), schema::name(rows));
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
    let row = Row::of(record, ended);
    Told {
        exchange: value(&row.exchange),
        attempts: row.attempts.iter().take(CHILDREN).map(value).collect(),
        stages: row.stages.iter().map(value).collect(),
        tool_calls: row.tool_calls.iter().map(value).collect(),
        tags: row.tags.iter().map(value).collect(),
        notes: row.notes.iter().map(value).collect(),
    }
}

/// The exchanges with an id of a request, the gateway's or the upstream's. Each part has an index.
fn named(columns: &str, id: &str) -> String {
    format!(
        "SELECT {columns} FROM exchange WHERE request_id = {id} \
         UNION ALL SELECT {columns} FROM exchange WHERE upstream_request_id = {id}"
    )
}

fn value(row: &impl Serialize) -> Value {
    // texts and numbers can always be written
    serde_json::to_value(row).unwrap_or_default()
}

fn select(dialect: Dialect, filter: &Filter, after: Option<&Place>, limit: u16) -> Statement {
    let mut conditions = Vec::new();
    let mut arguments = vec![Argument::Number(limit.into())];
    let mut argue = |argument: Argument| {
        arguments.push(argument);
        format!("${}", arguments.len())
    };
    let time = |name: String| match dialect {
        Dialect::Sqlite => name,
        Dialect::Postgres => format!("to_timestamp({name} / 1000.0)"),
    };
    if let Some(place) = after {
        let at = time(argue(Argument::Number(place.at)));
        let id = argue(Argument::Text(place.id.clone()));
        conditions.push(match dialect {
            Dialect::Sqlite => format!("(at, id) < ({at}, unhex({id}))"),
            Dialect::Postgres => format!("(at, id) < ({at}, CAST({id} AS UUID))"),
        });
    }
    if let Some(from) = filter.from {
        conditions.push(format!("at >= {}", time(argue(Argument::Number(from)))));
    }
    if let Some(to) = filter.to {
        conditions.push(format!("at < {}", time(argue(Argument::Number(to)))));
    }
    for (column, text) in &filter.texts {
        if *column == Column::RequestId {
            let id = argue(Argument::Text(text.clone()));
            conditions.push(format!("id IN ({})", named("id", &id)));
            continue;
        }
        conditions.push(format!("{} = {}", column.as_str(), argue(Argument::Text(text.clone()))));
    }
    if let Some(status) = filter.status {
        conditions.push(format!("status = {}", argue(Argument::Number(status.into()))));
    }
    if let Some(is_error) = filter.is_error {
        conditions.push(if is_error { "status >= 400" } else { "status < 400" }.to_owned());
    }
    if let Some([name, value]) = &filter.tag {
        let [name, value] = [name, value].map(|text| argue(Argument::Text(text.clone())));
        conditions.push(format!(
            "EXISTS (SELECT 1 FROM tag WHERE tag.exchange = exchange.id AND tag.tag = {name} AND tag.value = {value})"
        ));
    }
    let only = match conditions.is_empty() {
        true => String::new(),
        false => format!(" WHERE {}", conditions.join(" AND ")),
    };
    let object = schema::object(dialect, None);
    let text = format!("SELECT {object} FROM exchange{only} ORDER BY at DESC, id DESC LIMIT $1");
    Statement { text, arguments }
}
