//! Tests of queries on a SQLite file: what was written is what is read, by every filter, page by page.
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant, UNIX_EPOCH};

use http::HeaderValue;
use jiff::tz::TimeZone;
use serde_json::json;
use sqlx::{AssertSqlSafe, Connection as _, Row as _};

use crate::ledger::batch::Batch;
use crate::ledger::config::LedgerUrl;
use crate::ledger::prompts;
use crate::ledger::queue::Held;
use crate::ledger::report::{self, By, Range};
use crate::ledger::sqlite::{self, Sqlite};
use crate::ledger::usage::{self, Rank};
use crate::telemetry::metrics::Metrics;
use crate::telemetry::outcome::{AttemptOutcome, Ending};
use crate::telemetry::record::{Operation, PassedOver, StageRun, ToolCall, Why};
use crate::telemetry::story::{AttemptStart, Story};

use super::*;

/// A file with rows, and the same rows in memory.
struct World {
    _folder: tempfile::TempDir,
    path: PathBuf,
    database: Database,
    rows: Vec<Row>,
}

/// A record with some attempts that succeeded.
fn record(attempts: usize) -> Record {
    let story = Story::begin("req_1", Instant::now(), Operation::Messages);
    for _ in 0..attempts {
        let (metrics, tariff) = (None, None);
        let target = HeaderValue::from_static("up/a");
        let _ = story.attempt(AttemptStart { turn: 1, model: "m", target, metrics, tariff });
    }
    story.answered(200);
    story.end(Ending::Whole, &Metrics::new());
    let mut record = story.read(Record::clone);
    for attempt in &mut record.attempts {
        attempt.outcome = Some(AttemptOutcome::Success);
        attempt.status = Some(200);
        attempt.duration = Some(Duration::from_millis(17));
        attempt.begun = Duration::from_millis(3);
        attempt.spent.tokens.input = 12;
        attempt.upstream_id = Some("req_up".into());
    }
    record
}

/// The time of the `n`-th exchange.
fn ended(n: usize) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_790_000_000) + Duration::from_millis(40 * n as u64)
}

impl World {
    /// Writes rows in batches of 100.
    async fn of(records: Vec<Record>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("l.sqlite");
        let mut store = Sqlite::open(&path, 1 << 30).await.unwrap();
        let rows = records.iter().enumerate().map(|(n, record)| Row::of(record, ended(n)));
        let mut left: Vec<Row> = rows.collect();
        let mut rows = Vec::new();
        while !left.is_empty() {
            let batch = left.drain(..left.len().min(100)).collect();
            let batch = Batch { rows: batch, held: Held::default() };
            store.write(&batch).await.unwrap();
            rows.extend(batch.rows);
        }
        store.close().await;
        let database = Database::of(&LedgerUrl::Sqlite(Some(path.clone()))).unwrap();
        Self { _folder: folder, path, database, rows }
    }

    /// 1500 exchanges with names and results in many combinations.
    async fn mixed() -> Self {
        let mut random = fastrand::Rng::with_seed(7);
        let mut records = Vec::new();
        for n in 0..1500 {
            let mut record = record(1);
            record.request_id = format!("req_{n}").into();
            record.key = format!("key-{}", random.u8(..3)).into();
            record.session = random.bool().then(|| format!("session-{}", random.u8(..20)).into());
            record.attempts[0].target =
                HeaderValue::from_str(&format!("up/{}", random.u8(..4))).unwrap();
            record.attempts[0].model = format!("m-{}", random.u8(..4)).into();
            record.attempts[0].upstream_id = Some(format!("up-{}", n / 3).into());
            record.status = *random.choice(&[200, 200, 200, 201, 429, 529]).unwrap();
            record.operation = match random.u8(..6) {
                0 => Operation::CountTokens,
                1 => Operation::Forward { route: "GET /v1/files".into(), provider: "up".into() },
                _ => Operation::Messages,
            };
            record.tags = BTreeMap::from([("team".to_owned(), format!("t{}", random.u8(..3)))]);
            // long and short ones: the order of their ends is not that of their starts
            record.duration = Duration::from_millis(random.u64(..5000));
            records.push(record);
        }
        Self::of(records).await
    }

    /// The exchanges as JSON, newest first.
    fn newest_first(&self) -> Vec<Value> {
        let mut all: Vec<Value> = self.rows.iter().map(|row| value(&row.exchange)).collect();
        all.sort_by_key(|row| std::cmp::Reverse(row["id"].as_str().unwrap().to_owned()));
        all
    }

    async fn run(&self, statement: &str) {
        let mut connection =
            sqlx::SqliteConnection::connect(self.path.to_str().unwrap()).await.unwrap();
        sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
    }
}

#[tokio::test]
async fn an_exchange_is_read_as_it_was_written() {
    let (plain, none) = (record(1), record(0));
    let mut failed = record(1);
    failed.attempts[0].outcome = Some(AttemptOutcome::Failed);
    failed.attempts[0].error = Some("api_error");
    let mut other = record(1);
    other.status = 502;
    let mut later = record(1);
    later.attempts[0].turn = 2;
    let mut cut = record(1);
    (cut.attempts[0].duration, cut.attempts[0].outcome) = (None, None);
    let mut rich = record(3);
    rich.attempts[0].outcome = Some(AttemptOutcome::TimedOut);
    rich.tags = BTreeMap::from([
        ("a".to_owned(), "1".to_owned()),
        ("b".to_owned(), "'\"\u{e9}".to_owned()),
    ]);
    rich.user = Some("someone".into());
    rich.tool_calls = vec![ToolCall {
        tool: "fetch".into(),
        turn: 1,
        begun: Duration::ZERO,
        took: Duration::from_millis(5),
        is_error: true,
    }];
    rich.stages = vec![StageRun {
        stage: "guard".into(),
        hook: "on_request",
        runs: 2,
        took: Duration::from_micros(9),
        edited: true,
        failed: false,
        denied: false,
        begun: None,
    }];
    let target = HeaderValue::from_static("up/b");
    rich.passed_over = vec![PassedOver { after: 1, target, why: Why::Cooling }];
    let records = vec![plain, none, failed, other, later, cut, rich];
    let world = World::of(records).await;
    for row in &world.rows {
        let found = one(&world.database, &row.exchange.id).await.unwrap().unwrap();
        assert_eq!(found, of_row(row));
    }
    let only: Vec<bool> = world.rows.iter().map(Row::has_only_attempt).collect();
    assert_eq!(only, [true, false, false, false, false, false, false]);
    // the view for users has every attempt as well
    let mut connection = sqlite::reader(&world.path).await.unwrap();
    let counted = "SELECT (SELECT count(*) FROM attempt), count(*), sum(uncached), sum(ms) FROM every_attempt";
    let found = sqlx::query(counted).fetch_one(&mut connection).await.unwrap();
    let found = [0, 1, 2, 3].map(|n| found.get::<i64, _>(n));
    assert_eq!(found, [7, 8, 8 * 12, 7 * 17]);
}

#[tokio::test]
async fn an_exchange_is_found_by_each_of_its_ids() {
    let world = World::mixed().await;
    for row in world.rows.iter().step_by(97) {
        let exchange = value(&row.exchange);
        let request_id = exchange["request_id"].as_str().unwrap();
        let found = one(&world.database, request_id).await.unwrap().unwrap();
        assert_eq!(found.exchange, exchange);
        // of several exchanges with an upstream's id, the newest one
        let upstream = exchange["upstream_request_id"].clone();
        let all = world.newest_first();
        let newest = all.iter().find(|it| it["upstream_request_id"] == upstream).unwrap();
        let found = one(&world.database, upstream.as_str().unwrap()).await.unwrap().unwrap();
        assert_eq!(found.exchange, *newest);
    }
    assert_eq!(one(&world.database, "req_none").await.unwrap(), None);
}

#[tokio::test]
async fn an_id_of_a_request_may_look_like_an_id_of_the_ledger() {
    const ID: &str = "0123456789abcdef0123456789abcdef";
    let mut records = vec![record(1), record(1)];
    records[1].request_id = ID.into();
    let world = World::of(records).await;
    let found = one(&world.database, ID).await.unwrap().unwrap();
    assert_eq!(found.exchange["id"], world.rows[1].exchange.id);
    // an id of the ledger comes first
    let own = world.rows[0].exchange.id.clone();
    world.run(&format!("UPDATE exchange SET request_id = '{own}' WHERE request_id = '{ID}'")).await;
    let found = one(&world.database, &own).await.unwrap().unwrap();
    assert_eq!(found.exchange["id"], own);
}

fn filters() -> Vec<Filter> {
    let text =
        |column, text: &str| Filter { texts: vec![(column, text.to_owned())], ..Filter::default() };
    let tag = |value: &str| Some(["team".to_owned(), value.to_owned()]);
    let from = ended(300).duration_since(UNIX_EPOCH).unwrap().as_millis() as i64;
    let mut filters = vec![
        Filter::default(),
        text(Column::Key, "key-1"),
        text(Column::Model, "m-2"),
        text(Column::Target, "up/3"),
        text(Column::Session, "session-7"),
        text(Column::Session, "session-none"),
        text(Column::RequestId, "req_1234"),
        text(Column::RequestId, "up-100"),
        text(Column::Operation, "messages"),
        text(Column::Operation, "forward"),
        Filter { status: Some(201), ..Filter::default() },
        Filter { status: Some(529), ..Filter::default() },
        Filter { is_error: Some(true), ..Filter::default() },
        Filter { is_error: Some(false), ..Filter::default() },
        Filter { tag: tag("t1"), ..Filter::default() },
        Filter { tag: tag("none"), ..Filter::default() },
        Filter { from: Some(from), to: Some(from + 20_000), ..Filter::default() },
        Filter { from: Some(i64::MAX), ..Filter::default() },
        Filter { to: Some(-1), ..Filter::default() },
    ];
    filters.push(Filter { tag: tag("t2"), from: Some(from), ..text(Column::Model, "m-1") });
    filters.push(Filter { tag: tag("t2"), status: Some(429), ..text(Column::Key, "key-0") });
    filters.push(Filter {
        to: Some(from),
        is_error: Some(true),
        ..text(Column::Session, "session-3")
    });
    filters
}

impl Filter {
    /// Looks at a row.
    fn accepts(&self, row: &Row) -> bool {
        let exchange = value(&row.exchange);
        let (at, status) = (row.exchange.at, row.exchange.status);
        self.from.is_none_or(|from| at >= from)
            && self.to.is_none_or(|to| at < to)
            && self.status.is_none_or(|it| i64::from(it) == status)
            && self.is_error.is_none_or(|it| it == (status >= 400))
            && self.tag.as_ref().is_none_or(|[name, text]| {
                row.tags.iter().map(value).any(|tag| tag["tag"] == **name && tag["value"] == **text)
            })
            && self.texts.iter().all(|(column, text)| match column {
                Column::RequestId => {
                    exchange["request_id"] == **text || exchange["upstream_request_id"] == **text
                }
                column => exchange[column.as_str()] == **text,
            })
    }
}

/// Reads a list page by page.
async fn every_page(world: &World, filter: &Filter) -> Vec<Value> {
    let mut found: Vec<Value> = Vec::new();
    let mut after = None;
    loop {
        let page = list(&world.database, filter, after.as_ref(), 100).await.unwrap();
        let Some(last) = page.last() else { return found };
        let (at, id) = (last["at"].as_i64().unwrap(), last["id"].as_str().unwrap().to_owned());
        after = Some(Position { at, id });
        found.extend(page);
    }
}

#[tokio::test]
async fn the_pages_of_each_filter_have_what_a_look_at_every_row_finds() {
    let world = World::mixed().await;
    let order = world.newest_first();
    for filter in filters() {
        let accepted = |row: &&Row| filter.accepts(row);
        let ids: Vec<&str> =
            world.rows.iter().filter(accepted).map(|row| row.exchange.id.as_str()).collect();
        let expected: Vec<&Value> =
            order.iter().filter(|row| ids.contains(&row["id"].as_str().unwrap())).collect();
        let found = every_page(&world, &filter).await;
        assert_eq!(found.iter().collect::<Vec<_>>(), expected, "{filter:?}");
    }
}

#[tokio::test]
async fn a_filter_with_an_index_does_not_read_the_whole_table() {
    let world = World::of(vec![record(1)]).await;
    let mut connection = sqlite::reader(&world.path).await.unwrap();
    let text = |column| Filter { texts: vec![(column, "x".to_owned())], ..Filter::default() };
    for (filter, expected) in [
        (text(Column::Key), "USING INDEX exchange_key (key=?)"),
        (text(Column::Session), "exchange_session (part=? AND session=?)"),
        (text(Column::RequestId), "exchange_request (part=? AND request_id=?)"),
        (text(Column::RequestId), "exchange_upstream_request (part=? AND upstream_request_id=?)"),
        (text(Column::Operation), "USING INDEX exchange_operation (operation=?)"),
        (Filter { is_error: Some(true), ..Filter::default() }, "USING INDEX exchange_error"),
        (Filter { status: Some(404), ..Filter::default() }, "USING INDEX exchange_error"),
        (Filter { from: Some(1), ..Filter::default() }, "USING PRIMARY KEY (id>?)"),
        (Filter { tag: Some(["a".into(), "b".into()]), ..Filter::default() }, "SCAN tag"),
    ] {
        let Statement { text, .. } = list::select(Dialect::Sqlite, &filter, None, 50);
        let plan = sqlx::query(AssertSqlSafe(format!("EXPLAIN QUERY PLAN {text}")));
        let plan = plan.fetch_all(&mut connection).await.unwrap();
        let plan: Vec<String> = plan.iter().map(|row| row.get(3)).collect();
        assert!(plan.iter().any(|step| step.contains(expected)), "{filter:?}: {plan:?}");
        assert!(!plan.iter().any(|step| step.contains("USE TEMP B-TREE FOR ORDER BY")), "{plan:?}");
    }
}

#[tokio::test]
async fn the_pages_of_sums_are_the_whole_report() {
    let world = World::mixed().await;
    let url = LedgerUrl::Sqlite(Some(world.path.clone()));
    let range = Range { from: None, to: None, zone: TimeZone::get("Asia/Kolkata").unwrap() };
    for by in [By::Key, By::Model, By::Target, By::Day, By::Tags, By::Tag("team".to_owned())] {
        let whole = report::report(&url, &by, &range).await.unwrap();
        assert!(!whole.lines.is_empty());
        let mut lines = Vec::new();
        let mut page = usage::Page { after: None, limit: 2 };
        let next = async |page: &usage::Page| {
            usage::report(&world.database, &by, &range, page).await.unwrap()
        };
        let mut found = next(&page).await;
        while let Some(last) = found.lines.last() {
            assert_eq!(found.total, whole.total, "{by:?}");
            page.after = Some(Rank::of(&by, last));
            lines.extend(found.lines);
            found = next(&page).await;
        }
        assert_eq!(lines, whole.lines, "{by:?}");
    }
}

/// Reads the sessions page by page.
async fn every_session(
    world: &World,
    filter: &prompts::Filter,
    limit: u16,
) -> Vec<prompts::Session> {
    let mut found = Vec::new();
    let mut after = None;
    loop {
        let page = prompts::list(&world.database, filter, after.as_ref(), limit).await.unwrap();
        assert!(page.rows.len() <= usize::from(limit));
        found.extend(page.rows);
        after = page.next;
        if after.is_none() {
            return found;
        }
    }
}

/// The sessions that a look at every row finds.
fn sessions(world: &World, filter: &prompts::Filter) -> Vec<prompts::Session> {
    let mut found: BTreeMap<(String, String), Vec<&Row>> = BTreeMap::new();
    for row in &world.rows {
        let exchange = value(&row.exchange);
        let Some(session) = exchange["session"].as_str() else { continue };
        let is_wanted = filter.key.as_ref().is_none_or(|key| *key == row.exchange.key)
            && filter.from.is_none_or(|from| row.exchange.at >= from)
            && filter.to.is_none_or(|to| row.exchange.at < to);
        if is_wanted {
            let name = (session.to_owned(), row.exchange.key.clone());
            found.entry(name).or_default().push(row);
        }
    }
    let of = |((session, key), mut rows): ((String, String), Vec<&Row>)| {
        rows.sort_by_key(|row| row.exchange.id.clone());
        let (first, last) = (rows[0], rows[rows.len() - 1]);
        let breaks = rows.iter().filter(|row| row.exchange.status == 529).count() as i64;
        let is_priced =
            !rows.iter().any(|row| row.exchange.status == 529 && row.exchange.model == "m-3");
        let session = prompts::Session {
            session,
            key,
            model: last.exchange.model.clone(),
            first: first.exchange.at,
            last: last.exchange.at,
            requests: rows.len() as i64,
            breaks,
            lost_nano: is_priced.then_some(breaks * 1000),
        };
        (last.exchange.id.clone(), session)
    };
    let mut all: Vec<(String, prompts::Session)> = found.into_iter().map(of).collect();
    all.sort_by_key(|(id, _)| std::cmp::Reverse(id.clone()));
    all.into_iter().map(|(_, session)| session).collect()
}

#[tokio::test]
async fn the_pages_of_sessions_have_each_one_once_with_the_sums_of_its_exchanges() {
    let world = World::mixed().await;
    world
        .run(
            "UPDATE exchange SET prefix = CASE status WHEN 529 THEN 'broken' ELSE 'continues' END, \
             lost_nano = CASE WHEN status = 529 AND model <> 'm-3' THEN 1000 END WHERE session IS NOT NULL",
        )
        .await;
    let from = ended(500).duration_since(UNIX_EPOCH).unwrap().as_millis() as i64;
    let all = prompts::Filter::default();
    let of_key = prompts::Filter { key: Some("key-1".to_owned()), ..all.clone() };
    let within = prompts::Filter { from: Some(from), to: Some(from + 9000), ..all.clone() };
    for filter in [all, of_key, within] {
        let expected = sessions(&world, &filter);
        for limit in [1, 7, 200] {
            let found = every_session(&world, &filter, limit).await;
            assert_eq!(found, expected, "{filter:?} {limit}");
        }
    }
    // the exchanges of a session, in the order of time
    let filter = prompts::Filter { key: Some("key-2".to_owned()), ..prompts::Filter::default() };
    let mut expected = world.newest_first();
    expected.retain(|row| row["session"] == json!("session-5") && row["key"] == json!("key-2"));
    expected.reverse();
    let ids = |rows: &[Value]| rows.iter().map(|row| row["id"].clone()).collect::<Vec<_>>();
    let first = prompts::exchanges(&world.database, "session-5", &filter, None, 3).await.unwrap();
    let last = &first[2];
    let (at, id) = (last["at"].as_i64().unwrap(), last["id"].as_str().unwrap().to_owned());
    let after = Some(Position { at, id });
    let rest = prompts::exchanges(&world.database, "session-5", &filter, after.as_ref(), 200)
        .await
        .unwrap();
    assert_eq!(ids(&[first, rest].concat()), ids(&expected));
}
