//! `tidegate conform`: checks that a gateway for the Messages API keeps all that passes through it.
//!
//! A client and a test upstream stand at both ends of the gateway. Each check prepares an answer under a mark, sends a
//! request whose text has the mark, and compares both ends.
mod answers;
mod bench;
mod check;
mod client;
mod errors;
mod events;
mod facts;
mod faults;
mod json;
mod other;
mod play;
mod report;
mod request;
mod samples;
mod stage;
mod streams;
mod turns;
mod unprepared;
mod upstream;

use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, ValueEnum};
use futures_util::{StreamExt, stream};
use http::{HeaderName, HeaderValue};
use tokio::time::Instant;
use url::Url;

pub use facts::{Facts, Finding, Severity};
pub use report::{Outcome, Report};
pub use upstream::Upstream;

use crate::cli::conform::bench::Bench;
use crate::cli::conform::check::{Check, Runs};
use crate::cli::conform::client::Client;
use crate::wire::duration;

/// The checks that run at the same time.
const BESIDE: usize = 8;
/// The wait before the gateway is tried again, while it does not listen.
const PAUSE: Duration = Duration::from_millis(100);
/// The exit code of a run that could not begin.
const CANNOT_RUN: u8 = 2;

/// The gateway under test, and the way to test it.
#[derive(Args, Clone)]
pub struct Subject {
    /// The base URL of the gateway under test, without `/v1`.
    #[arg(value_name = "URL")]
    pub url: Url,
    /// A key that the gateway knows; sent as `x-api-key`.
    #[arg(long)]
    pub key: Option<String>,
    /// A model that the gateway sends to the test upstream.
    #[arg(long, default_value = "conform-1")]
    pub model: String,
    /// A header for every request; may be repeated.
    #[arg(long = "header", value_name = "NAME: VALUE", value_parser = header)]
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The longest time of one check, and of the wait for the gateway.
    #[arg(long, default_value = "10s", value_parser = duration::parse)]
    pub timeout: Duration,
    /// Runs only the checks of this group, or those whose id begins with this.
    #[arg(long, value_name = "GROUP|ID")]
    pub only: Option<String>,
}

/// The arguments.
#[derive(Args)]
pub(super) struct Trial {
    #[command(flatten)]
    subject: Subject,
    /// The address of the test upstream, which the gateway must use as its provider.
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:4010")]
    upstream_listen: SocketAddr,
    /// The form of the report.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// The form of the report.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    /// A table.
    Text,
    /// JSON.
    Json,
}

fn header(text: &str) -> Result<(HeaderName, HeaderValue), String> {
    let form = || "expected `Name: value`".to_owned();
    let (name, value) = text.split_once(':').ok_or_else(form)?;
    let name = name.trim().parse().map_err(|_| form())?;
    let mut value: HeaderValue = value.trim().parse().map_err(|_| form())?;
    value.set_sensitive(true);
    Ok((name, value))
}

/// Exits 0 if all checks of the severity `must` pass, 1 if not, 2 if they cannot run.
pub(super) fn run(trial: &Trial) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let report = runtime.map_err(|e| format!("cannot start: {e}"));
    match report.and_then(|runtime| runtime.block_on(tried(trial))) {
        Ok(report) => {
            let text = match trial.format {
                Format::Text => report.text(),
                Format::Json => format!("{:#}\n", report.json()),
            };
            // a reader that closes early, such as `head`, is no reason to panic
            let _ = io::stdout().write_all(text.as_bytes());
            if report.conforms() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(message) => {
            eprintln!("{message}");
            ExitCode::from(CANNOT_RUN)
        }
    }
}

async fn tried(trial: &Trial) -> Result<Report, String> {
    let listen = trial.upstream_listen;
    let unusable = |e| format!("the test upstream cannot listen on {listen}: {e}");
    let upstream = Upstream::start(listen).await.map_err(unusable)?;
    eprintln!(
        "The gateway under test must send the model `{}` to this Anthropic-compatible upstream:",
        trial.subject.model
    );
    eprintln!("  base URL  http://{} (before /v1/messages)", upstream.address);
    eprintln!("  key       any; the upstream does not check it");
    eprintln!("  without retries, cooldown, cache, guards and rate limits");
    check(&upstream, &trial.subject).await
}

/// Runs the checks.
///
/// Fails with a message if the gateway cannot be reached, or does not lead to the test upstream.
pub async fn check(upstream: &Upstream, subject: &Subject) -> Result<Report, String> {
    let checks = chosen(subject.only.as_deref())?;
    let client = Client::new(&subject.url, subject.key.as_deref(), &subject.headers)
        .map_err(|e| format!("the gateway cannot be tested: {e}"))?;
    let bench = Bench::new(client, upstream.stage.clone(), &subject.model);
    reached(&bench, subject).await?;
    let mut outcomes = Vec::with_capacity(checks.len());
    for (kind, most) in [(Runs::Beside, BESIDE), (Runs::Alone, 1)] {
        let chosen = checks.iter().enumerate().filter(|(_, check)| check.runs() == kind);
        let running = chosen.map(|(n, check)| {
            let bench = &bench;
            async move {
                let finding = check.run(bench, subject.timeout).await.err();
                (n, Outcome { group: check.group(), facts: check.facts, finding })
            }
        });
        let mut running = stream::iter(running).buffer_unordered(most);
        while let Some(outcome) = running.next().await {
            outcomes.push(outcome);
        }
    }
    outcomes.sort_by_key(|(n, _)| *n);
    let outcomes = outcomes.into_iter().map(|(_, outcome)| outcome).collect();
    Ok(Report { url: subject.url.to_string(), outcomes })
}

/// Returns the checks of a group, or those whose id begins with a text.
///
/// Fails with a message if there are none.
fn chosen(only: Option<&str>) -> Result<Vec<Check>, String> {
    let mut checks = Check::all();
    if let Some(only) = only {
        checks.retain(|check| check.group() == only || check.facts.id.starts_with(only));
    }
    match checks.is_empty() {
        true => Err(format!("`--only {}` fits no check", only.unwrap_or_default())),
        false => Ok(checks),
    }
}

/// Waits until a message passes the gateway in both directions.
async fn reached(bench: &Bench, subject: &Subject) -> Result<(), String> {
    let until = Instant::now() + subject.timeout;
    let message = |finding: Finding| {
        format!(
            "the gateway at {} cannot be tested: expected {}, found {}",
            subject.url, finding.expected, finding.found
        )
    };
    loop {
        let found = match tokio::time::timeout_at(until, request::reaches(bench)).await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(finding)) => finding,
            Err(_) => Finding::new("an answer to a plain message", "none in time"),
        };
        if Instant::now() + PAUSE >= until {
            return Err(message(found));
        }
        tokio::time::sleep(PAUSE).await;
    }
}
