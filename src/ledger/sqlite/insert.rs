//! Inserts a batch into the SQLite file. Exchanges and tags go in as plain arguments, many rows in a statement: that costs
//! less than a JSON list, and each statement wakes the database's own thread.
use std::collections::HashSet;
use std::sync::Arc;

use sqlx::sqlite::{SqliteArguments, SqliteConnection};
use sqlx::{Arguments as _, AssertSqlSafe, Connection as _};

use crate::ledger::batch::{Batch, Chosen, Rows};
use crate::ledger::row::TagRow;
use crate::ledger::row::columns::NAMES;
use crate::ledger::row::value::Value;
use crate::ledger::schema::{self, Dialect};

/// The numbers of rows for which there are statements. Each is prepared once.
const SIZES: [usize; 3] = [64, 8, 1];

/// The texts of the statements, for each size.
pub(super) struct Inserts {
    exchanges: [Arc<str>; SIZES.len()],
    tags: [Arc<str>; SIZES.len()],
}

impl Inserts {
    pub(super) fn new() -> Self {
        let exchange = [&NAMES[..], &["part"]].concat();
        Self {
            exchanges: SIZES.map(|size| text("exchange", &exchange, size)),
            tags: SIZES.map(|size| text("tag", &["exchange", "tag", "value"], size)),
        }
    }

    /// Writes a batch in one transaction, as a part of the file. Rows that are there already do not count again.
    pub(super) async fn write(
        &self,
        connection: &mut SqliteConnection,
        batch: &Batch,
        part: i64,
    ) -> Result<(), sqlx::Error> {
        match self.insert(connection, &batch.all(), part).await {
            // the batch was written before, but the answer was lost
            Err(e) if is_known(&e) => {
                let known = known(connection, batch).await?;
                let new = batch.chosen(|id| !known.contains(id));
                self.insert(connection, &new, part).await
            }
            done => done,
        }
    }

    async fn insert(
        &self,
        connection: &mut SqliteConnection,
        rows: &Chosen<'_>,
        part: i64,
    ) -> Result<(), sqlx::Error> {
        let mut transaction = connection.begin_with(Dialect::Sqlite.begin()).await?;
        let written = self.insert_rows(&mut transaction, rows, part).await;
        match written {
            Ok(()) => transaction.commit().await,
            Err(e) => {
                // SQLite has ended it after some errors; the first error is the one that counts
                let _ = transaction.rollback().await;
                Err(e)
            }
        }
    }

    async fn insert_rows(
        &self,
        connection: &mut SqliteConnection,
        rows: &Chosen<'_>,
        part: i64,
    ) -> Result<(), sqlx::Error> {
        for (text, rows) in chunks(&self.exchanges, &rows.0) {
            let mut arguments = SqliteArguments::default();
            arguments.reserve(rows.len() * (NAMES.len() + 1), 0);
            for row in rows {
                row.values().into_iter().try_for_each(|value| add(&mut arguments, value))?;
                add(&mut arguments, Value::Number(part))?;
            }
            execute(connection, text, arguments).await?;
        }
        let tags: Vec<&TagRow> = rows.0.iter().flat_map(|row| &row.tags).collect();
        for (text, tags) in chunks(&self.tags, &tags) {
            let mut arguments = SqliteArguments::default();
            for value in tags.iter().flat_map(|tag| tag.values()) {
                add(&mut arguments, value)?;
            }
            execute(connection, text, arguments).await?;
        }
        for kind in Rows::ALL.into_iter().filter(|kind| *kind != Rows::Tags) {
            let Some(rows) = rows.of_kind(kind, |row| !row.has_only_attempt()) else { continue };
            let insert = AssertSqlSafe(schema::insert_rows(Dialect::Sqlite, kind));
            sqlx::query(insert).bind(rows).execute(&mut *connection).await?;
        }
        Ok(())
    }
}

/// Returns the statement that inserts some rows. A conflict ends it at once, so SQLite keeps no journal to undo it: the
/// whole transaction is rolled back.
fn text(table: &str, names: &[&str], rows: usize) -> Arc<str> {
    let row = format!("({})", vec!["?"; names.len()].join(","));
    let rows = vec![row.as_str(); rows].join(",");
    format!("INSERT OR FAIL INTO {table} ({}) VALUES {rows}", names.join(",")).into()
}

/// Splits rows into chunks for which there are statements.
fn chunks<'a, T>(
    texts: &'a [Arc<str>; SIZES.len()],
    mut rows: &'a [T],
) -> Vec<(&'a Arc<str>, &'a [T])> {
    let mut chunks = Vec::new();
    for (size, text) in SIZES.into_iter().zip(texts) {
        while let Some((first, rest)) = rows.split_at_checked(size) {
            chunks.push((text, first));
            rows = rest;
        }
    }
    chunks
}

fn add(arguments: &mut SqliteArguments, value: Value<'_>) -> Result<(), sqlx::Error> {
    let added = match value {
        Value::Id(id) => arguments.add(hex::decode(id).map_err(|e| sqlx::Error::Encode(e.into()))?),
        Value::Text(text) => arguments.add(Arc::<str>::from(text)),
        Value::Made(text) => arguments.add(text),
        Value::Number(number) => arguments.add(number),
        Value::Null => arguments.add(None::<i64>),
    };
    added.map_err(sqlx::Error::Encode)
}

async fn execute(
    connection: &mut SqliteConnection,
    text: &Arc<str>,
    arguments: SqliteArguments,
) -> Result<(), sqlx::Error> {
    let text = AssertSqlSafe(Arc::clone(text));
    sqlx::query_with(text, arguments).execute(connection).await?;
    Ok(())
}

/// Returns whether a row with the same id is there already.
fn is_known(error: &sqlx::Error) -> bool {
    const PRIMARY_KEY: &str = "1555";
    let code = error.as_database_error().and_then(|error| error.code());
    code.as_deref() == Some(PRIMARY_KEY)
}

/// Returns the ids of the batch's exchanges that are in the file.
async fn known(
    connection: &mut SqliteConnection,
    batch: &Batch,
) -> Result<HashSet<String>, sqlx::Error> {
    let ids: Vec<&str> = batch.rows.iter().map(|row| row.exchange.id.as_str()).collect();
    let ids = serde_json::to_string(&ids).unwrap_or_default();
    let known =
        "SELECT lower(hex(id)) FROM exchange WHERE id IN (SELECT unhex(value) FROM json_each(?1))";
    let known = sqlx::query_scalar(known).bind(ids).fetch_all(connection).await?;
    Ok(known.into_iter().collect())
}
