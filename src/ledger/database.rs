//! `Database`: the ledger's database for the admin API. A few statements at a time, each bounded in time, and none on the
//! threads of requests.
use std::fmt;
use std::path::PathBuf;
use std::pin::Pin;
use std::time::{Duration, Instant};

use serde::{Deserialize, Deserializer, Serialize, de};
use serde_json::Value;
use sqlx::postgres::PgConnection;
use sqlx::sqlite::SqliteConnection;
use sqlx::{
    Arguments as _, AssertSqlSafe, ConnectOptions as _, Connection as _, Encode, Executor, FromRow,
    IntoArguments, Postgres, Sqlite, Type,
};
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::error::Secret;
use crate::ledger::config::LedgerUrl;
use crate::ledger::schema::Dialect;
use crate::ledger::{postgres, sqlite};

/// The most statements at a time.
const PLACES: usize = 4;
/// The longest wait for a place.
const WAIT: Duration = Duration::from_secs(2);
/// The longest time for the statements of one call.
pub(crate) const TIME: Duration = Duration::from_secs(5);
/// The instructions of SQLite between two looks at the clock.
const STEPS: i32 = 10_000;

/// The future of a transaction. It is boxed because the compiler cannot see that a generic one may change threads.
type Work<'a, T> = Pin<Box<dyn Future<Output = Result<T, Unavailable>> + Send + 'a>>;

/// The database of a ledger. Its tables exist: the writer has made them.
pub(crate) struct Database {
    site: Site,
    places: Semaphore,
    /// The longest time for the statements of one call.
    time: Duration,
}

enum Site {
    Sqlite(PathBuf),
    Postgres(Secret),
}

/// A statement with its arguments. Each row of a query is one text: a JSON object.
#[derive(Debug, Clone)]
pub(crate) struct Statement {
    /// The text, with arguments as `$1`, `$2`, ….
    pub(crate) text: String,
    /// The arguments.
    pub(crate) arguments: Vec<Argument>,
}

/// An argument of a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Argument {
    /// A whole number.
    Number(i64),
    /// A text.
    Text(String),
    /// A text or nothing.
    Maybe(Option<String>),
}

/// A position in a list of rows, newest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Position {
    /// Milliseconds since 1970.
    #[serde(deserialize_with = "moment")]
    pub(crate) at: i64,
    /// The row's id: 32 hexadecimal digits.
    #[serde(deserialize_with = "id")]
    pub(crate) id: String,
}

/// Reads a time that both databases can hold.
fn moment<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    let at = i64::deserialize(deserializer)?;
    let is_in_calendar = (0..=jiff::Timestamp::MAX.as_millisecond()).contains(&at);
    is_in_calendar.then_some(at).ok_or_else(|| de::Error::custom("no time of the calendar"))
}

fn id<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let id = String::deserialize(deserializer)?;
    is_id(&id).then_some(id).ok_or_else(|| de::Error::custom("no id of the ledger"))
}

/// Returns whether a text has the form of an id of the ledger.
pub(super) fn is_id(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The reason for which a database gave no rows.
#[derive(Debug)]
pub(crate) enum Unavailable {
    /// Other queries take all places.
    Busy,
    /// The statements took too long, and were stopped.
    TooSlow,
    /// The database is away, or rejects the statement. The text is for the log.
    Failed(String),
}

impl fmt::Display for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Busy => f.write_str("too many queries run at the same time"),
            Self::TooSlow => write!(f, "the query took longer than {} s", TIME.as_secs()),
            Self::Failed(error) => f.write_str(error),
        }
    }
}

impl From<sqlx::Error> for Unavailable {
    fn from(error: sqlx::Error) -> Self {
        // SQLITE_INTERRUPT, and `query_canceled` of PostgreSQL
        let code = error.as_database_error().and_then(|error| error.code());
        match code.as_deref() {
            Some("9" | "57014") => Self::TooSlow,
            _ => Self::Failed(error.to_string()),
        }
    }
}

/// An open connection.
enum Connected {
    Sqlite(SqliteConnection),
    Postgres(Box<PgConnection>),
}

/// The access that a connection needs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Access {
    Read,
    Write,
}

impl Database {
    /// Returns the database of a ledger; `None` if there is none.
    pub(crate) fn of(url: &LedgerUrl) -> Option<Self> {
        let site = match url {
            LedgerUrl::Off | LedgerUrl::Sqlite(None) => return None,
            LedgerUrl::Sqlite(Some(path)) => Site::Sqlite(path.clone()),
            LedgerUrl::Postgres(url) => Site::Postgres(url.clone()),
        };
        Some(Self { site, places: Semaphore::new(PLACES), time: TIME })
    }

    /// Returns the dialect of its statements.
    pub(super) fn dialect(&self) -> Dialect {
        match self.site {
            Site::Sqlite(_) => Dialect::Sqlite,
            Site::Postgres(_) => Dialect::Postgres,
        }
    }

    /// Runs queries, which all see the same moment. Returns the rows of each.
    pub(crate) async fn read(&self, queries: &[Statement]) -> Result<Vec<Vec<Value>>, Unavailable> {
        let _place = self.enter().await?;
        let (end, begin) = (Instant::now() + self.time, self.dialect().begin_reading());
        let work = async {
            match self.connect(Access::Read, end).await? {
                Connected::Sqlite(connection) => read::<Sqlite>(connection, begin, queries).await,
                Connected::Postgres(connection) => {
                    read::<Postgres>(*connection, begin, queries).await
                }
            }
        };
        let texts = within(self.time, Unavailable::TooSlow, work).await?;
        let parsed = texts.into_iter().map(|rows| {
            let rows = rows.iter().map(|row| serde_json::from_str(row));
            rows.collect::<Result<Vec<Value>, _>>()
        });
        let wrong = |e: serde_json::Error| Unavailable::Failed(format!("a row is no JSON: {e}"));
        parsed.collect::<Result<_, _>>().map_err(wrong)
    }

    /// Runs statements in one transaction: all of them, or none.
    pub(crate) async fn write(&self, statements: &[Statement]) -> Result<(), Unavailable> {
        let _place = self.enter().await?;
        let (end, begin) = (Instant::now() + self.time, self.dialect().begin());
        let work = async {
            match self.connect(Access::Write, end).await? {
                Connected::Sqlite(connection) => {
                    write::<Sqlite>(connection, begin, statements).await
                }
                Connected::Postgres(connection) => {
                    write::<Postgres>(*connection, begin, statements).await
                }
            }
        };
        within(self.time, Unavailable::TooSlow, work).await
    }

    async fn enter(&self) -> Result<SemaphorePermit<'_>, Unavailable> {
        let place = tokio::time::timeout(WAIT, self.places.acquire()).await;
        place.ok().and_then(Result::ok).ok_or(Unavailable::Busy)
    }

    async fn connect(&self, access: Access, end: Instant) -> Result<Connected, Unavailable> {
        match &self.site {
            Site::Sqlite(path) => {
                let mut connection = match access {
                    Access::Read => sqlite::reader(path).await?,
                    Access::Write => sqlite::editor(path, WAIT).await?,
                };
                // a query runs on a thread of its own, and goes on if nothing waits for it
                let is_in_time = move || Instant::now() < end;
                connection.lock_handle().await?.set_progress_handler(STEPS, is_in_time);
                Ok(Connected::Sqlite(connection))
            }
            Site::Postgres(url) => {
                let failed = |problem: crate::error::Problem| Unavailable::Failed(problem.message);
                let connection = match access {
                    Access::Read => postgres::reader(url.expose(), TIME).await.map_err(failed)?,
                    Access::Write => {
                        let options = postgres::options(url.expose()).map_err(failed)?;
                        postgres::limited(options, TIME).connect().await?
                    }
                };
                Ok(Connected::Postgres(Box::new(connection)))
            }
        }
    }
}

/// Limits the time of an operation, since a database that hangs answers nothing. Fails with `late` after it.
pub(super) async fn within<T, E>(
    time: Duration,
    late: E,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    tokio::time::timeout(time, work).await.unwrap_or(Err(late))
}

/// Runs the queries in one transaction, and closes the connection.
fn read<'a, D>(
    mut connection: D::Connection,
    begin: &'static str,
    queries: &'a [Statement],
) -> Work<'a, Vec<Vec<String>>>
where
    D: sqlx::Database,
    D::Connection: 'a,
    for<'c> &'c mut D::Connection: Executor<'c, Database = D>,
    D::Arguments: IntoArguments<D>,
    i64: Type<D> + for<'q> Encode<'q, D>,
    String: Type<D> + for<'q> Encode<'q, D>,
    Option<String>: Type<D> + for<'q> Encode<'q, D>,
    for<'r> (String,): FromRow<'r, D::Row>,
{
    Box::pin(async move {
        let mut transaction = connection.begin_with(begin).await?;
        let mut all = Vec::new();
        for Statement { text, arguments } in queries {
            let text = AssertSqlSafe(text.clone());
            let query = sqlx::query_as_with::<D, (String,), _>(text, bound::<D>(arguments)?);
            let rows = query.fetch_all(&mut *transaction).await?;
            all.push(rows.into_iter().map(|(row,)| row).collect());
        }
        transaction.rollback().await?;
        connection.close().await?;
        Ok(all)
    })
}

/// Runs the statements in one transaction, and closes the connection.
fn write<'a, D>(
    mut connection: D::Connection,
    begin: &'static str,
    statements: &'a [Statement],
) -> Work<'a, ()>
where
    D: sqlx::Database,
    D::Connection: 'a,
    for<'c> &'c mut D::Connection: Executor<'c, Database = D>,
    D::Arguments: IntoArguments<D>,
    i64: Type<D> + for<'q> Encode<'q, D>,
    String: Type<D> + for<'q> Encode<'q, D>,
    Option<String>: Type<D> + for<'q> Encode<'q, D>,
{
    Box::pin(async move {
        let mut transaction = connection.begin_with(begin).await?;
        for Statement { text, arguments } in statements {
            let text = AssertSqlSafe(text.clone());
            let query = sqlx::query_with::<D, _>(text, bound::<D>(arguments)?);
            query.execute(&mut *transaction).await?;
        }
        transaction.commit().await?;
        Ok(connection.close().await?)
    })
}

/// Returns the arguments of a statement in the form of a database.
pub(super) fn bound<D>(arguments: &[Argument]) -> Result<D::Arguments, sqlx::Error>
where
    D: sqlx::Database,
    i64: Type<D> + for<'q> Encode<'q, D>,
    String: Type<D> + for<'q> Encode<'q, D>,
    Option<String>: Type<D> + for<'q> Encode<'q, D>,
{
    let mut all = D::Arguments::default();
    for argument in arguments {
        let added = match argument {
            Argument::Number(number) => all.add(*number),
            Argument::Text(text) => all.add(text.clone()),
            Argument::Maybe(text) => all.add(text.clone()),
        };
        added.map_err(sqlx::Error::Encode)?;
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use sqlx::sqlite::SqliteConnectOptions;

    use super::*;

    fn query(text: &str) -> [Statement; 1] {
        [Statement { text: text.to_owned(), arguments: Vec::new() }]
    }

    #[tokio::test]
    async fn a_query_without_an_end_is_stopped_and_gives_its_place_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("l.sqlite");
        let created = SqliteConnectOptions::new().filename(&path).create_if_missing(true);
        let mut connection = created.connect().await.unwrap();
        sqlx::query("CREATE TABLE t (n INTEGER)").execute(&mut connection).await.unwrap();
        let database = Database::of(&LedgerUrl::Sqlite(Some(path))).unwrap();
        let database = Database { time: Duration::from_millis(30), ..database };
        let endless = query(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT json_array(max(i)) FROM n",
        );
        for _ in 0..2 * PLACES {
            let stopped = database.read(&endless).await;
            assert!(matches!(stopped, Err(Unavailable::TooSlow)), "{stopped:?}");
        }
        let database = Database { time: TIME, ..database };
        let rows = database.read(&query("SELECT json_array(1)")).await.unwrap();
        assert_eq!(rows, [[serde_json::json!([1])]]);
    }

    #[tokio::test]
    async fn a_reader_changes_nothing_and_a_failed_write_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("l.sqlite");
        let created = SqliteConnectOptions::new().filename(&path).create_if_missing(true);
        let mut connection = created.connect().await.unwrap();
        sqlx::query("CREATE TABLE t (n INTEGER)").execute(&mut connection).await.unwrap();
        let database = Database::of(&LedgerUrl::Sqlite(Some(path))).unwrap();
        let insert = Statement {
            text: "INSERT INTO t VALUES ($1)".to_owned(),
            arguments: vec![Argument::Number(7)],
        };
        let wrong =
            Statement { text: "INSERT INTO nothing VALUES (1)".to_owned(), arguments: vec![] };
        assert!(database.write(&[insert.clone(), wrong]).await.is_err());
        assert!(database.read(std::slice::from_ref(&insert)).await.is_err());
        let count = query("SELECT json_array(count(*), max(n)) FROM t");
        let counted = |rows: Vec<Vec<Value>>| rows[0][0].to_string();
        assert_eq!(counted(database.read(&count).await.unwrap()), "[0,null]");
        database.write(&[insert]).await.unwrap();
        assert_eq!(counted(database.read(&count).await.unwrap()), "[1,7]");
    }
}
