//! `tidegate serve`: builds the first generation, serves, reloads, drains.
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::SystemTime;

use crate::admin;
use crate::config::Config;
use crate::error::{BoxError, Problem};
use crate::gateway::reload::Reloader;
use crate::gateway::shared::Shared;
use crate::gateway::{Gateway, Live};
use crate::server::{Server, watching, worker_count};
use crate::telemetry::logs;

/// Serves until `SIGTERM` or `SIGINT`; 1 if it could not start.
pub fn run(file: &Path) -> ExitCode {
    match serve(file) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problems) => {
            for problem in problems {
                eprintln!("{problem}");
            }
            ExitCode::FAILURE
        }
    }
}

fn serve(file: &Path) -> Result<(), Vec<Problem>> {
    let config = Config::load(file)?;
    logs::init(&config.log).map_err(|problem| vec![problem])?;
    let shared = Arc::new(Shared::new(worker_count(&config.server), cache_dir(&config))?);
    // reloads, signals and the admin listener live here, away from the threads that serve
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("control")
        .enable_all()
        .build()
        .map_err(|e| vec![Problem::new("", format!("cannot start: {e}"))])?;
    runtime.block_on(async {
        let gateway = Gateway::build(&config, 1, &shared).await?;
        shared.metrics.reloaded(SystemTime::now());
        let live = Arc::new(Live::new(gateway));
        let admin = match &config.admin {
            None => None,
            Some(admin) => Some(admin::start(admin, &shared).await.map_err(|problem| vec![problem])?),
        };
        let server = Server::start(config.listen, &config.server, &live).map_err(|p| vec![p])?;
        tracing::info!(listen = %server.address, admin = admin.as_ref().map(|a| tracing::field::display(a.address)), "tidegate serves");
        let reloader = Arc::new(Reloader::new(file, &config, &shared, &live));
        let watching = tokio::spawn(watching::watch(reloader));
        let stopped = until_stopped().await;
        watching.abort();
        if let Some(admin) = &admin {
            admin.draining();
        }
        tracing::info!(seconds = config.drain.as_secs(), "draining");
        let drained = tokio::task::spawn_blocking(move || server.drain(config.drain)).await;
        stopped.and(drained.map_err(Into::into)).map_err(|e| vec![Problem::new("", e.to_string())])
    })
}

async fn until_stopped() -> Result<(), BoxError> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

/// Compiled plugins are kept beside the config, in a folder that only the gateway writes.
fn cache_dir(config: &Config) -> Option<PathBuf> {
    let dir = config.base_dir.join(".tidegate").join("cache");
    // the cache wants an absolute path; without one every start compiles anew
    std::path::absolute(dir).ok()
}
