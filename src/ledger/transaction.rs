//! The transactions of the writer: the same statements for both databases.
use std::collections::HashSet;
use std::pin::Pin;

use sqlx::{AssertSqlSafe, Connection, Database, Executor, FromRow, IntoArguments};

use crate::ledger::batch::{Batch, Rows};
use crate::ledger::schema::{self, Dialect};

/// The most rows of a table that one transaction deletes.
const PORTION: i64 = 1000;

/// The future of a transaction. It is boxed because the compiler cannot see that a generic one may change threads.
type Work<'a, T> = Pin<Box<dyn Future<Output = Result<T, sqlx::Error>> + Send + 'a>>;

/// Writes a batch. Rows that are there already do not count again.
pub(super) fn insert<'a, D>(
    connection: &'a mut D::Connection,
    dialect: Dialect,
    batch: &'a Batch,
) -> Work<'a, ()>
where
    D: Database,
    for<'c> &'c mut D::Connection: Executor<'c, Database = D>,
    D::Arguments: IntoArguments<D>,
    String: sqlx::Type<D> + for<'q> sqlx::Encode<'q, D>,
    for<'r> (String,): FromRow<'r, D::Row>,
{
    Box::pin(async move {
        let mut transaction = connection.begin_with(dialect.begin()).await?;
        let insert = AssertSqlSafe(schema::insert_exchanges(dialect));
        let inserted = sqlx::query_scalar::<D, String>(insert).bind(batch.exchanges());
        let new: HashSet<String> =
            inserted.fetch_all(&mut *transaction).await?.into_iter().collect();
        for kind in Rows::ALL {
            let Some(rows) = batch.of_kind(kind, &new) else { continue };
            let insert = AssertSqlSafe(schema::insert_rows(dialect, kind));
            sqlx::query::<D>(insert).bind(rows).execute(&mut *transaction).await?;
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
        let mut deleted = 0;
        for statement in schema::deletes(dialect) {
            let done = sqlx::query::<D>(statement).bind(before).bind(PORTION);
            deleted += affected(&done.execute(&mut *transaction).await?);
        }
        transaction.commit().await?;
        Ok(deleted)
    })
}
