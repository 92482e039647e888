//! The listeners: worker threads that accept, limit and drain connections.
pub mod connection;
mod files;
pub mod flight;
pub mod refused;
pub mod routes;
pub mod running;
mod supervisor;
mod watched;
pub mod watching;

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Release};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc, watch};

pub use crate::config::listeners::ServerConfig as Config;
pub use crate::config::listeners::TlsConfig;
use crate::error::{BoxError, Problem};
use crate::gateway::Live;
use crate::net::client;
use crate::policy::script::STACK_BYTES;
use crate::server::connection::Acceptor;
use crate::server::supervisor::Beats;

/// A running server for clients' requests.
pub struct Server {
    /// The address of the listener.
    pub address: SocketAddr,
    leaving: Arc<AtomicBool>,
    close: watch::Sender<Option<Duration>>,
    workers: Vec<JoinHandle<()>>,
}

/// Returns the number of worker threads for a config.
pub fn worker_count(config: &Config) -> usize {
    match config.workers {
        0 => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        some => some,
    }
}

impl Server {
    /// Opens the listener and starts the workers.
    ///
    /// Fails if the address cannot be bound.
    pub(crate) fn start(
        listen: SocketAddr,
        config: &Config,
        live: &Arc<Live>,
        beats: Option<&Arc<Beats>>,
    ) -> Result<Self, Problem> {
        let unusable =
            |e: std::io::Error| Problem::new("listen", format!("cannot listen on {listen}: {e}"));
        let listener = bind(listen).map_err(unusable)?;
        let address = listener.local_addr().map_err(unusable)?;
        let (close, closed) = watch::channel(None);
        let leaving = Arc::new(AtomicBool::new(false));
        let slots = Arc::new(Semaphore::new(config.max_connections));
        let mut workers = Vec::new();
        for number in 0..worker_count(config) {
            let acceptor = Acceptor {
                live: Arc::clone(live),
                slots: Arc::clone(&slots),
                leaving: Arc::clone(&leaving),
                closed: closed.clone(),
            };
            let listener = listener.try_clone().map_err(unusable)?;
            let beats = beats.cloned();
            let worker = std::thread::Builder::new()
                .name(format!("worker-{number}"))
                .stack_size(STACK_BYTES)
                .spawn(move || work(number, listener, acceptor, beats))
                .map_err(unusable)?;
            workers.push(worker);
        }
        Ok(Self { address, leaving, close, workers })
    }

    /// Ends each connection with its next answer from now on, so that clients turn to another gateway. The listener
    /// stays open.
    pub fn leave(&self) {
        self.leaving.store(true, Release);
    }

    /// Accepts no new connections, lets open requests finish within `patience`, and returns when
    /// every worker has ended.
    pub fn drain(self, patience: Duration) {
        self.leave();
        // fails only if every worker has already ended
        let _ = self.close.send(Some(patience));
        for worker in self.workers {
            if worker.join().is_err() {
                tracing::error!("a worker thread panicked");
            }
        }
    }
}

fn bind(address: SocketAddr) -> std::io::Result<TcpListener> {
    use socket2::{Domain, Protocol, Socket, Type};
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(4096)?;
    Ok(socket.into())
}

/// Runs one worker: a thread with its own runtime, so that a request never changes threads.
fn work(number: usize, listener: TcpListener, acceptor: Acceptor, beats: Option<Arc<Beats>>) {
    client::enter_worker(number);
    let ran = || -> Result<(), BoxError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener)?;
            if let Some(beats) = beats {
                tokio::spawn(beats.beat(number));
            }
            let mut closed = acceptor.closed.clone();
            let (open, mut all_closed) = mpsc::channel::<()>(1);
            acceptor.accept(listener, open).await;
            let patience = (*closed.borrow_and_update()).unwrap_or_default();
            if tokio::time::timeout(patience, all_closed.recv()).await.is_err() {
                tracing::warn!(
                    "the drain time is over: closing the connections that are still open"
                );
            }
            Ok(())
        })
    };
    if let Err(e) = ran() {
        tracing::error!(error = %e, "a worker could not start");
    }
}
