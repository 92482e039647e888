//! The transactions of the writer: the same statements for both databases.
use std::collections::HashSet;
use std::pin::Pin;

use jiff::tz::TimeZone;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection, Database, Executor, FromRow, IntoArguments};

use crate::ledger::batch::{self, Batch, Rows};
use crate::ledger::day;
use crate::ledger::schema::{self, Dialect};

/// The most rows of a table that one transaction deletes.
pub(super) const PORTION: i64 = 1000;

/// The future of a transaction. It is boxed because the compiler cannot see that a generic one may change threads.
type Work<'a, T> = Pin<Box<dyn Future<Output = Result<T, sqlx::Error>> + Send + 'a>>;

/// Writes a batch to PostgreSQL. Rows that are there already do not count again.
pub(super) fn insert<'a>(connection: &'a mut PgConnection, batch: &'a Batch) -> Work<'a, ()> {
    Box::pin(async move {
        let mut transaction = connection.begin().await?;
        let insert = AssertSqlSafe(schema::insert_exchanges());
        let inserted = sqlx::query_scalar::<_, String>(insert).bind(batch.exchanges());
        let new: HashSet<String> =
            inserted.fetch_all(&mut *transaction).await?.into_iter().collect();
        let new = batch.chosen(|id| new.contains(id));
        for kind in Rows::ALL {
            let Some(rows) = new.of_kind(kind, |_| true) else { continue };
            let insert = AssertSqlSafe(schema::insert_rows(Dialect::Postgres, kind));
            sqlx::query(insert).bind(rows).execute(&mut *transaction).await?;
        }
        transaction.commit().await
    })
}

/// Deletes a portion of the exchanges that began before a time, and of the sums that no exchange is left of. Returns
/// the number of rows, which `affected` reads from the database's answers.
pub(super) fn delete<D>(
    connection: &mut D::Connection,
    dialect: Dialect,
    before: i64,
    affected: fn(&D::QueryResult) -> u64,
) -> Work<'_, u64>
where
    D: Database,
    for<'c> &'c mut D::Connection: Executor<'c, Database = D>,
    D::Arguments: IntoArguments<D>,
    i64: sqlx::Type<D> + for<'q> sqlx::Encode<'q, D>,
{
    Box::pin(async move {
        let mut transaction = connection.begin_with(dialect.begin()).await?;
        let exchanges = sqlx::query::<D>(AssertSqlSafe(schema::delete_exchanges(dialect)));
        let exchanges = exchanges.bind(before).bind(PORTION).execute(&mut *transaction).await?;
        let quarters = sqlx::query::<D>(schema::delete_quarters(dialect));
        let quarters = quarters.bind(before).bind(PORTION).execute(&mut *transaction).await?;
        let deleted = affected(&exchanges) + affected(&quarters);
        transaction.commit().await?;
        Ok(deleted)
    })
}

/// Adds a portion of the sums of the oldest day before a time up to sums of this day. Returns whether there may be more.
pub(super) fn fold<'a, D>(
    connection: &'a mut D::Connection,
    dialect: Dialect,
    before: i64,
    zone: &'a TimeZone,
) -> Work<'a, bool>
where
    D: Database,
    for<'c> &'c mut D::Connection: Executor<'c, Database = D>,
    D::Arguments: IntoArguments<D>,
    String: sqlx::Type<D> + for<'q> sqlx::Encode<'q, D>,
    i64: sqlx::Type<D> + for<'q> sqlx::Encode<'q, D>,
    for<'r> (String,): FromRow<'r, D::Row>,
    for<'r> (i64,): FromRow<'r, D::Row>,
{
    Box::pin(async move {
        let mut transaction = connection.begin_with(dialect.begin()).await?;
        let oldest = sqlx::query_as::<D, (i64,)>(schema::oldest_quarter(dialect)).bind(before);
        let oldest = oldest.fetch_optional(&mut *transaction).await?;
        let day = oldest.and_then(|(at,)| day::around(at, zone).ok());
        let Some((from, to)) = day.filter(|(_, to)| *to <= before) else {
            transaction.rollback().await?;
            return Ok(false);
        };
        let take = sqlx::query_as::<D, (String,)>(AssertSqlSafe(schema::take_quarters(dialect)));
        let taken = take.bind(from).bind(to).bind(PORTION).fetch_all(&mut *transaction).await?;
        let rows: Vec<String> = taken.into_iter().map(|(row,)| row).collect();
        let folded = batch::folded(&rows, from).map_err(|e| sqlx::Error::Decode(e.into()))?;
        let insert = AssertSqlSafe(schema::insert_rows(dialect, Rows::Quarters));
        sqlx::query::<D>(insert).bind(folded).execute(&mut *transaction).await?;
        transaction.commit().await?;
        Ok(true)
    })
}
