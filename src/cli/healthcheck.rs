//! `tidegate healthcheck`: asks a running gateway whether it is healthy, for containers without a shell.
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use http::HeaderMap;
use url::Url;

use crate::cli::admin_client::reachable;
use crate::config::Config;
use crate::error::Problem;
use crate::telemetry::post::{Destination, Receiver, Sent, address};

/// The time for the answer. Container runtimes wait 30 s.
const PATIENCE: Duration = Duration::from_secs(5);

/// The arguments.
#[derive(Args)]
pub(super) struct Check {
    /// The URL to read; without it, `/healthz` of the config's admin listener, or `/` of its public one.
    #[arg(long, value_name = "URL", value_parser = url)]
    url: Option<Url>,
}

fn url(text: &str) -> Result<Url, String> {
    address(text, "expected a URL such as `http://127.0.0.1:4001/readyz`")
}

/// Exits 1 if there is no answer, or if its status is not 2xx.
pub(super) fn run(file: &Path, check: &Check) -> ExitCode {
    match healthy(file, check) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problems) => {
            problems.iter().for_each(|problem| anstream::eprintln!("{problem}"));
            ExitCode::FAILURE
        }
    }
}

fn healthy(file: &Path, check: &Check) -> Result<(), Vec<Problem>> {
    let url = match &check.url {
        Some(url) => url.clone(),
        None => url_of(file)?,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| vec![Problem::new("", format!("cannot start: {e}"))])?;
    runtime
        .block_on(answer(&url))
        .map_err(|message| vec![Problem::new("", format!("{url}: {message}"))])
}

/// Returns the URL of the gateway that a config describes. Other parts of the config may be wrong: a gateway goes on
/// with its last good generation then.
fn url_of(file: &Path) -> Result<Url, Vec<Problem>> {
    let config = Config::load_partly(file)?.config;
    let text = match &config.admin {
        Some(admin) => format!("http://{}/healthz", reachable(admin.listen)),
        None if config.server.tls.is_none() => format!("http://{}/", reachable(config.listen)),
        None => {
            let message = "expected an admin listener, since the public one has TLS for a name that the config does not know; or give `--url`";
            return Err(vec![Problem::new("admin", message)]);
        }
    };
    Url::parse(&text).map_err(|e| vec![Problem::new("", format!("{text}: {e}"))])
}

async fn answer(url: &Url) -> Result<(), String> {
    let receiver = Receiver {
        name: "the gateway",
        url,
        headers: HeaderMap::new(),
        timeout: PATIENCE,
        ca_file: None,
        proxy: None,
    };
    match Destination::new(receiver)?.get().await {
        Sent::Taken(answer) if answer.status().is_success() => Ok(()),
        Sent::Taken(answer) => {
            let text = String::from_utf8_lossy(answer.body());
            let first = text.lines().next().unwrap_or_default();
            Err(format!("expected a status of 200 to 299, found {}: {first}", answer.status()))
        }
        Sent::Later(_, message) | Sent::Rejected(message) => Err(message),
    }
}
