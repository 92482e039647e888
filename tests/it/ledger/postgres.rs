//! The ledger in a real PostgreSQL, which the test starts. Without PostgreSQL the test is skipped and says why, unless
//! `TIDEGATE_CLIENTS=require`.
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, PgConnection, Row};
use tempfile::TempDir;

use super::{WRITTEN, report, sums, written};
use crate::support::gateway::Gateway;
use crate::support::upstream::{Behaviour, Upstream, json as whole};
use crate::support::{ANSWER, until};

/// A server of its own. Dropped, it stops.
pub(crate) struct Server {
    programs: PathBuf,
    folder: TempDir,
    port: u16,
}

impl Server {
    /// Starts a server; `None` if it is not installed.
    pub(crate) fn start() -> Option<Self> {
        let Some(programs) = programs() else {
            let reason = "no PostgreSQL in /usr/lib/postgresql: install `postgresql`";
            let is_required =
                std::env::var_os("TIDEGATE_CLIENTS").is_some_and(|value| value == "require");
            assert!(!is_required, "{reason}");
            eprintln!("skipped: {reason}");
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let server = Self { programs, folder, port };
        // PostgreSQL refuses to run as root
        if is_root() {
            let owned = Command::new("chown").arg("postgres").arg(server.folder.path()).status();
            assert!(owned.unwrap().success());
        }
        server.run("initdb", &["--auth=trust", "--username=tide", "--encoding=UTF8", "--no-sync"]);
        server.begin();
        Some(server)
    }

    pub(crate) fn begin(&self) {
        let options = format!(
            "-p {} -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c fsync=off",
            self.port
        );
        self.run("pg_ctl", &["start", "--wait", "--silent", "-o", &options, "--log", "/dev/null"]);
    }

    pub(crate) fn end(&self) {
        self.run("pg_ctl", &["stop", "--wait", "--silent", "--mode=immediate"]);
    }

    fn run(&self, program: &str, args: &[&str]) {
        let output = self.output(program, args);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    fn output(&self, program: &str, args: &[&str]) -> Output {
        let program = self.programs.join(program);
        let mut command = match is_root() {
            true => {
                let mut command = Command::new("setpriv");
                command
                    .args(["--reuid=postgres", "--regid=postgres", "--clear-groups", "--"])
                    .arg(program);
                command
            }
            false => Command::new(program),
        };
        command.arg("--pgdata").arg(self.folder.path().join("data")).args(args);
        command.current_dir(self.folder.path()).output().unwrap()
    }

    pub(crate) fn url(&self) -> String {
        format!("postgres://tide:hunter2@127.0.0.1:{}/postgres", self.port)
    }

    pub(crate) async fn open(&self) -> PgConnection {
        let options: PgConnectOptions = self.url().parse().unwrap();
        options.disable_statement_logging().connect().await.unwrap()
    }

    async fn count(&self, table: &str) -> i64 {
        let count = AssertSqlSafe(format!("SELECT count(*) FROM {table}"));
        let row = sqlx::query(count).fetch_one(&mut self.open().await).await.unwrap();
        row.get(0)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.output("pg_ctl", &["stop", "--silent", "--mode=immediate"]);
    }
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0)
}

/// The newest installed version.
fn programs() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").ok()?;
    let mut found: Vec<PathBuf> =
        versions.flatten().map(|version| version.path().join("bin")).collect();
    found.retain(|bin| bin.join("initdb").exists() && Path::new("/usr/bin/setpriv").exists());
    found.sort();
    found.pop()
}

fn body(model: &str) -> Value {
    json!({"model": model, "max_tokens": 64, "messages": [{"role": "user", "content": "hi"}]})
}

async fn gateway(server: &Server, up: &crate::support::upstream::Auto) -> Gateway {
    Gateway::with()
        .upstream(up.address)
        .policy("tags", "fn on_request(request, ctx) { tag(\"team\", \"ml\"); }")
        .config(format!("ledger: {{ url: \"{}\", keep: 1d }}\n", server.url()))
        .start()
        .await
}

#[tokio::test]
async fn a_ledger_in_postgresql_has_the_same_sums_and_survives_the_loss_of_its_database() {
    let Some(server) = Server::start() else { return };
    let up = Upstream::always(Behaviour::Answer(whole(200, ANSWER))).await;
    // two gateways share one database
    let (first, second) = tokio::join!(gateway(&server, &up), gateway(&server, &up));
    for gateway in [&first, &second] {
        for model in ["claude-opus-5-5", "nul\0\u{202e}", "of-nobody"] {
            gateway.ask(&body(model)).await.message();
        }
        written(gateway, 3).await;
    }
    let expected = json!([6, 18, 0, 0, 0, 12, "0.000104", 4]);
    for by in ["key", "model", "target", "day", "tag", "tag:team"] {
        let found = report(&first.file(), &["--by", by, "--zone", "Asia/Kolkata"]);
        assert_eq!(sums(&found["total"]), expected, "{by}");
        let all: u64 = found["rows"]
            .as_array()
            .unwrap()
            .iter()
            .map(|row| row["requests"].as_u64().unwrap())
            .sum();
        assert_eq!(all, 6, "{by}: {found}");
    }
    // the database goes away: requests are answered, and their rows wait
    server.end();
    for _ in 0..5 {
        first.ask(&body("claude-opus-5-5")).await.message();
    }
    until("a failed attempt", async || first.metric("tidegate_ledger_failures_total").await > 0.0)
        .await;
    assert_eq!(first.metric(WRITTEN).await, 3.0);
    server.begin();
    written(&first, 8).await;
    assert_eq!(server.count("exchange").await, 11);
    assert_eq!(server.count("tag").await, 11);
    // two days pass
    let past = "UPDATE exchange SET at = at - interval '2 days'; UPDATE quarter SET at = at - interval '2 days'";
    sqlx::raw_sql(past).execute(&mut server.open().await).await.unwrap();
    for table in ["exchange", "attempt", "stage", "tag", "quarter"] {
        until(table, async || server.count(table).await == 0).await;
    }
    let output = crate::commands::tidegate(&first.file(), &["check"]);
    assert!(
        output.status.success()
            && first.metric("tidegate_ledger_dropped_total{reason=\"full\"}").await == 0.0
    );
    drop(server);
    let said = crate::commands::tidegate(&first.file(), &["ledger"]).stderr;
    let said = String::from_utf8(said).unwrap();
    assert!(said.starts_with("ledger.url: ") && !said.contains("hunter2"), "{said}");
}

#[tokio::test]
async fn a_report_from_postgresql_sees_one_moment_and_has_minutes() {
    const LOCK: i64 = 42;
    let Some(server) = Server::start() else { return };
    let up = Upstream::always(Behaviour::Answer(whole(200, ANSWER))).await;
    let gateway = gateway(&server, &up).await;
    gateway.ask(&body("claude-opus-5-5")).await.message();
    written(&gateway, 1).await;
    // the first statement of a report waits for a lock, and shows its own time limit
    let mut other = server.open().await;
    let view = "ALTER TABLE tag RENAME TO stored; \
         CREATE FUNCTION waits() RETURNS text LANGUAGE plpgsql VOLATILE AS $$ BEGIN \
           PERFORM pg_advisory_lock_shared(42); RETURN current_setting('statement_timeout'); END $$; \
         CREATE VIEW tag AS SELECT exchange, tag, waits() AS value FROM stored";
    sqlx::raw_sql(view).execute(&mut other).await.unwrap();
    let lock = sqlx::query("SELECT pg_advisory_lock($1)").bind(LOCK);
    lock.execute(&mut other).await.unwrap();
    let file = gateway.file();
    let report = tokio::task::spawn_blocking(move || report(&file, &["--by", "tag"]));
    until("the report to wait", async || {
        let waits = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted";
        sqlx::query_scalar::<_, i64>(waits).fetch_one(&mut server.open().await).await.unwrap() == 1
    })
    .await;
    // a row comes between the two statements
    let copy = "INSERT INTO exchange SELECT (jsonb_populate_record(exchange, \
         jsonb_build_object('id', gen_random_uuid()))).* FROM exchange";
    sqlx::raw_sql(copy).execute(&mut other).await.unwrap();
    let unlock = sqlx::query("SELECT pg_advisory_unlock($1)").bind(LOCK);
    unlock.execute(&mut other).await.unwrap();
    let found = report.await.unwrap();
    assert_eq!(found["rows"].as_array().unwrap().len(), 1, "{found}");
    assert_eq!(
        (&found["rows"][0]["requests"], &found["total"]["requests"]),
        (&1.into(), &1.into())
    );
    assert_eq!(found["rows"][0]["value"], "10min");
    assert_eq!(server.count("exchange").await, 2);
}

#[tokio::test]
async fn old_sums_in_postgresql_are_folded_into_days() {
    let Some(server) = Server::start() else { return };
    let gateway = async || {
        let config = format!("ledger: {{ url: \"{}\", keep: 400d }}\n", server.url());
        let zone = "budgets: { timezone: America/New_York }\n";
        Gateway::with().provider("sim", "{ type: simulator }").config(config + zone).start().await
    };
    // the first gateway makes the tables
    gateway().await.stop().await;
    let mut connection = server.open().await;
    let rows = "INSERT INTO quarter SELECT date_trunc('day', now()) - interval '50 days' + n * interval '15 minutes', \
        'k', 'm', 't', 1, 0, 2, 0, 0, 0, 3, 7, 0, 0, 5, 0 FROM generate_series(0, 100 * 96) AS n";
    sqlx::raw_sql(rows).execute(&mut connection).await.unwrap();
    let (first, second) = tokio::join!(gateway(), gateway());
    let left = "SELECT count(*) FROM quarter WHERE is_day = 0 AND at < now() - interval '36 days'";
    until("old sums to be folded", async || {
        sqlx::query_scalar::<_, i64>(left).fetch_one(&mut server.open().await).await.unwrap() == 0
    })
    .await;
    let days = "SELECT count(*), sum(requests)::bigint, count(DISTINCT (at AT TIME ZONE 'America/New_York')::time)::bigint \
        FROM quarter WHERE is_day = 1";
    let row = sqlx::query(days).fetch_one(&mut connection).await.unwrap();
    let (count, requests, times): (i64, i64, i64) = (row.get(0), row.get(1), row.get(2));
    assert!((13..=16).contains(&count) && requests <= count * 100, "{count} {requests}");
    // each begins at midnight in the zone
    assert_eq!(times, 1);
    assert_eq!(server.count("quarter").await, 100 * 96 + 1 - requests + count);
    assert_eq!(report(&first.file(), &[])["total"]["requests"], 100 * 96 + 1);
    drop(second);
}
