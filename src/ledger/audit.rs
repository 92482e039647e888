//! The audit table: a row for every write of the admin API, kept for a year.
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;

use crate::ledger::database::{Argument, Database, Position, Statement, Unavailable};
use crate::ledger::row::{bounded, text, uuid_v7};
use crate::ledger::schema::Dialect;

/// The age at which rows are deleted.
const KEEP: Duration = Duration::from_secs(365 * 24 * 60 * 60);
/// The most rows that one write deletes.
const PORTION: i64 = 1000;
/// The longest text of a change, in bytes: the values before and after.
const DETAIL: usize = 16 * 1024;

/// A write of the admin API. It holds no secret and no body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AuditRow {
    /// The time of the write.
    pub(crate) at: SystemTime,
    /// The kind of credential: `token`, `session`, or `open` if the listener needs none.
    pub(crate) credential: &'static str,
    /// The address of the connection.
    pub(crate) address: String,
    /// The method.
    pub(crate) method: String,
    /// The path of the route, with its parameters in braces.
    pub(crate) route: &'static str,
    /// The object, such as the id of a key; empty if the route has only one.
    pub(crate) object: String,
    /// The status of the answer.
    pub(crate) status: u16,
    /// The values before and after, or the error.
    pub(crate) detail: Option<String>,
}

/// Writes a row, and deletes old ones.
pub(crate) async fn write(database: &Database, row: &AuditRow) -> Result<(), Unavailable> {
    database.write(&statements(database, row)).await
}

/// Returns the statements that write a row, for the transaction of the change itself.
pub(crate) fn statements(database: &Database, row: &AuditRow) -> [Statement; 2] {
    let at = millis(row.at);
    let (id, time) = match database.dialect() {
        Dialect::Sqlite => ("unhex($1)", "$2"),
        Dialect::Postgres => ("CAST($1 AS UUID)", "to_timestamp($2 / 1000.0)"),
    };
    let insert = Statement {
        text: format!(
            "INSERT INTO audit (id, at, credential, address, method, route, object, status, detail) \
             VALUES ({id}, {time}, $3, $4, $5, $6, $7, $8, $9)"
        ),
        arguments: vec![
            Argument::Text(uuid_v7(at)),
            Argument::Number(at),
            Argument::Text(row.credential.to_owned()),
            Argument::Text(text(&row.address)),
            Argument::Text(text(&row.method)),
            Argument::Text(row.route.to_owned()),
            Argument::Text(text(&row.object)),
            Argument::Number(row.status.into()),
            Argument::Maybe(row.detail.as_deref().map(|detail| bounded(detail, DETAIL))),
        ],
    };
    let keep = i64::try_from(KEEP.as_millis()).unwrap_or(i64::MAX);
    let before = match database.dialect() {
        Dialect::Sqlite => "$1",
        Dialect::Postgres => "to_timestamp($1 / 1000.0)",
    };
    let delete = Statement {
        text: format!(
            "DELETE FROM audit WHERE id IN (SELECT id FROM audit WHERE at < {before} ORDER BY at LIMIT $2)"
        ),
        arguments: vec![Argument::Number(at.saturating_sub(keep)), Argument::Number(PORTION)],
    };
    [insert, delete]
}

/// Returns rows, newest first, after a position: JSON objects with the columns of the table.
pub(crate) async fn list(
    database: &Database,
    after: Option<&Position>,
    limit: u16,
) -> Result<Vec<Value>, Unavailable> {
    let query = query(database.dialect(), after, limit);
    let rows = database.read(&[query]).await?;
    Ok(rows.into_iter().flatten().collect())
}

fn query(dialect: Dialect, after: Option<&Position>, limit: u16) -> Statement {
    const COLUMNS: &str = "'credential', credential, 'address', address, 'method', method, \
        'route', route, 'object', object, 'status', status, 'detail', detail";
    let mut arguments = vec![Argument::Number(limit.into())];
    let mut text = match dialect {
        Dialect::Sqlite => {
            format!("SELECT json_object('id', lower(hex(id)), 'at', at, {COLUMNS}) FROM audit")
        }
        Dialect::Postgres => format!(
            "SELECT CAST(json_build_object('id', replace(CAST(id AS TEXT), '-', ''), \
             'at', CAST(extract(epoch FROM at) * 1000 AS BIGINT), {COLUMNS}) AS TEXT) FROM audit"
        ),
    };
    if let Some(position) = after {
        let (at, id) = match dialect {
            Dialect::Sqlite => ("$2", "unhex($3)"),
            Dialect::Postgres => ("to_timestamp($2 / 1000.0)", "CAST($3 AS UUID)"),
        };
        text.push_str(&format!(" WHERE (at, id) < ({at}, {id})"));
        arguments.extend([Argument::Number(position.at), Argument::Text(position.id.clone())]);
    }
    text.push_str(" ORDER BY at DESC, id DESC LIMIT $1");
    Statement { text, arguments }
}

/// Returns milliseconds since 1970.
fn millis(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
