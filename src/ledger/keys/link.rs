//! A connection of the key store: the same statements for SQLite and PostgreSQL, with texts as arguments and results.
use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Row};

use crate::error::Problem;
use crate::ledger::config::LedgerUrl;
use crate::ledger::database::{Argument, Statement};
use crate::ledger::postgres;

/// The longest time for a connection, and for a statement.
const PATIENCE: Duration = Duration::from_secs(2);
/// The same for PostgreSQL itself.
const STATEMENT: &str = "1500ms";

/// The database of the ledger.
#[derive(Clone)]
pub(super) enum Place {
    Sqlite(PathBuf),
    Postgres(Box<PgConnectOptions>),
}

/// The texts of one row.
pub(super) type Texts = Vec<Option<String>>;

/// A connection. Dropped, it rolls its transaction back.
pub(super) enum Link {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

impl Place {
    /// Returns the place of a ledger; `None` if there is no ledger.
    pub(super) fn of(url: &LedgerUrl) -> Result<Option<Self>, Problem> {
        Ok(match url {
            LedgerUrl::Off | LedgerUrl::Sqlite(None) => None,
            LedgerUrl::Sqlite(Some(path)) => Some(Self::Sqlite(path.clone())),
            LedgerUrl::Postgres(url) => {
                let options = postgres::options(url.expose())?;
                let options = options.options([("statement_timeout", STATEMENT)]);
                Some(Self::Postgres(Box::new(options)))
            }
        })
    }

    /// Connects within the time limit.
    pub(super) async fn connect(&self) -> Result<Link, sqlx::Error> {
        match self {
            Self::Sqlite(path) => within(sqlite(path)).await.map(Link::Sqlite),
            Self::Postgres(options) => within(options.connect()).await.map(Link::Postgres),
        }
    }
}

async fn sqlite(path: &Path) -> Result<SqliteConnection, sqlx::Error> {
    let options = SqliteConnectOptions::new().filename(path).busy_timeout(PATIENCE);
    options.disable_statement_logging().connect().await
}

impl Link {
    /// Runs one statement. Its results are texts.
    pub(super) async fn query(
        &mut self,
        text: &str,
        arguments: &[Argument],
    ) -> Result<Vec<Texts>, sqlx::Error> {
        let text = AssertSqlSafe(text.to_owned());
        match self {
            Self::Sqlite(connection) => {
                let query =
                    arguments.iter().fold(sqlx::query(text), |query, argument| match argument {
                        Argument::Number(number) => query.bind(*number),
                        Argument::Text(text) => query.bind(text.clone()),
                        Argument::Maybe(text) => query.bind(text.clone()),
                    });
                within(query.fetch_all(connection)).await?.iter().map(texts).collect()
            }
            Self::Postgres(connection) => {
                let query =
                    arguments.iter().fold(sqlx::query(text), |query, argument| match argument {
                        Argument::Number(number) => query.bind(*number),
                        Argument::Text(text) => query.bind(text.clone()),
                        Argument::Maybe(text) => query.bind(text.clone()),
                    });
                within(query.fetch_all(connection)).await?.iter().map(texts).collect()
            }
        }
    }

    /// Runs statements without results.
    pub(super) async fn run(&mut self, statements: &[Statement]) -> Result<(), sqlx::Error> {
        for statement in statements {
            self.query(&statement.text, &statement.arguments).await?;
        }
        Ok(())
    }

    /// Begins a transaction that writes.
    pub(super) async fn begin(&mut self) -> Result<(), sqlx::Error> {
        let begin = match self {
            // a transaction that begins with reading fails at once if another connection wrote in the meantime
            Self::Sqlite(_) => "BEGIN IMMEDIATE",
            Self::Postgres(_) => "BEGIN",
        };
        self.query(begin, &[]).await.map(drop)
    }

    /// Commits the transaction, and closes the connection.
    pub(super) async fn commit(mut self) -> Result<(), sqlx::Error> {
        self.query("COMMIT", &[]).await?;
        self.close().await;
        Ok(())
    }

    /// Closes the connection.
    pub(super) async fn close(self) {
        // the database notices a closed socket as well
        let _ = match self {
            Self::Sqlite(connection) => within(connection.close()).await,
            Self::Postgres(connection) => within(connection.close()).await,
        };
    }
}

fn texts<R: Row>(row: &R) -> Result<Texts, sqlx::Error>
where
    usize: sqlx::ColumnIndex<R>,
    for<'r> Option<String>: sqlx::Decode<'r, R::Database> + sqlx::Type<R::Database>,
{
    (0..row.len()).map(|n| row.try_get(n)).collect()
}

/// Limits the time of an operation: a database that hangs answers nothing.
async fn within<T>(work: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, sqlx::Error> {
    match tokio::time::timeout(PATIENCE, work).await {
        Ok(result) => result,
        Err(_) => Err(sqlx::Error::PoolTimedOut),
    }
}
