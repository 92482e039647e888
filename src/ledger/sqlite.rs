//! The ledger in a SQLite file: one writer, which holds a lock, and readers that open the file for reading only.
use std::collections::HashSet;
use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::sqlite::{
    SqliteAutoVacuum, SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous,
};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Row as _};

use crate::error::Problem;
use crate::ledger::batch::{Batch, Rows};
use crate::ledger::schema::{self, Dialect};

const PAGE: u64 = 4096;
/// The size to which the write-ahead log shrinks after a checkpoint.
const WAL_BYTES: &str = "16777216";
/// The longest wait for a lock of another connection.
const BUSY: Duration = Duration::from_secs(5);
/// The most rows that one transaction deletes.
const PORTION: i64 = 1000;
/// The pages that are given back at a time.
const FREED: &str = "PRAGMA incremental_vacuum(256)";

/// The writer's connection.
pub(super) struct Sqlite {
    connection: SqliteConnection,
    max_pages: i64,
    /// Kept for its lock, which ends with the process.
    _lock: File,
}

impl Sqlite {
    /// Opens or creates the file, and brings its tables up to date.
    ///
    /// Fails if another process writes to it, or if it cannot be written.
    pub(super) async fn open(path: &Path, max_size: u64) -> Result<Self, Problem> {
        let problem =
            |message: String| Problem::new("ledger.url", format!("{}: {message}", path.display()));
        let unusable = |e: std::io::Error| {
            problem(format!(
                "cannot be written: {e}; name another `state_dir` or `ledger.url`, or set `ledger.url` to `off`"
            ))
        };
        if let Some(dir) = path.parent() {
            std::fs::create_dir_all(dir).map_err(unusable)?;
        }
        let lock = lock(path).map_err(|e| match e {
            TryLockError::WouldBlock => problem(
                "another gateway writes to this file: stop it, or give each gateway its own `state_dir`, or a PostgreSQL database"
                    .to_owned(),
            ),
            TryLockError::Error(e) => unusable(e),
        })?;
        // SQLite creates the other files with the permissions of this one
        private(path).map_err(unusable)?;
        let max_pages = i64::try_from(max_size / PAGE).unwrap_or(i64::MAX);
        let options = SqliteConnectOptions::new()
            .filename(path)
            .page_size(PAGE as u32)
            .auto_vacuum(SqliteAutoVacuum::Incremental)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Normal)
            .foreign_keys(true)
            .busy_timeout(BUSY)
            .pragma("journal_size_limit", WAL_BYTES)
            .pragma("max_page_count", max_pages.to_string());
        let options = options.disable_statement_logging();
        let broken = |e: sqlx::Error| problem(format!("cannot be used as a ledger: {e}"));
        let mut connection = options.connect().await.map_err(broken)?;
        match migrate(&mut connection).await.map_err(broken)? {
            Version::Current => Ok(Self { connection, max_pages, _lock: lock }),
            Version::Newer(version) => Err(problem(format!(
                "its tables have version {version}, which a newer Tidegate made: this one knows up to {}",
                schema::migrations(Dialect::Sqlite).len()
            ))),
        }
    }

    /// Writes a batch in one transaction. Rows that are there already do not count again.
    pub(super) async fn write(&mut self, batch: &Batch) -> Result<(), sqlx::Error> {
        // a transaction that begins with reading fails at once if another connection wrote in the meantime
        let mut transaction = self.connection.begin_with("BEGIN IMMEDIATE").await?;
        let insert = schema::insert_exchanges(Dialect::Sqlite);
        let inserted = sqlx::query(AssertSqlSafe(insert)).bind(batch.exchanges());
        let inserted = inserted.fetch_all(&mut *transaction).await?;
        let new = inserted.iter().map(|row| row.try_get(0));
        let new: HashSet<String> = new.collect::<Result<_, _>>()?;
        for kind in Rows::ALL {
            let Some(rows) = batch.of_kind(kind, &new) else { continue };
            let insert = schema::insert_rows(Dialect::Sqlite, kind);
            sqlx::query(AssertSqlSafe(insert)).bind(rows).execute(&mut *transaction).await?;
        }
        transaction.commit().await
    }

    /// Deletes a portion of the rows that began before a time, or of the oldest ones if the file is almost full.
    /// Returns whether there may be more.
    pub(super) async fn prune(&mut self, before: i64) -> Result<bool, sqlx::Error> {
        let is_full = self.used().await? > self.max_pages / 10 * 9;
        let before = if is_full { i64::MAX } else { before };
        let deleted = self.delete(before).await?;
        if deleted > 0 {
            // each step of the statement frees a page
            sqlx::query(FREED).fetch_all(&mut self.connection).await?;
        }
        Ok(deleted > 0)
    }

    /// Deletes the oldest rows. Returns whether there were any.
    pub(super) async fn make_room(&mut self) -> Result<bool, sqlx::Error> {
        Ok(self.delete(i64::MAX).await? > 0)
    }

    /// Closes the file. Everything is in it then, without a write-ahead log beside it.
    pub(super) async fn close(self) {
        if let Err(e) = self.connection.close().await {
            tracing::warn!(error = %e, "the ledger's file could not be closed");
        }
    }

    async fn delete(&mut self, before: i64) -> Result<u64, sqlx::Error> {
        const EXCHANGES: &str = "DELETE FROM exchange WHERE id IN (SELECT id FROM exchange WHERE at < ?1 ORDER BY at LIMIT ?2)";
        // sums stay as long as there are rows of their quarter of an hour
        const QUARTERS: &str = "DELETE FROM quarter WHERE (at, key, model, target) IN (SELECT at, key, model, target FROM quarter \
             WHERE at + 900000 <= min(?1, coalesce((SELECT min(at) FROM exchange), ?1)) ORDER BY at LIMIT ?2)";
        let mut transaction = self.connection.begin_with("BEGIN IMMEDIATE").await?;
        let mut deleted = 0;
        for statement in [EXCHANGES, QUARTERS] {
            let done = sqlx::query(statement).bind(before).bind(PORTION);
            deleted += done.execute(&mut *transaction).await?.rows_affected();
        }
        transaction.commit().await?;
        Ok(deleted)
    }

    /// Returns the number of pages with content.
    async fn used(&mut self) -> Result<i64, sqlx::Error> {
        let pages = sqlx::query("PRAGMA page_count").fetch_one(&mut self.connection).await?;
        let free = sqlx::query("PRAGMA freelist_count").fetch_one(&mut self.connection).await?;
        Ok(pages.try_get::<i64, _>(0)? - free.try_get::<i64, _>(0)?)
    }
}

/// Returns the error if this process may not write to the folder of a file, such as in a read-only container.
pub(super) fn unwritable(path: &Path) -> Option<std::io::Error> {
    let created = path.parent().map_or(Ok(()), std::fs::create_dir_all);
    let error = created.and_then(|()| private(&lock_file(path))).err()?;
    let is_forbidden = matches!(
        error.kind(),
        std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::ReadOnlyFilesystem
    );
    is_forbidden.then_some(error)
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
    // generic, too big, constraint, mismatch
    matches!(code(error), Some(1 | 18 | 19 | 20))
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

enum Version {
    Current,
    Newer(i64),
}

/// Applies the migrations that are missing, each in a transaction.
async fn migrate(connection: &mut SqliteConnection) -> Result<Version, sqlx::Error> {
    let migrations = schema::migrations(Dialect::Sqlite);
    let found = sqlx::query("PRAGMA user_version").fetch_one(&mut *connection).await?;
    let found: i64 = found.try_get(0)?;
    if found > migrations.len() as i64 {
        return Ok(Version::Newer(found));
    }
    for (n, migration) in migrations.iter().enumerate().skip(usize::try_from(found).unwrap_or(0)) {
        let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
        sqlx::raw_sql(*migration).execute(&mut *transaction).await?;
        let version = format!("PRAGMA user_version = {}", n + 1);
        sqlx::raw_sql(AssertSqlSafe(version)).execute(&mut *transaction).await?;
        transaction.commit().await?;
    }
    Ok(Version::Current)
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
