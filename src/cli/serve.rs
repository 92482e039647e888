//! `tidegate serve`: builds the first generation, serves, reloads, drains.
use std::path::Path;
use std::process::ExitCode;

use crate::config::Config;
use crate::error::{BoxError, Problem};
use crate::server::running::Running;
use crate::telemetry::logs;

/// Serves until `SIGTERM` or `SIGINT`. Exits 1 if it could not start.
pub(crate) fn run(file: &Path) -> ExitCode {
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
    // reloads, signals and the admin listener run here, not on the serving threads
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("control")
        .enable_all()
        .build()
        .map_err(|e| vec![Problem::new("", format!("cannot start: {e}"))])?;
    let ended = runtime.block_on(async {
        let running = Running::start(file, &config).await?;
        let scheme = if config.server.tls.is_some() { "https" } else { "http" };
        tracing::info!(listen = %running.address, scheme, admin = running.admin_address.map(tracing::field::display), "tidegate serves");
        let stopped = tokio::select! {
            stopped = until_stopped() => stopped,
            () = running.stopped() => Ok(()),
        };
        let drained = running.stop().await;
        stopped.and(drained).map_err(|e| vec![Problem::new("", e.to_string())])
    });
    // a reload may still wait for a disk that hangs
    runtime.shutdown_background();
    ended
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
