//! A connection of the key store: the same statements for SQLite and PostgreSQL, with texts as arguments and results.
use std::path::PathBuf;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::sqlite::SqliteConnection;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Postgres, Row, Sqlite};

use crate::error::Problem;
use crate::ledger::config::LedgerUrl;
use crate::ledger::database::{Argument, Statement, bound, within};
use crate::ledger::schema::Dialect;
use crate::ledger::{postgres, sqlite};

/// The longest time for a connection, and for a statement.
const PATIENCE: Duration = Duration::from_secs(2);
/// The same for a statement in PostgreSQL itself.
const STATEMENT: Duration = Duration::from_millis(1500);

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
                Some(Self::Postgres(Box::new(postgres::limited(options, STATEMENT))))
            }
        })
    }

    /// Connects within the time limit.
    pub(super) async fn connect(&self) -> Result<Link, sqlx::Error> {
        match self {
            Self::Sqlite(path) => timed(sqlite::editor(path, PATIENCE)).await.map(Link::Sqlite),
            Self::Postgres(options) => timed(options.connect()).await.map(Link::Postgres),
        }
    }
}

impl Link {
    /// Returns the dialect of its statements.
    pub(super) fn dialect(&self) -> Dialect {
        match self {
            Self::Sqlite(_) => Dialect::Sqlite,
            Self::Postgres(_) => Dialect::Postgres,
        }
    }

    /// Runs one statement. Its results are texts.
    pub(super) async fn query(
        &mut self,
        text: &str,
        arguments: &[Argument],
    ) -> Result<Vec<Texts>, sqlx::Error> {
        let text = AssertSqlSafe(text.to_owned());
        match self {
            Self::Sqlite(connection) => {
                let query = sqlx::query_with::<Sqlite, _>(text, bound::<Sqlite>(arguments)?);
                timed(query.fetch_all(connection)).await?.iter().map(texts).collect()
            }
            Self::Postgres(connection) => {
                let query = sqlx::query_with::<Postgres, _>(text, bound::<Postgres>(arguments)?);
                timed(query.fetch_all(connection)).await?.iter().map(texts).collect()
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
        let begin = self.dialect().begin();
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
            Self::Sqlite(connection) => timed(connection.close()).await,
            Self::Postgres(connection) => timed(connection.close()).await,
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

async fn timed<T>(work: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, sqlx::Error> {
    within(PATIENCE, sqlx::Error::PoolTimedOut, work).await
}
