//! The ledger in a SQLite file: one writer, which holds a lock, and readers that open the file for reading only.
mod insert;
mod room;

use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::tz::TimeZone;
use sqlx::sqlite::{
    SqliteAutoVacuum, SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous,
};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Row as _, Sqlite as Database};

use crate::error::Problem;
use crate::ledger::batch::Batch;
use crate::ledger::schema::{self, Dialect};
use crate::ledger::sqlite::insert::Inserts;
use crate::ledger::sqlite::room::PAGE;
pub(super) use crate::ledger::sqlite::room::Room;
use crate::ledger::transaction;

/// The size to which the write-ahead log shrinks after a checkpoint.
const WAL_BYTES: &str = "16777216";
/// The longest wait for a lock of another connection.
const BUSY: Duration = Duration::from_secs(5);
/// The least exchanges of a part, if a gateway writes so many.
const PART: usize = 512;
/// The most bytes of the file for a byte of a batch as JSON: indexes, pages that are half full, and a page of its own
/// for the end of each long row.
const GROWTH: u64 = 6;
/// The size of an empty file, with room to spare.
const EMPTY: u64 = 32 * PAGE;

/// The writer's connection, opened again after an error.
pub(super) struct Sqlite {
    path: PathBuf,
    options: SqliteConnectOptions,
    connection: Option<SqliteConnection>,
    inserts: Inserts,
    part: Part,
    max_size: u64,
    /// Kept for its lock, which ends with the process.
    _lock: File,
}

/// The part of the file that rows are written to.
#[derive(Debug, Clone, Copy, Default)]
struct Part {
    number: i64,
    rows: usize,
}

/// The reason for which a ledger is not opened.
#[derive(Debug)]
pub(super) enum Unopened {
    /// Another gateway writes to the file.
    InUse(Problem),
    /// The database cannot be used.
    Unusable(Problem),
}

impl Sqlite {
    /// Opens or creates the file, and brings its tables up to date.
    ///
    /// Fails if another process writes to it, or if it cannot be written.
    pub(super) async fn open(path: &Path, max_size: u64) -> Result<Self, Unopened> {
        let problem =
            |message: String| Problem::new("ledger.url", format!("{}: {message}", path.display()));
        let unusable = |e: std::io::Error| {
            Unopened::Unusable(problem(format!(
                "cannot be written: {e}; name another `state_dir` or `ledger.url`, or set `ledger.url` to `off`"
            )))
        };
        if let Some(dir) = path.parent() {
            std::fs::create_dir_all(dir).map_err(unusable)?;
        }
        let lock = lock(path).map_err(|e| match e {
            TryLockError::WouldBlock => Unopened::InUse(problem(
                "another gateway writes to this file: stop it, or give each gateway its own `state_dir`, or a PostgreSQL database"
                    .to_owned(),
            )),
            TryLockError::Error(e) => unusable(e),
        })?;
        // the other errors of the file come from SQLite, without the name of the system's error
        private(path).map_err(unusable)?;
        let mut this = Self {
            path: path.to_owned(),
            options: options(path),
            connection: None,
            inserts: Inserts::new(),
            part: Part::default(),
            max_size,
            _lock: lock,
        };
        let broken = |message: String| {
            Unopened::Unusable(problem(format!("cannot be used as a ledger: {message}")))
        };
        let version = this.connect().await.map_err(|e| broken(e.to_string()))?;
        let known = schema::migrations(Dialect::Sqlite).len() as i64;
        match version <= known {
            true => Ok(this),
            false => Err(broken(format!(
                "its tables have version {version}, which a newer Tidegate made: this one knows up to {known}"
            ))),
        }
    }

    /// Writes a batch in one transaction. Rows that are there already do not count again.
    pub(super) async fn write(&mut self, batch: &Batch) -> Result<(), sqlx::Error> {
        self.connected().await?;
        let part = self.part.next(batch.rows.len());
        let connection = self.connection.as_mut().ok_or(sqlx::Error::WorkerCrashed)?;
        let written = self.inserts.write(connection, batch, part).await;
        self.judge(written).await
    }

    /// Deletes a portion of the rows that began before a time, or of the oldest ones if the file is almost full.
    /// Returns whether there may be more.
    pub(super) async fn prune(&mut self, before: i64) -> Result<bool, sqlx::Error> {
        let max_size = self.max_size;
        let deleted = room::prune(self.connected().await?, before, max_size).await;
        Ok(self.judge(deleted).await? > 0)
    }

    /// Adds a portion of the sums of a day before a time up. Returns whether there may be more.
    pub(super) async fn fold(&mut self, before: i64, zone: &TimeZone) -> Result<bool, sqlx::Error> {
        let connection = self.connected().await?;
        let folded = transaction::fold::<Database>(connection, Dialect::Sqlite, before, zone).await;
        self.judge(folded).await
    }

    /// Deletes the oldest rows if the file has no room for a batch.
    pub(super) async fn make_room(&mut self, batch: &Batch) -> Result<Room, sqlx::Error> {
        let needed = EMPTY.saturating_add(batch.bytes().saturating_mul(GROWTH));
        let room = self.max_size.saturating_sub(needed);
        let made = room::make(self.connected().await?, room).await;
        self.judge(made).await
    }

    /// Closes the file. Everything is in it then, without a write-ahead log beside it.
    pub(super) async fn close(self) {
        if let Some(connection) = self.connection
            && let Err(e) = connection.close().await
        {
            tracing::warn!(error = %e, "the ledger's file could not be closed");
        }
    }

    async fn connected(&mut self) -> Result<&mut SqliteConnection, sqlx::Error> {
        if self.connection.is_none() {
            // the version was checked at the start, and the lock keeps other gateways away
            self.connect().await?;
        }
        self.connection.as_mut().ok_or(sqlx::Error::WorkerCrashed)
    }

    /// Opens the file, creates the tables that are missing, and returns their version.
    async fn connect(&mut self) -> Result<i64, sqlx::Error> {
        // SQLite creates the other files with the permissions of this one
        private(&self.path)?;
        let mut connection = self.options.connect().await?;
        let version = migrate(&mut connection).await?;
        if version == schema::migrations(Dialect::Sqlite).len() as i64 {
            // only now: a full file has no room for a migration
            room::limit(&mut connection, self.max_size).await?;
            let last = sqlx::query("SELECT coalesce(max(part), 0) FROM exchange");
            let last: i64 = last.fetch_one(&mut connection).await?.try_get(0)?;
            self.part = Part { number: last + 1, rows: 0 };
        }
        self.connection = Some(connection);
        Ok(version)
    }

    /// Gives the connection up after an error. After some errors SQLite ends the transaction by itself, and sqlx would
    /// count it as open for ever.
    async fn judge<T>(&mut self, result: Result<T, sqlx::Error>) -> Result<T, sqlx::Error> {
        if result.is_err()
            && let Some(connection) = self.connection.take()
        {
            // its locks end before the next one begins; the first error is the one that counts
            let _ = connection.close().await;
        }
        result
    }
}

impl Part {
    /// Returns the number of the part for some more rows.
    fn next(&mut self, rows: usize) -> i64 {
        if self.rows >= PART {
            *self = Self { number: self.number + 1, rows: 0 };
        }
        self.rows += rows;
        self.number
    }
}

fn options(path: &Path) -> SqliteConnectOptions {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .page_size(PAGE as u32)
        .auto_vacuum(SqliteAutoVacuum::Incremental)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Normal)
        .foreign_keys(true)
        .busy_timeout(BUSY)
        .pragma("journal_size_limit", WAL_BYTES);
    options.disable_statement_logging()
}

/// Opens a file that the writer has made, for single changes. A change waits for others, but no longer than `wait`.
pub(super) async fn editor(path: &Path, wait: Duration) -> Result<SqliteConnection, sqlx::Error> {
    let options = SqliteConnectOptions::new().filename(path).busy_timeout(wait);
    options.disable_statement_logging().connect().await
}

/// Opens a file for queries; it may be in use by a gateway.
pub(super) async fn reader(path: &Path) -> Result<SqliteConnection, sqlx::Error> {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .read_only(true)
        .busy_timeout(BUSY)
        .disable_statement_logging();
    options.connect().await
}

/// Returns whether an error is about the rows, so that another try has the same end.
pub(super) fn is_rejection(error: &sqlx::Error) -> bool {
    // too big, constraint, mismatch
    matches!(code(error), Some(18..=20))
}

/// Returns whether the file has reached its largest size, or the disk is full.
pub(super) fn is_full(error: &sqlx::Error) -> bool {
    code(error) == Some(13)
}

/// Returns the primary code of a database's error.
fn code(error: &sqlx::Error) -> Option<u32> {
    let extended: u32 = error.as_database_error()?.code()?.parse().ok()?;
    Some(extended & 0xff)
}

/// Applies the migrations that are missing, each in a transaction. Returns the version of the tables, which a newer
/// gateway may have made.
async fn migrate(connection: &mut SqliteConnection) -> Result<i64, sqlx::Error> {
    let migrations = schema::migrations(Dialect::Sqlite);
    let found = sqlx::query("PRAGMA user_version").fetch_one(&mut *connection).await?;
    let found: i64 = found.try_get(0)?;
    for (n, migration) in migrations.iter().enumerate().skip(usize::try_from(found).unwrap_or(0)) {
        let mut transaction = connection.begin_with(Dialect::Sqlite.begin()).await?;
        sqlx::raw_sql(*migration).execute(&mut *transaction).await?;
        let version = format!("PRAGMA user_version = {}", n + 1);
        sqlx::raw_sql(AssertSqlSafe(version)).execute(&mut *transaction).await?;
        transaction.commit().await?;
    }
    Ok(found.max(migrations.len() as i64))
}

/// Takes the lock of a ledger: a file beside it, since SQLite's own locks are held for a moment only.
fn lock(path: &Path) -> Result<File, TryLockError> {
    let file = private(&lock_file(path)).map_err(TryLockError::Error)?;
    file.try_lock()?;
    Ok(file)
}

fn lock_file(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    name.into()
}

/// Opens or creates a file that only this user can read.
fn private(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().create(true).write(true).truncate(false).mode(0o600).open(path)
}

#[cfg(test)]
mod tests;
