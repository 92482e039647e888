//! The ledger in a PostgreSQL database: one writing connection, opened again when it is lost.
use std::time::Duration;

use jiff::tz::TimeZone;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgQueryResult};
use sqlx::{ConnectOptions, Connection, Postgres as Database, Row as _};

use crate::error::Problem;
use crate::ledger::batch::Batch;
use crate::ledger::schema::{self, Dialect};
use crate::ledger::transaction;

/// The longest time for a connection, and for a statement of the writer.
const PATIENCE: Duration = Duration::from_secs(10);
/// The same for the database itself.
const WRITING: Duration = Duration::from_secs(8);
/// The longest time for a query of a report, which may read every row.
pub(super) const READING: Duration = Duration::from_secs(600);
/// The key of the advisory lock during migrations: `tidegate` in ASCII.
const MIGRATIONS: i64 = 0x7469_6465_6761_7465;

/// The writer's connection.
pub(super) struct Postgres {
    options: PgConnectOptions,
    connection: Option<PgConnection>,
}

impl Postgres {
    /// Reads the URL, connects, and brings the tables up to date.
    ///
    /// Fails if the database is away: the gateway starts with a ledger that it has seen.
    pub(super) async fn open(url: &str) -> Result<Self, Problem> {
        // neither the URL nor an error about it may be shown: they may have a password
        let options = limited(options(url)?, WRITING);
        let broken = |e: sqlx::Error| {
            Problem::new("ledger.url", format!("the database cannot be used as a ledger: {e}"))
        };
        let mut connection = connect(&options).await.map_err(broken)?;
        let known = schema::migrations(Dialect::Postgres).len();
        // a newer schema works with this gateway: replicas are updated one after the other
        let version = migrate(&mut connection).await.map_err(broken)?;
        if version > known {
            tracing::info!(version, known, "the ledger's tables were made by a newer Tidegate");
        }
        Ok(Self { options, connection: Some(connection) })
    }

    /// Writes a batch in one transaction. Rows that are there already do not count again.
    pub(super) async fn write(&mut self, batch: &Batch) -> Result<(), sqlx::Error> {
        let connection = self.connected().await?;
        let written = within(transaction::insert(connection, batch)).await;
        self.judge(written)
    }

    /// Deletes a portion of the rows that began before a time. Returns whether there may be more.
    pub(super) async fn prune(&mut self, before: i64) -> Result<bool, sqlx::Error> {
        let connection = self.connected().await?;
        let affected = PgQueryResult::rows_affected;
        let deleted =
            transaction::delete::<Database>(connection, Dialect::Postgres, before, affected);
        let deleted = within(deleted).await;
        Ok(self.judge(deleted)? > 0)
    }

    /// Adds a portion of the sums of a day before a time up. Returns whether there may be more.
    pub(super) async fn fold(&mut self, before: i64, zone: &TimeZone) -> Result<bool, sqlx::Error> {
        let connection = self.connected().await?;
        let folded = transaction::fold::<Database>(connection, Dialect::Postgres, before, zone);
        let folded = within(folded).await;
        self.judge(folded)
    }

    /// Ends the connection.
    pub(super) async fn close(self) {
        if let Some(connection) = self.connection {
            // the database notices a closed socket as well
            let _ = within(connection.close()).await;
        }
    }

    async fn connected(&mut self) -> Result<&mut PgConnection, sqlx::Error> {
        match &mut self.connection {
            Some(connection) => Ok(connection),
            none => Ok(none.insert(connect(&self.options).await?)),
        }
    }

    /// Gives a connection up after an error that is not the database's answer.
    fn judge<T>(&mut self, result: Result<T, sqlx::Error>) -> Result<T, sqlx::Error> {
        if result.as_ref().is_err_and(|e| e.as_database_error().is_none() || !is_rejection(e)) {
            self.connection = None;
        }
        result
    }
}

/// Opens a connection for queries; the database ends one that takes longer than `time`.
pub(super) async fn reader(url: &str, time: Duration) -> Result<PgConnection, Problem> {
    connect(&reading(options(url)?, time))
        .await
        .map_err(|e| Problem::new("ledger.url", e.to_string()))
}

fn reading(options: PgConnectOptions, time: Duration) -> PgConnectOptions {
    limited(options, time).options([("default_transaction_read_only", "on")])
}

/// Has the database end statements that take longer than `time`.
pub(super) fn limited(options: PgConnectOptions, time: Duration) -> PgConnectOptions {
    options.options([("statement_timeout", format!("{}ms", time.as_millis()))])
}

/// Returns whether an error is about the rows, so that another try has the same end.
pub(super) fn is_rejection(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    // data exceptions, and violations of constraints
    code.is_some_and(|code| code.starts_with("22") || code.starts_with("23"))
}

/// Reads a URL. A problem never shows it.
pub(super) fn options(url: &str) -> Result<PgConnectOptions, Problem> {
    let read = url.parse::<PgConnectOptions>();
    let read = read.map_err(|_| {
        Problem::new(
            "ledger.url",
            "expected `postgres://USER:PASSWORD@HOST:PORT/NAME`, found a URL that cannot be read",
        )
    })?;
    Ok(read.application_name("tidegate").disable_statement_logging())
}

async fn connect(options: &PgConnectOptions) -> Result<PgConnection, sqlx::Error> {
    within(options.connect()).await
}

/// Limits the time of an operation: a database that hangs answers nothing.
async fn within<T>(work: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, sqlx::Error> {
    match tokio::time::timeout(PATIENCE, work).await {
        Ok(result) => result,
        Err(_) => Err(sqlx::Error::PoolTimedOut),
    }
}

/// Applies the migrations that are missing, while other gateways wait. Returns the version.
async fn migrate(connection: &mut PgConnection) -> Result<usize, sqlx::Error> {
    const TABLE: &str = "CREATE TABLE IF NOT EXISTS tidegate_ledger (version BIGINT NOT NULL)";
    const VERSION: &str = "SELECT coalesce(max(version), 0) FROM tidegate_ledger";
    let mut transaction = connection.begin().await?;
    // an index on a large table, or the wait for another gateway, takes longer than a batch
    sqlx::raw_sql("SET LOCAL statement_timeout = 0").execute(&mut *transaction).await?;
    // it ends with the transaction
    let lock = sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(MIGRATIONS);
    lock.execute(&mut *transaction).await?;
    sqlx::raw_sql(TABLE).execute(&mut *transaction).await?;
    let found = sqlx::query(VERSION).fetch_one(&mut *transaction).await?;
    let found = usize::try_from(found.try_get::<i64, _>(0)?).unwrap_or(0);
    let migrations = schema::migrations(Dialect::Postgres);
    for (n, migration) in migrations.iter().enumerate().skip(found) {
        sqlx::raw_sql(*migration).execute(&mut *transaction).await?;
        let insert = sqlx::query("INSERT INTO tidegate_ledger VALUES ($1)").bind(n as i64 + 1);
        insert.execute(&mut *transaction).await?;
    }
    transaction.commit().await?;
    Ok(found.max(migrations.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_may_take_longer_than_a_batch() {
        let url = || options("postgres://u:p@h/db?options=-c%20statement_timeout%3D5").unwrap();
        let reading = reading(url(), READING);
        let found = reading.get_options().unwrap();
        let last = found.rsplit_once("statement_timeout=").unwrap().1;
        assert!(last.starts_with("600000ms"), "{found}");
        assert!(found.contains("-c default_transaction_read_only=on"), "{found}");
        assert!(!found.contains("=8000ms"), "{found}");
    }
}
