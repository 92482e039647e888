//! Room in the SQLite file: the oldest rows are deleted as far as new ones need their space.
use sqlx::sqlite::{SqliteConnection, SqliteQueryResult};
use sqlx::{AssertSqlSafe, Connection as _, Row as _, Sqlite as Database};

use crate::ledger::schema::{self, Dialect};
use crate::ledger::transaction::{self, PORTION};

/// The bytes of a page.
pub(super) const PAGE: u64 = 4096;
/// The pages that are given back at a time.
const FREED: &str = "PRAGMA incremental_vacuum(256)";

/// The result of a search for room in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::ledger) enum Room {
    /// The file has less rows now.
    Made,
    /// The file is empty, and too small for the batch.
    TooSmall,
    /// The file has room for the batch, so the disk has none.
    Enough,
}

/// Sets the largest size of the file. A file that is larger grows no further.
pub(super) async fn limit(
    connection: &mut SqliteConnection,
    max_size: u64,
) -> Result<(), sqlx::Error> {
    let pages = i64::try_from(max_size / PAGE).unwrap_or(i64::MAX);
    let limit = format!("PRAGMA max_page_count = {pages}");
    sqlx::raw_sql(AssertSqlSafe(limit)).execute(connection).await?;
    Ok(())
}

/// Deletes a portion of the rows that began before a time, or of the oldest ones if the file is almost full. Returns
/// the number of rows.
pub(super) async fn prune(
    connection: &mut SqliteConnection,
    before: i64,
    max_size: u64,
) -> Result<u64, sqlx::Error> {
    let almost = max_size / 10 * 9;
    let deleted = match used(connection).await? > almost {
        true => free(connection, almost).await?,
        false => {
            let affected = SqliteQueryResult::rows_affected;
            transaction::delete::<Database>(connection, Dialect::Sqlite, before, affected).await?
        }
    };
    if deleted > 0 {
        // each step of the statement frees a page
        sqlx::query(FREED).fetch_all(&mut *connection).await?;
        // a file that was too large may be smaller now
        limit(connection, max_size).await?;
    }
    Ok(deleted)
}

/// Deletes the oldest rows if there are more bytes than `room`.
pub(super) async fn make(
    connection: &mut SqliteConnection,
    room: u64,
) -> Result<Room, sqlx::Error> {
    if used(connection).await? <= room {
        return Ok(Room::Enough);
    }
    match free(connection, room).await? {
        0 => Ok(Room::TooSmall),
        _ => Ok(Room::Made),
    }
}

/// Deletes the oldest exchanges until there are no more bytes than `room`, and at most a portion in the transaction.
/// Returns the number of rows.
async fn free(connection: &mut SqliteConnection, room: u64) -> Result<u64, sqlx::Error> {
    let mut transaction = connection.begin_with(Dialect::Sqlite.begin()).await?;
    let delete = schema::delete_exchanges(Dialect::Sqlite);
    let begin = used(&mut transaction).await?;
    let (mut left, mut deleted, mut next) = (begin, 0, 1);
    while left > room && deleted < PORTION.cast_unsigned() {
        let most = next.min(PORTION.cast_unsigned() - deleted);
        let delete = sqlx::query(AssertSqlSafe(delete.clone())).bind(i64::MAX);
        let done = delete.bind(most.cast_signed()).execute(&mut *transaction).await?;
        if done.rows_affected() == 0 {
            break;
        }
        deleted += done.rows_affected();
        left = used(&mut transaction).await?;
        next = portion(deleted, begin.saturating_sub(left), left.saturating_sub(room));
    }
    let quarters = sqlx::query(schema::delete_quarters(Dialect::Sqlite));
    let quarters = quarters.bind(i64::MAX).bind(PORTION).execute(&mut *transaction).await?;
    transaction.commit().await?;
    Ok(deleted + quarters.rows_affected())
}

/// Returns the number of rows to delete next, if `deleted` rows freed so many bytes and so many more are needed.
/// A first guess from few rows is careful.
fn portion(deleted: u64, freed: u64, needed: u64) -> u64 {
    let most = deleted.max(1);
    let guess = needed.saturating_mul(deleted).checked_div(freed).unwrap_or(most);
    guess.clamp(1, most)
}

/// Returns the bytes of the pages with content.
async fn used(connection: &mut SqliteConnection) -> Result<u64, sqlx::Error> {
    let pages = sqlx::query("PRAGMA page_count").fetch_one(&mut *connection).await?;
    let free = sqlx::query("PRAGMA freelist_count").fetch_one(connection).await?;
    let pages = pages.try_get::<i64, _>(0)?.saturating_sub(free.try_get(0)?);
    Ok(u64::try_from(pages).unwrap_or(0).saturating_mul(PAGE))
}
