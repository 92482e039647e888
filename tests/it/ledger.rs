//! The ledger: its rows and sums are those of the upstream's own book, whatever ends an exchange.
mod bounds;
mod disk;
mod keys;
mod lost;
mod mix;
pub(crate) mod postgres;
mod prefix;
mod reports;

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Row, SqliteConnection};

use crate::commands::tidegate;
use crate::support::gateway::Gateway;

/// The metric of written rows.
const WRITTEN: &str = "tidegate_ledger_written_total";

/// The ledger of a config's folder.
fn file(folder: &Path) -> PathBuf {
    folder.join(".tidegate/ledger.sqlite")
}

/// The report of `tidegate ledger` as JSON.
fn report(config: &Path, args: &[&str]) -> Value {
    let output = tidegate(config, &[&["ledger", "--format", "json"], args].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The total of a report.
fn total(config: &Path) -> Value {
    report(config, &[])["total"].clone()
}

/// The sums of a report, in the order of the contract.
fn sums(line: &Value) -> Value {
    let names =
        ["requests", "uncached", "write_5m", "write_1h", "read", "output", "cost_usd", "unpriced"];
    names.map(|name| line[name].clone()).to_vec().into()
}

/// The first columns of the rows of a statement, as texts or numbers.
async fn rows(file: &Path, statement: &str) -> Vec<Value> {
    let mut connection = open(file).await;
    let rows = sqlx::query(AssertSqlSafe(statement)).fetch_all(&mut connection).await.unwrap();
    let value = |row: &sqlx::sqlite::SqliteRow, n: usize| {
        let number = row.try_get::<Option<i64>, _>(n).map(|number| json!(number));
        number.unwrap_or_else(|_| json!(row.get::<Option<String>, _>(n)))
    };
    let row = |row| match (0..Row::len(row)).map(|n| value(row, n)).collect::<Vec<_>>() {
        one if one.len() == 1 => one[0].clone(),
        more => more.into(),
    };
    rows.iter().map(row).collect()
}

async fn open(file: &Path) -> SqliteConnection {
    let options = SqliteConnectOptions::new().filename(file).read_only(true);
    options.disable_statement_logging().connect().await.unwrap()
}

/// Waits until this many exchanges are written.
pub async fn written(gateway: &Gateway, number: u32) {
    gateway.until_metric(WRITTEN, number.into()).await;
}
