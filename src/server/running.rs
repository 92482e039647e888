//! A whole gateway under way: the first generation, both listeners, the reloader.
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::task::JoinHandle;

use crate::admin::{self, Admin};
use crate::config::Config;
use crate::error::{BoxError, Problem};
use crate::gateway::reload::Reloader;
use crate::gateway::shared::Shared;
use crate::gateway::{Gateway, Live};
use crate::server::{Server, watching, worker_count};

/// What `tidegate serve` runs. Dropped without [`Self::stop`], it cuts every connection.
pub struct Running {
    /// Where callers connect.
    pub address: SocketAddr,
    /// Where operators look, if anywhere.
    pub admin_address: Option<SocketAddr>,
    /// Loads the config anew.
    pub reloader: Arc<Reloader>,
    server: Server,
    admin: Option<Admin>,
    watching: JoinHandle<()>,
    drain: Duration,
}

impl Running {
    /// Builds the first generation from `config`, which was read from `file`, and serves it. The
    /// admin listener and the watch over the files live on the runtime of the caller.
    ///
    /// Fails with every problem of the generation, or with the listener that cannot be had.
    pub async fn start(file: &Path, config: &Config) -> Result<Self, Vec<Problem>> {
        let shared = Arc::new(Shared::new(worker_count(&config.server), cache_dir(config))?);
        let gateway = Gateway::build(config, 1, &shared).await?;
        shared.metrics.reloaded(SystemTime::now());
        let live = Arc::new(Live::new(gateway));
        let admin = match &config.admin {
            None => None,
            Some(admin) => Some(admin::start(admin, &shared).await.map_err(|p| vec![p])?),
        };
        let server = Server::start(config.listen, &config.server, &live).map_err(|p| vec![p])?;
        let reloader = Arc::new(Reloader::new(file, config, &shared, &live));
        Ok(Self {
            address: server.address,
            admin_address: admin.as_ref().map(|admin| admin.address),
            watching: tokio::spawn(watching::watch(Arc::clone(&reloader))),
            reloader,
            server,
            admin,
            drain: config.drain,
        })
    }

    /// Takes no new connections, lets open requests finish within `drain`, and returns when all of
    /// it has ended.
    pub async fn stop(self) -> Result<(), BoxError> {
        self.watching.abort();
        if let Some(admin) = &self.admin {
            admin.draining();
        }
        tracing::info!(seconds = self.drain.as_secs(), "draining");
        let (server, drain) = (self.server, self.drain);
        tokio::task::spawn_blocking(move || server.drain(drain)).await?;
        Ok(())
    }
}

/// Compiled plugins are kept beside the config, in a folder that only the gateway writes.
fn cache_dir(config: &Config) -> Option<PathBuf> {
    let dir = config.base_dir.join(".tidegate").join("cache");
    // the cache wants an absolute path; without one every start compiles anew
    std::path::absolute(dir).ok()
}
