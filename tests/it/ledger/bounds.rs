//! The bounds of the ledger: its queue, its file, its age, and texts of clients.
use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use sqlx::ConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;

use super::{WRITTEN, file, report, rows, total, written};
use crate::support::client::Ask;
use crate::support::gateway::Gateway;
use crate::support::until;

const TABLES: [&str; 6] = ["exchange", "attempt", "stage", "tool_call", "tag", "quarter"];

async fn counts(gateway: &Gateway) -> Vec<i64> {
    let mut counts = Vec::new();
    for table in TABLES {
        let found = rows(&file(gateway.folder()), &format!("SELECT count(*) FROM {table}")).await;
        counts.push(found[0].as_i64().unwrap());
    }
    counts
}

fn body(model: &str) -> Value {
    json!({"model": model, "max_tokens": 64, "messages": [{"role": "user", "content": "[sim: say hi]"}]})
}

/// A transaction of another process that keeps the gateway from writing.
pub(super) async fn hold(file: &Path) -> sqlx::SqliteConnection {
    let options = SqliteConnectOptions::new().filename(file);
    let mut connection = options.disable_statement_logging().connect().await.unwrap();
    sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut connection).await.unwrap();
    connection
}

#[tokio::test]
async fn what_does_not_fit_into_the_queue_is_counted_and_no_request_waits() {
    let gateway = Gateway::with()
        .provider("sim", "{ type: simulator }")
        .config("ledger: { queue: { entries: 5 } }")
        .start()
        .await;
    let held = hold(&file(gateway.folder())).await;
    for _ in 0..12 {
        gateway.ask(&body("m")).await.message();
    }
    gateway.until_idle().await;
    assert_eq!(gateway.metric("tidegate_ledger_queue_entries").await, 5.0);
    assert_eq!(gateway.metric("tidegate_ledger_dropped_total{reason=\"full\"}").await, 7.0);
    assert_eq!(gateway.metric(WRITTEN).await, 0.0);
    drop(held);
    written(&gateway, 5).await;
    gateway.until_metric("tidegate_ledger_queue_bytes", 0.0).await;
    assert_eq!(total(&gateway.file())["requests"], 5);
}

#[tokio::test]
async fn requests_with_a_wrong_key_take_no_room_in_the_queue() {
    let gateway = Gateway::with()
        .provider("sim", "{ type: simulator }")
        .config("ledger: { queue: { entries: 2 } }\nkeys: [{ name: ci, key: ci-key-0123456789 }]")
        .start()
        .await;
    let held = hold(&file(gateway.folder())).await;
    let send = async |key: &str| {
        let ask = Ask::message(body("m").to_string()).header("x-api-key", key);
        ask.send(gateway.address).await.status
    };
    for _ in 0..20 {
        assert_eq!(send("wrong-key-0123456789").await, 401);
    }
    for _ in 0..2 {
        assert_eq!(send("ci-key-0123456789").await, 200);
    }
    gateway.until_idle().await;
    assert_eq!(gateway.metric("tidegate_ledger_queue_entries").await, 2.0);
    assert_eq!(gateway.measured("tidegate_ledger_dropped_total", "reason").await, 0.0);
    drop(held);
    written(&gateway, 2).await;
}

#[tokio::test]
async fn a_full_file_makes_room_for_new_rows_and_serves_on() {
    // the rows of each exchange have about 30 KiB, so some hundreds fill the file
    let tags: String =
        (0..100).map(|n| format!("tag(\"t{n}\", \"{}\"); ", "v".repeat(250))).collect();
    let gateway = Gateway::with()
        .provider("sim", "{ type: simulator }")
        .policy("tags", &format!("fn on_request(request, ctx) {{ {tags} }}"))
        .config("ledger: { max_size: 8MiB }\npolicies: { time_limit: 10s }")
        .start()
        .await;
    for n in 1..=5 {
        for _ in 0..100 {
            gateway.ask(&body("m")).await.message();
        }
        written(&gateway, n * 100).await;
    }
    let size = fs::metadata(file(gateway.folder())).unwrap().len();
    assert!(size <= 8 << 20, "{size}");
    assert_eq!(gateway.measured("tidegate_ledger_dropped_total", "reason").await, 0.0);
    let found = counts(&gateway).await;
    assert!(found[0] < 500 && found[4] == found[0] * 100, "{found:?}");
    // sums never have less than the rows that are left
    assert!(total(&gateway.file())["requests"].as_i64().unwrap() >= found[0]);
}

#[tokio::test]
async fn a_batch_that_is_larger_than_the_file_is_written_in_parts() {
    // the rows of each exchange have about 100 KiB, and those of a batch more than the file
    let tags: String =
        (0..250).map(|n| format!("tag(\"t{n}\", \"{}\"); ", "v".repeat(250))).collect();
    let gateway = Gateway::with()
        .provider("sim", "{ type: simulator }")
        .policy("tags", &format!("fn on_request(request, ctx) {{ {tags} }}"))
        .config("ledger: { max_size: 8MiB }\npolicies: { time_limit: 10s }")
        .start()
        .await;
    let held = hold(&file(gateway.folder())).await;
    for _ in 0..200 {
        gateway.ask(&body("m")).await.message();
    }
    gateway.until_metric("tidegate_ledger_queue_entries", 200.0).await;
    drop(held);
    written(&gateway, 200).await;
    assert_eq!(gateway.measured("tidegate_ledger_dropped_total", "reason").await, 0.0);
    assert!(fs::metadata(file(gateway.folder())).unwrap().len() <= 8 << 20);
}

#[tokio::test]
async fn a_row_that_the_database_rejects_is_dropped_and_counted_and_the_others_are_written() {
    let gateway =
        Gateway::with().provider("sim", "{ type: simulator }").config("ledger: {}").start().await;
    let options = SqliteConnectOptions::new().filename(file(gateway.folder()));
    let mut connection = options.connect().await.unwrap();
    let trigger = "CREATE TRIGGER t BEFORE INSERT ON exchange WHEN NEW.model = 'bad' BEGIN SELECT RAISE(ABORT, 'no'); END";
    sqlx::raw_sql(trigger).execute(&mut connection).await.unwrap();
    for model in ["good", "bad", "good", "bad", "good"] {
        gateway.ask(&body(model)).await.message();
    }
    written(&gateway, 3).await;
    gateway.until_metric("tidegate_ledger_dropped_total{reason=\"rejected\"}", 2.0).await;
    gateway.until_metric("tidegate_ledger_queue_entries", 0.0).await;
    assert_eq!(total(&gateway.file())["requests"], 3);
}

#[tokio::test]
async fn old_rows_leave_every_table() {
    let gateway = Gateway::with()
        .provider("sim", "{ type: simulator }")
        .plugin("datetime")
        .policy("tags", "fn on_request(request, ctx) { tag(\"team\", \"ml\"); }")
        .config("ledger: { keep: 1d }")
        .start()
        .await;
    let mut tool = json!({"model": "m", "max_tokens": 64, "tools": [{"type": "gateway:datetime"}]});
    tool["messages"] =
        json!([{"role": "user", "content": "[sim: call datetime] [sim: then] [sim: say done]"}]);
    gateway.ask(&tool).await.message();
    written(&gateway, 1).await;
    let found = counts(&gateway).await;
    assert!(found.iter().all(|count| *count > 0), "{found:?}");
    // two days pass; an id begins with its time
    let options = SqliteConnectOptions::new().filename(file(gateway.folder())).foreign_keys(false);
    let mut connection = options.connect().await.unwrap();
    let mut past = "BEGIN IMMEDIATE; UPDATE quarter SET at = at - 172800000; \
                    CREATE TEMP TABLE old AS SELECT id, at - 172800000 AS at FROM exchange; \
                    UPDATE exchange SET at = at - 172800000;"
        .to_owned();
    for (table, column) in
        TABLES.iter().filter(|table| **table != "quarter").map(|table| match *table {
            "exchange" => (*table, "id"),
            _ => (*table, "exchange"),
        })
    {
        past += &format!(
            "UPDATE {table} SET {column} = (SELECT unhex(format('%012x', old.at) || substr(hex(old.id), 13)) \
             FROM old WHERE old.id = {table}.{column});"
        );
    }
    sqlx::raw_sql(sqlx::AssertSqlSafe(past + "COMMIT")).execute(&mut connection).await.unwrap();
    until("all tables to be empty", async || counts(&gateway).await == [0; 6]).await;
}

#[tokio::test]
async fn hostile_names_stay_bounded_and_harmless() {
    let gateway =
        Gateway::with().provider("sim", "{ type: simulator }").config("ledger: {}").start().await;
    let names = [
        "x".repeat(10_000),
        "nul\0and\u{1b}[2J".to_owned(),
        "\u{202e}txet\u{2066}".to_owned(),
        "'); DROP TABLE exchange; --".to_owned(),
        "=cmd|'/c calc'!A1".to_owned(),
        "\"quoted\", \\u0000 and\nlines".to_owned(),
    ];
    for name in &names {
        gateway.ask(&body(name)).await;
    }
    written(&gateway, names.len() as u32).await;
    let found = report(&gateway.file(), &["--by", "model"]);
    assert_eq!(found["total"]["requests"], names.len());
    for row in found["rows"].as_array().unwrap() {
        let name = row["model"].as_str().unwrap();
        let is_harmless = |c: char| !c.is_control() && !matches!(c, '\u{202e}' | '\u{2066}');
        assert!(name.len() <= 1024 && name.chars().all(is_harmless), "{name:?}");
    }
    let output =
        crate::commands::tidegate(&gateway.file(), &["ledger", "--by", "model", "--format", "csv"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("\r\n'=cmd|'/c calc'!A1,1,"), "{text}");
    assert_eq!(text.lines().count(), names.len() + 1);
}
