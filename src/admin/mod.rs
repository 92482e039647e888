//! The admin listener: metrics, health and the admin API, on an address of its own.
mod answer;
mod call;
mod changed;
mod dashboard;
mod document;
mod drafts;
mod entrance;
mod failure;
mod page;
mod parse;
mod parts;
mod placed;
mod queried;
mod recorded;
mod route;
mod router;
mod sessions;
mod shown;
mod sign_in;
mod state;
mod tag;
mod time;
mod trial_steps;
mod workshop;
mod write;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use crate::admin::answer::{Answer, harden};
use crate::admin::entrance::Entrance;
use crate::admin::router::Router;
use crate::admin::state::{Phase, Readiness, State, Writes};
use crate::admin::workshop::Workshop;
use crate::auth::stored::Freshness;
pub(crate) use crate::config::listeners::AdminConfig as Config;
use crate::error::Problem;
use crate::gateway::Live;
use crate::gateway::reload::Reloader;
use crate::gateway::shared::Shared;
use crate::ledger::database::Database;
use crate::net::body::Body;

/// The running listener.
pub(crate) struct Admin {
    /// The address of the listener.
    pub address: SocketAddr,
    state: Arc<State>,
}

/// The parts of the gateway that the listener reads and changes.
pub(crate) struct Parts {
    /// The parts that outlive generations.
    pub(crate) shared: Arc<Shared>,
    /// The pointer to the current generation.
    pub(crate) live: Arc<Live>,
    /// The builder of the next generation.
    pub(crate) reloader: Arc<Reloader>,
    /// The ledger's database; `None` without a ledger.
    pub(crate) database: Option<Arc<Database>>,
}

impl Admin {
    /// Makes `/readyz` report that no new work should be sent.
    pub(crate) fn draining(&self) {
        self.state.readiness.set(Phase::Draining);
    }

    /// Waits until an operator stops the gateway through the API.
    pub(crate) async fn stopped(&self) {
        self.state.readiness.stopped().await;
    }

    /// Waits until the writes in progress are recorded, for a while.
    pub(crate) async fn written(&self, patience: Duration) {
        if timeout(patience, self.state.writes.ended()).await.is_err() {
            tracing::warn!(
                "writes of the admin API were still in progress at the end of the drain"
            );
        }
    }
}

/// Opens the listener on the caller's runtime.
///
/// Fails if the address cannot be bound.
pub(crate) async fn start(config: &Config, parts: Parts) -> Result<Admin, Problem> {
    let unusable = |e: std::io::Error| {
        Problem::new("admin.listen", format!("cannot listen on {}: {e}", config.listen))
    };
    let listener = TcpListener::bind(config.listen).await.map_err(unusable)?;
    let address = listener.local_addr().map_err(unusable)?;
    let Parts { shared, live, reloader, database } = parts;
    shared.exchanges.switch_on();
    if let Some(record) = &config.record {
        shared.recordings.switch_on(record.requests, record.bytes);
    }
    let state = Arc::new(State {
        workshop: Workshop::new(shared.client.spare()),
        editing: config.edit.then(tokio::sync::Mutex::default),
        shared,
        live,
        reloader,
        database,
        readiness: Readiness::default(),
        writes: Writes::default(),
        started: SystemTime::now(),
    });
    let router = Router::new(Arc::clone(&state), Entrance::new(config, address));
    let door = Arc::new(Door { state: Arc::clone(&state), router });
    tokio::spawn(accept(listener, door));
    Ok(Admin { address, state })
}

/// The listener's side of a connection.
struct Door {
    state: Arc<State>,
    router: Router,
}

async fn accept(listener: TcpListener, door: Arc<Door>) {
    loop {
        let Ok((stream, peer)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        tokio::spawn(serve(stream, peer, Arc::clone(&door)));
    }
}

async fn serve(stream: TcpStream, peer: SocketAddr, door: Arc<Door>) {
    let service = service_fn(|request| {
        let door = Arc::clone(&door);
        async move { Ok::<_, Infallible>(door.answer(request, peer).await) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_secs(15))
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(e) = served {
        tracing::debug!(error = %e, "an admin connection ended with an error");
    }
}

impl Door {
    async fn answer(&self, request: Request<Incoming>, peer: SocketAddr) -> Response<Body> {
        let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
        let mut response = match request.uri().path() {
            // probes have no token, and name the machine in any way
            "/healthz" if is_read => text(StatusCode::OK, "ok\n"),
            "/readyz" if is_read => match self.state.readiness.phase() {
                Phase::Ready => text(StatusCode::OK, &self.ready()),
                Phase::Unready => text(StatusCode::SERVICE_UNAVAILABLE, "unready\n"),
                Phase::Draining => text(StatusCode::SERVICE_UNAVAILABLE, "draining\n"),
            },
            _ => self.router.answer(request, peer).await,
        };
        harden(response.headers_mut());
        response
    }

    /// Returns the text of `/readyz` for a gateway that takes new work, with the parts that do not work as they should.
    fn ready(&self) -> String {
        let keys = self.state.shared.keys.as_ref().map(|keys| keys.held().freshness());
        match keys {
            Some(Freshness::Stale(age)) => {
                format!("ready\nkey store: no answer for {} s, known keys count\n", age.as_secs())
            }
            Some(Freshness::Refusing(age)) => {
                format!(
                    "ready\nkey store: no answer for {} s, its keys are refused\n",
                    age.as_secs()
                )
            }
            Some(Freshness::Current) | None => "ready\n".to_owned(),
        }
    }
}

fn text(status: StatusCode, text: &str) -> Response<Body> {
    let body = Bytes::copy_from_slice(text.as_bytes());
    Answer::of("text/plain; charset=utf-8", body).status(status).response
}
