//! Tests of migrations: the tables of every earlier version, with rows in them.
use crate::ledger::config::LedgerUrl;
use crate::ledger::database::Database;
use crate::ledger::report::{self, By, Range};
use crate::ledger::stories::{self, Column, Filter};

use super::*;

/// The exchanges of an old file.
const EXCHANGES: usize = 400;

/// Makes a file as the gateway of a version made it, with rows in each of its tables.
#[expect(clippy::cognitive_complexity, reason = "a list of statements, one after the other")]
async fn old(path: &Path, version: usize) {
    let mut connection = options(path).create_if_missing(true).connect().await.unwrap();
    let mut run = async |text: &str| {
        sqlx::raw_sql(AssertSqlSafe(text)).execute(&mut connection).await.unwrap();
    };
    for migration in &schema::migrations(Dialect::Sqlite)[..version] {
        run(migration).await;
    }
    run(&format!("PRAGMA user_version = {version}")).await;
    let numbers = format!(
        "WITH RECURSIVE n (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM n WHERE n < {EXCHANGES} - 1)"
    );
    let id =
        "unhex(printf('%012x', 1790000000000 + n * 1000) || printf('7000800000000000%04x', n))";
    run(&format!(
        "{numbers} INSERT INTO exchange (id, at, operation, key, session, request_id, model, target, is_stream, status, \
         ending, uncached, write_5m, write_1h, read, output, cost_nano, cost_state, unpriced_tokens, ms, attempts) \
         SELECT {id}, 1790000000000 + n * 1000, 'messages', 'k' || (n % 3), 's' || (n % 7), 'req_' || n, 'm', 'up/m', 0, \
         CASE n % 10 WHEN 0 THEN 529 ELSE 200 END, 'whole', n, 0, 0, 0, 1, n * 5, 'priced', 0, 9, 1 FROM n"
    ))
    .await;
    run(&format!(
        "{numbers} INSERT INTO attempt (exchange, n, turn, model, target, status, outcome, begun_ms, ms, uncached, \
         write_5m, write_1h, read, output, cost_nano, unpriced_tokens) \
         SELECT {id}, 0, 1, 'm', 'up/m', 200, 'success', 1, 8, n, 0, 0, 0, 1, n * 5, 0 FROM n"
    ))
    .await;
    run(&format!("{numbers} INSERT INTO tag SELECT {id}, 'team', 't' || (n % 2) FROM n")).await;
    run(&format!(
        "{numbers} INSERT INTO stage SELECT {id}, 0, 'guard', 'on_request', 1, 7, 'ran' FROM n"
    ))
    .await;
    run("INSERT INTO quarter (at, key, model, target, requests, errors, uncached, write_5m, write_1h, read, output, cost_nano, \
         unpriced, unpriced_tokens, ms) SELECT at / 900000 * 900000, key, model, target, count(*), sum(status >= 400), \
         sum(uncached), 0, 0, 0, sum(output), sum(cost_nano), 0, 0, sum(ms) FROM exchange GROUP BY 1, 2, 3, 4")
    .await;
    if version >= 2 {
        run("UPDATE exchange SET upstream_request_id = 'up_' || uncached, prefix = 'continues', stop = 'end_turn'").await;
    }
    if version >= 3 {
        run("INSERT INTO client_key (id, digest, name, hint, created, settings, version) VALUES ('id', 'digest', 'name', 'hint', 'created', '{}', 1)")
            .await;
    }
    if version >= 4 {
        run(&format!(
            "{numbers} INSERT INTO note SELECT {id}, 0, 'dropped', 0, 'part', NULL FROM n"
        ))
        .await;
        run("INSERT INTO audit VALUES (zeroblob(16), 1, 'open', 'a', 'POST', '/r', '', 200, NULL)")
            .await;
    }
    connection.close().await.unwrap();
}

/// Returns every row of the tables that a version has, each as one text of the columns that it had.
async fn contents(path: &Path, version: usize) -> Vec<String> {
    let mut connection = options(path).connect().await.unwrap();
    let mut all = Vec::new();
    let tables: &[&str] = match version {
        1 | 2 => &["exchange", "attempt", "stage", "tag", "quarter"],
        3 => &["exchange", "attempt", "stage", "tag", "quarter", "client_key", "key_generation"],
        _ => &[
            "exchange",
            "attempt",
            "stage",
            "tag",
            "quarter",
            "client_key",
            "key_generation",
            "audit",
            "note",
        ],
    };
    let scratch = tempfile::tempdir().unwrap();
    let blank = scratch.path().join("blank");
    let mut before = options(&blank).create_if_missing(true).connect().await.unwrap();
    for migration in &schema::migrations(Dialect::Sqlite)[..version] {
        sqlx::raw_sql(AssertSqlSafe(*migration)).execute(&mut before).await.unwrap();
    }
    for table in tables {
        let names = format!(
            "SELECT group_concat('quote(' || name || ')', '|| ''|'' ||') FROM pragma_table_info('{table}')"
        );
        let names = sqlx::query_scalar::<_, String>(AssertSqlSafe(names));
        let names = names.fetch_one(&mut before).await.unwrap();
        let rows = format!("SELECT '{table}: ' || {names} FROM {table} ORDER BY 1");
        let rows = sqlx::query_scalar::<_, String>(AssertSqlSafe(rows));
        all.extend(rows.fetch_all(&mut connection).await.unwrap());
    }
    all
}

#[tokio::test]
async fn tables_of_every_earlier_version_keep_their_rows_and_answer_the_queries() {
    let versions = schema::migrations(Dialect::Sqlite).len();
    for version in 1..versions {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("l.sqlite");
        old(&path, version).await;
        let before = contents(&path, version).await;
        assert!(before.len() > 4 * EXCHANGES, "{}", before.len());
        let mut store = Sqlite::open(&path, SIZE).await.unwrap();
        store.write(&Batch::default()).await.unwrap();
        assert_eq!(number(&mut store, "PRAGMA user_version").await, versions as i64);
        assert_eq!(contents(&path, version).await, before, "version {version}");
        answers_are_right(&path, 0).await;
        // new rows beside the old ones
        store.write(&batch(&["new"; 3]).await).await.unwrap();
        answers_are_right(&path, 3).await;
        // old rows leave every table
        while store.prune(i64::MAX).await.unwrap() {}
        for table in ["exchange", "attempt", "stage", "tag", "quarter", "note"] {
            let count = format!("SELECT count(*) FROM {table}");
            let count = sqlx::query_scalar::<_, i64>(AssertSqlSafe(count));
            let left = count.fetch_one(store.connected().await.unwrap()).await.unwrap();
            assert_eq!(left, 0, "{table} of version {version}");
        }
    }
}

/// Checks the answers about the old rows beside some new ones.
async fn answers_are_right(path: &Path, new: usize) {
    let url = LedgerUrl::Sqlite(Some(path.to_owned()));
    let database = Database::of(&url).unwrap();
    let of =
        |column, text: &str| Filter { texts: vec![(column, text.to_owned())], ..Filter::default() };
    let tag = Some(["team".to_owned(), "t1".to_owned()]);
    let first = 1_790_000_000_000;
    let old = Filter { to: Some(first + 1000 * EXCHANGES as i64), ..Filter::default() };
    for (filter, expected) in [
        (Filter::default(), EXCHANGES + new),
        (old, EXCHANGES),
        (
            Filter { from: Some(first + 300_000), to: Some(first + 310_000), ..Filter::default() },
            10,
        ),
        (of(Column::Key, "k1"), 133),
        (of(Column::Session, "s6"), 57),
        (of(Column::RequestId, "req_399"), 1),
        (Filter { status: Some(529), ..Filter::default() }, EXCHANGES / 10),
        // the clients of the new ones left
        (Filter { is_error: Some(true), ..Filter::default() }, EXCHANGES / 10 + new),
        (Filter { tag, ..Filter::default() }, EXCHANGES / 2),
    ] {
        let found = stories::list(&database, &filter, None, 1000).await.unwrap();
        let found: Vec<_> =
            found.iter().filter(|row| row["model"] == "m" || row["model"] == "new").collect();
        assert_eq!(found.len(), expected, "{filter:?}");
        assert!(found.is_sorted_by_key(|row| std::cmp::Reverse(row["at"].as_i64())));
    }
    let one = stories::one(&database, "req_123").await.unwrap().unwrap();
    assert_eq!((&one.exchange["uncached"], one.attempts.len()), (&123.into(), 1));
    assert_eq!(
        (&one.attempts[0]["uncached"], one.tags.len(), one.stages.len()),
        (&123.into(), 1, 1)
    );
    let all = EXCHANGES as i64;
    let range = Range { from: None, to: None, zone: TimeZone::UTC };
    for by in [By::Key, By::Day, By::Tags] {
        let report = report::report(&url, &by, &range).await.unwrap();
        assert_eq!(report.total.requests, all + new as i64, "{by:?}");
        assert_eq!(report.total.cost_nano, 5 * all * (all - 1) / 2, "{by:?}");
    }
}

#[tokio::test]
async fn a_full_file_is_migrated_keeps_its_rows_and_then_its_bound() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("l.sqlite");
    old(&path, 4).await;
    let before = contents(&path, 4).await;
    let mut full = options(&path).connect().await.unwrap();
    let pages: i64 = sqlx::query_scalar("PRAGMA page_count").fetch_one(&mut full).await.unwrap();
    full.close().await.unwrap();
    let max_size = pages.cast_unsigned() * PAGE;
    let mut store = Sqlite::open(&path, max_size).await.unwrap();
    assert_eq!(contents(&path, 4).await, before);
    // the oldest rows make room, and the bound is the old one again
    while store.prune(0).await.unwrap() {}
    let left = number(&mut store, "SELECT count(*) FROM exchange").await;
    assert!((1..EXCHANGES as i64).contains(&left), "{left}");
    assert_eq!(number(&mut store, "PRAGMA max_page_count").await, pages);
    let mut full = false;
    for _ in 0..20 {
        let rows = batch(&["m"; 100]).await;
        let written = store.write(&rows).await;
        full |= written.as_ref().is_err_and(is_full);
        if written.is_err() {
            assert_eq!(store.make_room(&rows).await.unwrap(), Room::Made);
        }
        store.prune(0).await.unwrap();
    }
    store.close().await;
    assert!(full || left < EXCHANGES as i64);
    assert!(path.metadata().unwrap().len() <= max_size);
}
