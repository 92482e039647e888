//! Tests of the file: batches that are sent twice, settings, and files that cannot be used.
use std::sync::Arc;
use std::time::Instant;

use crate::ledger::config::QueueConfig;
use crate::ledger::queue::Queue;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::outcome::Ending;
use crate::telemetry::record::Operation;
use crate::telemetry::story::Story;

use super::*;

const SIZE: u64 = 1 << 30;

/// A batch of exchanges without attempts.
async fn batch(models: &[&str]) -> Batch {
    let metrics = Metrics::new();
    let queue = Queue::new(QueueConfig::default(), metrics.ledger.clone());
    for model in models {
        let story = Story::begin("req_1", Instant::now(), Operation::Messages);
        story.name("key", model);
        story.end(Ending::Whole, &metrics);
        queue.push(&Arc::clone(&story));
    }
    Batch::of(&queue.batch().await)
}

async fn number(store: &mut Sqlite, statement: &'static str) -> i64 {
    let row = sqlx::query(statement).fetch_one(store.connected().await.unwrap()).await.unwrap();
    row.get(0)
}

#[tokio::test]
async fn a_batch_that_is_sent_again_counts_once() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = Sqlite::open(&folder.path().join("l.sqlite"), SIZE).await.unwrap();
    let mut first = batch(&["a", "b"]).await;
    let other = batch(&["a"]).await;
    for _ in 0..3 {
        store.write(&first).await.unwrap();
    }
    // new rows beside old ones count
    first.rows.extend(other.rows);
    store.write(&first).await.unwrap();
    assert_eq!(number(&mut store, "SELECT count(*) FROM exchange").await, 3);
    assert_eq!(number(&mut store, "SELECT sum(requests) FROM quarter").await, 3);
}

#[tokio::test]
async fn a_file_is_set_up_for_one_writer_and_many_readers() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("deep/er/l.sqlite");
    let mut store = Sqlite::open(&path, SIZE).await.unwrap();
    for (pragma, value) in [
        ("PRAGMA auto_vacuum", 2),
        ("PRAGMA synchronous", 1),
        ("PRAGMA foreign_keys", 1),
        ("PRAGMA user_version", schema::migrations(Dialect::Sqlite).len() as i64),
        ("PRAGMA max_page_count", 1 << 18),
        ("PRAGMA journal_size_limit", 16 << 20),
    ] {
        assert_eq!(number(&mut store, pragma).await, value, "{pragma}");
    }
    let mode = sqlx::query("PRAGMA journal_mode").fetch_one(store.connected().await.unwrap());
    let mode = mode.await.unwrap();
    assert_eq!(mode.get::<String, _>(0), "wal");
    let mode = std::os::unix::fs::PermissionsExt::mode(&path.metadata().unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
}

#[tokio::test]
async fn a_file_in_use_of_a_newer_version_or_of_another_kind_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("l.sqlite");
    let refused = async |path: &Path| match Sqlite::open(path, SIZE).await {
        Ok(_) => panic!("the file was opened"),
        Err(Unopened::InUse(problem)) => format!("in use: {problem}"),
        Err(Unopened::Unusable(problem)) => problem.to_string(),
    };
    let mut store = Sqlite::open(&path, SIZE).await.unwrap();
    let said = refused(&path).await;
    assert!(
        said.starts_with("in use") && said.contains("another gateway writes to this file"),
        "{said}"
    );
    let known = format!("up to {}", schema::migrations(Dialect::Sqlite).len());
    sqlx::raw_sql("PRAGMA user_version = 7")
        .execute(store.connected().await.unwrap())
        .await
        .unwrap();
    store.close().await;
    let said = refused(&path).await;
    assert!(said.contains("version 7") && said.contains(&known), "{said}");
    let path = folder.path().join("other");
    std::fs::write(&path, "no database ".repeat(100)).unwrap();
    let said = refused(&path).await;
    assert!(said.contains("cannot be used as a ledger"), "{said}");
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    let said = refused(&path).await;
    assert!(said.contains("cannot be written"), "{said}");
}

/// Makes the next commit fail, and SQLite end the transaction by itself, as it does when the disk fails.
async fn break_next_commit(store: &mut Sqlite) {
    let connection = store.connected().await.unwrap();
    connection.lock_handle().await.unwrap().set_commit_hook(|| false);
}

#[tokio::test]
async fn the_file_is_opened_again_after_an_error_in_which_sqlite_ends_the_transaction() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = Sqlite::open(&folder.path().join("l.sqlite"), SIZE).await.unwrap();
    let first = batch(&["a"]).await;
    break_next_commit(&mut store).await;
    assert!(store.write(&first).await.is_err());
    store.write(&first).await.unwrap();
    break_next_commit(&mut store).await;
    assert!(store.prune(i64::MAX).await.is_err());
    assert_eq!(number(&mut store, "SELECT count(*) FROM exchange").await, 1);
    assert!(store.prune(i64::MAX).await.unwrap());
    assert_eq!(number(&mut store, "SELECT count(*) FROM exchange").await, 0);
    // the settings are those of the first time, and the lock is kept
    assert_eq!(number(&mut store, "PRAGMA max_page_count").await, 1 << 18);
    let second = Sqlite::open(&folder.path().join("l.sqlite"), SIZE).await;
    assert!(matches!(second, Err(Unopened::InUse(_))));
}

#[tokio::test]
async fn a_file_that_was_removed_is_created_again_after_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("l.sqlite");
    let mut store = Sqlite::open(&path, SIZE).await.unwrap();
    break_next_commit(&mut store).await;
    assert!(store.write(&batch(&["a"]).await).await.is_err());
    std::fs::remove_file(&path).unwrap();
    store.write(&batch(&["a", "b"]).await).await.unwrap();
    assert_eq!(number(&mut store, "SELECT count(*) FROM exchange").await, 2);
}

#[tokio::test]
async fn rows_are_deleted_for_a_batch_only_if_the_file_has_no_room_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("l.sqlite");
    let mut store = Sqlite::open(&path, 1 << 20).await.unwrap();
    store.write(&batch(&["a", "b"]).await).await.unwrap();
    // the disk is full, not the file
    assert_eq!(store.make_room(&batch(&["c"]).await).await.unwrap(), Room::Enough);
    assert_eq!(number(&mut store, "SELECT count(*) FROM exchange").await, 2);
    let large = batch(&["m"; crate::ledger::queue::BATCH]).await;
    assert!(large.bytes() * GROWTH > 1 << 19, "{}", large.bytes());
    store.close().await;
    let mut store = Sqlite::open(&path, large.bytes() * GROWTH).await.unwrap();
    assert_eq!(store.make_room(&large).await.unwrap(), Room::Made);
    assert_eq!(number(&mut store, "SELECT count(*) FROM exchange").await, 0);
    assert_eq!(store.make_room(&large).await.unwrap(), Room::TooSmall);
}

#[tokio::test]
async fn the_queries_of_a_report_see_one_moment_while_rows_are_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("l.sqlite");
    let mut store = Sqlite::open(&path, SIZE).await.unwrap();
    store.write(&batch(&["a"]).await).await.unwrap();
    let mut reader = reader(&path).await.unwrap();
    let count = || sqlx::query_scalar::<_, i64>("SELECT count(*) FROM exchange");
    let mut report = reader.begin_with(Dialect::Sqlite.begin_reading()).await.unwrap();
    assert_eq!(count().fetch_one(&mut *report).await.unwrap(), 1);
    store.write(&batch(&["b", "c"]).await).await.unwrap();
    assert_eq!(count().fetch_one(&mut *report).await.unwrap(), 1);
    report.rollback().await.unwrap();
    assert_eq!(count().fetch_one(&mut reader).await.unwrap(), 3);
}

#[tokio::test]
async fn tables_of_the_version_before_get_their_columns_and_keep_their_rows() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("l.sqlite");
    let mut old = options(&path, SIZE).create_if_missing(true).connect().await.unwrap();
    let tables = [schema::migrations(Dialect::Sqlite)[0], "PRAGMA user_version = 1"];
    for statement in tables {
        sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut old).await.unwrap();
    }
    let row = "INSERT INTO quarter VALUES (0, 'k', 'm', 't', 1, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0)";
    sqlx::raw_sql(row).execute(&mut old).await.unwrap();
    old.close().await.unwrap();
    let mut store = Sqlite::open(&path, SIZE).await.unwrap();
    store.write(&batch(&["a"]).await).await.unwrap();
    assert_eq!(number(&mut store, "SELECT sum(requests) FROM quarter WHERE is_day = 0").await, 2);
    assert_eq!(number(&mut store, "SELECT count(*) FROM exchange WHERE trace_id IS NULL").await, 1);
    // the gateway of the version before writes to these tables during an update
    let row = "INSERT INTO quarter (at, key, model, target, requests, errors, uncached, write_5m, write_1h, read, \
        output, cost_nano, unpriced, unpriced_tokens, ms) VALUES (900000, 'k', 'm', 't', 1, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0)";
    sqlx::raw_sql(row).execute(store.connected().await.unwrap()).await.unwrap();
    assert_eq!(number(&mut store, "SELECT count(*) FROM quarter").await, 3);
}

#[tokio::test]
async fn old_sums_are_folded_into_days_of_a_zone_in_portions_and_lose_nothing() {
    const DAY: i64 = 24 * 60 * 60 * 1000;
    let folder = tempfile::tempdir().unwrap();
    let mut store = Sqlite::open(&folder.path().join("l.sqlite"), SIZE).await.unwrap();
    // four days of quarters with 30 models: 2880 rows a day, more than a portion
    let rows = "WITH RECURSIVE n (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM n WHERE n < 4 * 96 * 30 - 1) \
        INSERT INTO quarter SELECT 1000 * 86400000 + n / 30 * 900000, 'k', 'm' || (n % 30), 't', \
        1, 0, 2, 0, 0, 0, 3, n, 0, 0, 5, 0 FROM n";
    sqlx::raw_sql(rows).execute(store.connected().await.unwrap()).await.unwrap();
    let sums = "SELECT sum(requests) * 1000000000 + sum(uncached + output + ms) + sum(cost_nano) FROM quarter";
    let before = number(&mut store, sums).await;
    let zone = TimeZone::get("Asia/Kolkata").unwrap();
    // 18:30 of the third day in UTC is the begin of the fourth one in India
    let end = 1003 * DAY;
    let mut portions = 0;
    while store.fold(end, &zone).await.unwrap() {
        portions += 1;
        assert_eq!(number(&mut store, sums).await, before);
    }
    assert!(portions > 6, "{portions}");
    // the first day begins in the middle, and the last one is not over
    let days = "SELECT count(DISTINCT at) FROM quarter WHERE is_day = 1";
    assert_eq!(number(&mut store, days).await, 3);
    assert_eq!(number(&mut store, "SELECT count(*) FROM quarter WHERE is_day = 1").await, 3 * 30);
    let begin = "SELECT min(at) FROM quarter WHERE is_day = 0";
    assert_eq!(number(&mut store, begin).await, 1002 * DAY + DAY - 330 * 60 * 1000);
    let whole = "SELECT requests FROM quarter WHERE is_day = 1 ORDER BY at DESC LIMIT 1";
    assert_eq!(number(&mut store, whole).await, 96);
    // a folded day goes when all of it is old
    let last = 1002 * DAY - 330 * 60 * 1000;
    while store.prune(last + DAY).await.unwrap() {}
    assert_eq!(number(&mut store, days).await, 1);
    while store.prune(last + DAY + 60 * 60 * 1000).await.unwrap() {}
    assert_eq!(number(&mut store, days).await, 0);
}
