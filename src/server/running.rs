//! A running gateway: the first generation, both listeners, the reloader.
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tokio::task::JoinHandle;

use crate::admin::{self, Admin};
use crate::config::listeners::DrainConfig;
use crate::config::{Config, expand};
use crate::error::{BoxError, Problem};
use crate::gateway::reload::{Reloader, Start};
use crate::gateway::shared::Shared;
use crate::gateway::{Gateway, Live};
use crate::ledger::database::Database;
use crate::ledger::keys::{NO_LEDGER, Watching};
use crate::ledger::{Ledger, Writing};
use crate::server::supervisor::{self, Beats, Supervisor};
use crate::server::{Server, watching, worker_count};
use crate::telemetry::events::{Delivering, Events};
use crate::telemetry::intake::Intake;
use crate::telemetry::otlp::{Exporting, Otlp};

/// The time for the ledger, the traces and the events after a drain that took all of its own.
const FLUSH: Duration = Duration::from_secs(1);

/// The gateway that `tidegate serve` runs. Dropped without [`Self::stop`], it cuts every connection.
pub struct Running {
    /// The address that clients connect to.
    pub address: SocketAddr,
    /// The address of the admin listener, if there is one.
    pub admin_address: Option<SocketAddr>,
    /// Reloads the config.
    pub reloader: Arc<Reloader>,
    server: Server,
    admin: Option<Admin>,
    ledger: Option<Writing>,
    exporting: Option<Exporting>,
    delivering: Delivering,
    watching_keys: Option<Watching>,
    watching: JoinHandle<()>,
    supervisor: Arc<Supervisor>,
    /// The task that reports to the service manager that the workers run.
    alive: Option<JoinHandle<()>>,
    drain: DrainConfig,
    shared: Arc<Shared>,
}

impl Running {
    /// Builds the first generation from `config`, which was read from `file`, and serves it. The
    /// admin listener and the file watcher run on the caller's runtime.
    ///
    /// Fails with every problem of the generation, or with the listener that cannot be opened.
    pub async fn start(file: &Path, config: &Config) -> Result<Self, Vec<Problem>> {
        for warning in config.warnings() {
            tracing::warn!(problem = %warning, "the config has a setting that is probably not meant");
        }
        let mut shared = Shared::new(worker_count(&config.server), cache_dir(config))?;
        shared.limits.keep_in(&config.state_dir);
        let disk = Start::of(config);
        let Writers { ledger: writing, exporting, delivering, watching_keys } =
            Writers::start(config, &mut shared).await?;
        let shared = Arc::new(shared);
        let gateway = Gateway::build(config, 1, &shared).await?;
        shared.limits.connected().await;
        shared.metrics.reloaded(SystemTime::now());
        let live = Arc::new(Live::new(gateway));
        let reloader = Arc::new(Reloader::new(file, config, disk, &shared, &live));
        let limit = supervisor::watchdog(&expand::environment);
        let beats = limit.map(|limit| Beats::new(worker_count(&config.server), limit));
        // `/readyz` answers 200 only once clients can connect
        let server = Server::start(config.listen, &config.server, &live, beats.as_ref());
        let server = server.map_err(|p| vec![p])?;
        let admin = match &config.admin {
            None => None,
            Some(admin) => {
                let database = writing.as_ref().and_then(|_| Database::of(&config.ledger.url));
                let parts = admin::Parts {
                    shared: Arc::clone(&shared),
                    live: Arc::clone(&live),
                    reloader: Arc::clone(&reloader),
                    database: database.map(Arc::new),
                };
                Some(admin::start(admin, parts).await.map_err(|p| vec![p])?)
            }
        };
        let supervisor = Arc::new(Supervisor::connect(&expand::environment));
        let watching = watching::watch(Arc::clone(&reloader), Arc::clone(&supervisor));
        let alive = beats
            .zip(limit)
            .map(|(beats, limit)| tokio::spawn(Arc::clone(&supervisor).watch(beats, limit)));
        supervisor.ready();
        Ok(Self {
            address: server.address,
            admin_address: admin.as_ref().map(|admin| admin.address),
            watching: tokio::spawn(watching),
            supervisor,
            alive,
            reloader,
            ledger: writing,
            exporting,
            delivering,
            watching_keys,
            server,
            admin,
            drain: config.drain,
            shared,
        })
    }

    /// Waits until an operator stops the gateway through the admin API; forever without an admin listener.
    pub async fn stopped(&self) {
        match &self.admin {
            Some(admin) => admin.stopped().await,
            None => std::future::pending().await,
        }
    }

    /// Serves on for `drain.delay` and ends each connection with its answer; then accepts no new connections, lets open
    /// requests finish within `drain.deadline`, and returns when all parts have ended.
    pub async fn stop(self) -> Result<(), BoxError> {
        self.watching.abort();
        // before `/readyz` says so: an answer after that never keeps its connection
        self.server.leave();
        if let Some(admin) = &self.admin {
            admin.draining();
        }
        let DrainConfig { delay, deadline } = self.drain;
        self.supervisor.stopping(delay + deadline + FLUSH + FLUSH);
        // the workers end
        self.alive.inspect(JoinHandle::abort);
        tracing::info!(
            delay_ms = delay.as_millis(),
            deadline_ms = deadline.as_millis(),
            "draining"
        );
        tokio::time::sleep(delay).await;
        let begun = Instant::now();
        let (server, shared) = (self.server, self.shared);
        let counters = Arc::clone(&shared);
        let drained = tokio::task::spawn_blocking(move || {
            server.drain(deadline);
            counters.limits.finish();
        })
        .await;
        let patience = deadline.saturating_sub(begun.elapsed()).max(FLUSH);
        if let Some(admin) = &self.admin {
            // before the parts to which a write belongs
            admin.written(patience).await;
        }
        let written = async {
            if let Some(ledger) = self.ledger {
                ledger.stop(patience).await;
            }
        };
        let exported = async {
            if let Some(exporting) = self.exporting {
                exporting.stop(patience).await;
            }
        };
        let delivered = self.delivering.stop(patience);
        let used = async {
            if let Some(watching) = self.watching_keys {
                watching.stop(patience).await;
            }
        };
        tokio::join!(written, exported, delivered, used, shared.limits.flushed());
        drained?;
        Ok(())
    }
}

/// Returns the folder for compiled plugins; only the gateway writes to it.
fn cache_dir(config: &Config) -> Option<PathBuf> {
    let dir = config.state_dir.join("cache");
    // the cache needs an absolute path; without one, every start recompiles the plugins
    std::path::absolute(dir).ok()
}

/// The tasks beside the requests: they write to a database, a collector or sinks, and stop when they are dropped.
struct Writers {
    ledger: Option<Writing>,
    exporting: Option<Exporting>,
    delivering: Delivering,
    watching_keys: Option<Watching>,
}

impl Writers {
    /// Starts the tasks, and gives their entrances to the requests.
    async fn start(config: &Config, shared: &mut Shared) -> Result<Self, Vec<Problem>> {
        let started = Ledger::start(&config.ledger, &shared.metrics.ledger).await;
        let (entrance, ledger) = started.map_err(|problem| vec![problem])?;
        shared.ledger = entrance;
        let (otlp, exporting) = Otlp::start(&config.otlp, &shared.metrics.exporter)?;
        shared.otlp = otlp;
        shared.intake = Intake::start(config.otlp.intake.as_ref())?;
        let (events, delivering) = Events::start(&config.sinks, &shared.metrics.sinks)?;
        shared.events = events;
        if config.key_store.is_on() && ledger.is_none() {
            return Err(vec![Problem::new("key_store", NO_LEDGER)]);
        }
        let (url, metrics) = (&config.ledger.url, &shared.metrics.ledger.keys);
        let watched = Watching::start(&config.key_store, url, metrics).await;
        let (keys, watching_keys) = watched.map_err(|problem| vec![problem])?.unzip();
        shared.keys = keys;
        Ok(Self { ledger, exporting, delivering, watching_keys })
    }
}
