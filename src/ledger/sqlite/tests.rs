//! Tests of the file: batches that are sent twice, settings, room, and files that cannot be used.
mod migrations;

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

/// Fills a file with exchanges whose tags have about 10 KiB each.
async fn filled(path: &Path, exchanges: usize) -> Sqlite {
    let mut store = Sqlite::open(path, SIZE).await.unwrap();
    let models: Vec<String> = (0..exchanges).map(|n| format!("m{n}")).collect();
    let models: Vec<&str> = models.iter().map(String::as_str).collect();
    store.write(&batch(&models).await).await.unwrap();
    let tags = "WITH n (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM n WHERE n < 39) \
        INSERT INTO tag SELECT id, 'tag' || n, printf('%.250c', 'x') FROM exchange, n";
    sqlx::raw_sql(tags).execute(store.connected().await.unwrap()).await.unwrap();
    store
}

#[tokio::test]
async fn an_almost_full_file_loses_the_oldest_rows_and_no_more_than_the_space_needs() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("l.sqlite");
    let mut store = filled(&path, 800).await;
    let pages = number(&mut store, "SELECT page_count FROM pragma_page_count").await;
    // a file in which 91 % are used
    let max_size = pages.cast_unsigned() * PAGE * 100 / 91;
    store.close().await;
    let mut store = Sqlite::open(&path, max_size).await.unwrap();
    let oldest = "SELECT count(*) FROM (SELECT id FROM exchange ORDER BY id LIMIT 700) WHERE id IN (SELECT id FROM exchange ORDER BY id DESC LIMIT 700)";
    assert!(store.prune(0).await.unwrap());
    let left = number(&mut store, "SELECT count(*) FROM exchange").await;
    assert!((760..800).contains(&left), "{left}");
    assert!(number(&mut store, oldest).await >= 600);
    assert_eq!(number(&mut store, "SELECT count(*) FROM tag").await, left * 40);
    let used = number(
        &mut store,
        "SELECT page_count - freelist_count FROM pragma_page_count, pragma_freelist_count",
    );
    assert!(used.await.cast_unsigned() * PAGE <= max_size / 10 * 9);
    // nothing more is needed
    assert!(!store.prune(0).await.unwrap());
    assert_eq!(number(&mut store, "SELECT count(*) FROM exchange").await, left);
}

#[tokio::test]
async fn the_rows_that_one_transaction_deletes_are_bounded() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("l.sqlite");
    let mut store = Sqlite::open(&path, SIZE).await.unwrap();
    for _ in 0..3 {
        store.write(&batch(&["m"; 800]).await).await.unwrap();
    }
    store.close().await;
    let mut store = Sqlite::open(&path, 1 << 18).await.unwrap();
    let mut left = 2400;
    while store.prune(0).await.unwrap() {
        let now = number(&mut store, "SELECT count(*) FROM exchange").await;
        assert!((left - transaction::PORTION..=left).contains(&now), "{left} {now}");
        left = now;
    }
    assert!(left < 1000, "{left}");
    // the file was larger than its bound at the start, and is smaller now
    assert_eq!(number(&mut store, "PRAGMA max_page_count").await, 1 << 6);
}

#[tokio::test]
async fn a_batch_whose_answer_was_lost_is_sent_again_and_counts_once() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = Sqlite::open(&folder.path().join("l.sqlite"), SIZE).await.unwrap();
    let models = ["m"; 100];
    let first = batch(&models).await;
    store.write(&first).await.unwrap();
    let lost: Result<(), _> = store.judge(Err(sqlx::Error::WorkerCrashed)).await;
    assert!(lost.is_err() && store.connection.is_none());
    let mut second = batch(&models).await;
    second.rows.splice(50..50, first.rows);
    store.write(&second).await.unwrap();
    assert_eq!(number(&mut store, "SELECT count(*) FROM exchange").await, 200);
    assert_eq!(number(&mut store, "SELECT sum(requests) FROM quarter").await, 200);
}

#[tokio::test]
async fn exchanges_that_are_written_one_after_the_other_share_a_part() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("l.sqlite");
    let mut store = Sqlite::open(&path, SIZE).await.unwrap();
    for _ in 0..2 {
        for rows in [1, 511, 600, 2] {
            store.write(&batch(&vec!["m"; rows]).await).await.unwrap();
        }
        store.close().await;
        store = Sqlite::open(&path, SIZE).await.unwrap();
    }
    let mut parts = Vec::new();
    for part in 1..=6 {
        let count = format!("SELECT count(*) FROM exchange WHERE part = {part}");
        let count = sqlx::query_scalar::<_, i64>(AssertSqlSafe(count));
        parts.push(count.fetch_one(store.connected().await.unwrap()).await.unwrap());
    }
    assert_eq!(parts, [512, 600, 2, 512, 600, 2]);
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
