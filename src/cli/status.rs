//! `tidegate status`: shows a running gateway: health, generation, targets, last problems, spend today.
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;

use clap::Args;
use jiff::Zoned;
use jiff::tz::TimeZone;
use serde_json::{Map, Value, json};

use crate::cli::admin_client::AdminClient;
use crate::error::{BoxError, Problem};
use crate::telemetry::logs::one_line;

/// The arguments.
#[derive(Args)]
pub(super) struct Query {
    /// The address of the admin listener, instead of that of the config.
    #[arg(long, value_name = "HOST:PORT")]
    address: Option<SocketAddr>,
    /// The time zone in which today begins, such as Europe/Berlin.
    #[arg(long, value_name = "ZONE", default_value = "UTC", value_parser = zone)]
    zone: TimeZone,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
}

fn zone(text: &str) -> Result<TimeZone, String> {
    let wrong = |_| format!("expected a name such as `Europe/Berlin`, found `{text}`");
    TimeZone::get(text).map_err(wrong)
}

/// Exits 1 if the gateway cannot be reached or is not ready.
pub(super) fn run(file: &Path, query: &Query) -> ExitCode {
    match load(file, query) {
        Ok(status) => {
            let text = if query.json { format!("{:#}\n", status.json()) } else { status.text() };
            // a reader that closes early, such as `head`, is no reason to panic
            let is_written = io::stdout().write_all(text.as_bytes()).is_ok();
            if is_written && status.is_ready() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(problems) => {
            problems.iter().for_each(|problem| eprintln!("{problem}"));
            ExitCode::FAILURE
        }
    }
}

fn load(file: &Path, query: &Query) -> Result<Status, Vec<Problem>> {
    let client = AdminClient::of(file, query.address)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| vec![Problem::new("", format!("cannot start: {e}"))])?;
    let unreachable = |e: BoxError| {
        let message =
            format!("the gateway's admin listener {} gave no status: {e}", client.address());
        vec![Problem::new("", message)]
    };
    runtime.block_on(Status::read(&client, &query.zone)).map_err(unreachable)
}

/// The answers of a gateway.
struct Status {
    status: Value,
    generation: Value,
    targets: Value,
    /// The report of today, or the reason for which there is none.
    today: Result<Value, String>,
}

impl Status {
    async fn read(client: &AdminClient, zone: &TimeZone) -> Result<Self, BoxError> {
        let day = Zoned::now().with_time_zone(zone.clone()).date();
        let name = zone.iana_name().unwrap_or("UTC");
        let usage = format!("/api/usage?by=day&zone={name}&from={day}&to={day}");
        Ok(Self {
            status: client.get("/api/status").await?,
            generation: client.get("/api/generation").await?,
            targets: client.get("/api/targets").await?,
            today: client.get(&usage).await.map_err(|e| e.to_string()),
        })
    }

    fn is_ready(&self) -> bool {
        self.status["state"] == "ready"
    }

    fn json(&self) -> Value {
        let today = match &self.today {
            Ok(report) => report["total"].clone(),
            Err(error) => json!({ "error": error }),
        };
        json!({
            "status": self.status,
            "generation": self.generation,
            "aliases": self.targets["aliases"],
            "today": today,
        })
    }

    fn text(&self) -> String {
        let mut text = String::new();
        self.write_gateway(&mut text);
        self.write_today(&mut text);
        self.write_problems(&mut text);
        self.write_targets(&mut text);
        text
    }

    fn write_gateway(&self, text: &mut String) {
        let (status, generation) = (&self.status, &self.generation);
        let lines = [
            (
                "gateway",
                format!("{}, Tidegate {}", shown(&status["state"]), shown(&status["version"])),
            ),
            ("serves since", shown(&status["started_at"])),
            ("requests", format!("{} in progress", status["active_requests"])),
            (
                "generation",
                format!("{}, since {}", generation["number"], shown(&generation["built_at"])),
            ),
            ("ledger", ledger(&status["ledger"])),
        ];
        for (name, value) in lines {
            let _ = writeln!(text, "{name:<13} {value}");
        }
    }

    fn write_today(&self, text: &mut String) {
        let value = match &self.today {
            Err(error) => format!("unknown: {}", one_line(error)),
            Ok(report) => {
                let total = &report["total"];
                let unpriced = match total["unpriced"].as_i64() {
                    Some(0) | None => String::new(),
                    Some(number) => format!(", {number} requests without a known cost"),
                };
                let (cost, requests) = (shown(&total["cost_usd"]), &total["requests"]);
                let zone = shown(&report["zone"]);
                format!("{cost} USD for {requests} requests (day in {zone}){unpriced}")
            }
        };
        let _ = writeln!(text, "{:<13} {value}", "spent today");
    }

    fn write_problems(&self, text: &mut String) {
        let last = &self.generation["last_reload"];
        let problems = last["problems"].as_array().map(Vec::as_slice).unwrap_or_default();
        if !problems.is_empty() {
            let at = shown(&last["at"]);
            let _ = writeln!(
                text,
                "\nthe last reload failed at {at}; the generation before it serves:"
            );
        }
        for problem in problems {
            let (path, message) = (shown(&problem["path"]), shown(&problem["message"]));
            let _ = writeln!(text, "  {path}: {message}");
        }
        for setting in last["needs_restart"].as_array().into_iter().flatten() {
            let _ = writeln!(text, "  `{}` has changed and needs a restart", shown(setting));
        }
    }

    fn write_targets(&self, text: &mut String) {
        let aliases = self.targets["aliases"].as_array().into_iter().flatten();
        let rows = aliases.flat_map(|alias| {
            let targets = alias["targets"].as_array().into_iter().flatten();
            targets.map(move |target| row(&shown(&alias["name"]), target))
        });
        let head =
            ["model", "target", "state", "errors", "first event", "tokens/s", "last failure"];
        let rows: Vec<[String; 7]> = std::iter::once(head.map(str::to_owned)).chain(rows).collect();
        let widths: Vec<usize> = (0..7)
            .map(|n| rows.iter().map(|row| row[n].chars().count()).max().unwrap_or(0))
            .collect();
        text.push('\n');
        for row in &rows {
            let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
            let line = cells.collect::<Vec<_>>().join("  ");
            let _ = writeln!(text, "{}", line.trim_end());
        }
    }
}

fn ledger(ledger: &Value) -> String {
    match ledger["is_on"].as_bool() {
        Some(true) => {
            let (written, waiting) = (&ledger["written"], &ledger["waiting"]);
            format!("on, {written} written, {waiting} waiting")
        }
        _ => "off".to_owned(),
    }
}

/// Returns the cells of a target.
fn row(alias: &str, target: &Value) -> [String; 7] {
    let messages = &target["messages"];
    let state = match messages["cooling_ms"].as_u64() {
        Some(left) => format!("cooling, {} s", left.div_ceil(1000)),
        None => shown(&messages["state"]),
    };
    let recent = &target["recent"];
    let errors = match recent["error_rate"].as_f64() {
        Some(rate) => format!("{:.0} % of {}", rate * 100.0, recent["attempts"]),
        None => "–".to_owned(),
    };
    let number = |value: &Value, unit: &str| {
        value.as_f64().map_or_else(|| "–".to_owned(), |number| format!("{number:.0}{unit}"))
    };
    let failure = &target["last_failure"];
    let failure = failure.as_object().map_or_else(String::new, failed);
    [
        alias.to_owned(),
        shown(&target["target"]),
        state,
        errors,
        number(&target["latency_ms"], " ms"),
        number(&target["throughput"], ""),
        failure,
    ]
}

fn failed(failure: &Map<String, Value>) -> String {
    let get = |name: &str| failure.get(name).map(shown).unwrap_or_default();
    let status = failure.get("status").and_then(Value::as_u64);
    let status = status.map(|status| format!("{status} ")).unwrap_or_default();
    format!("{status}{} at {}", get("kind"), get("at"))
}

/// Returns a text of an answer in one line: names may come from clients.
fn shown(value: &Value) -> String {
    one_line(value.as_str().unwrap_or_default()).into_owned()
}
