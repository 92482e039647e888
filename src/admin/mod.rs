//! The admin listener: metrics and health, on its own address.
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use subtle::ConstantTimeEq;
use tokio::net::{TcpListener, TcpStream};

pub(crate) use crate::config::listeners::AdminConfig as Config;
use crate::error::{Problem, Secret};
use crate::gateway::shared::Shared;
use crate::net::body::Body;
use crate::telemetry::metrics::CONTENT_TYPE as METRICS_TYPE;

/// The running listener.
pub(crate) struct Admin {
    /// The address of the listener.
    pub address: SocketAddr,
    state: Arc<State>,
}

struct State {
    shared: Arc<Shared>,
    token: Secret,
    is_draining: AtomicBool,
}

impl Admin {
    /// Makes `/readyz` report that no new work should be sent.
    pub(crate) fn draining(&self) {
        self.state.is_draining.store(true, Ordering::Relaxed);
    }
}

/// Opens the listener on the caller's runtime.
///
/// Fails if the address cannot be bound.
pub(crate) async fn start(config: &Config, shared: &Arc<Shared>) -> Result<Admin, Problem> {
    let unusable = |e: std::io::Error| {
        Problem::new("admin.listen", format!("cannot listen on {}: {e}", config.listen))
    };
    let listener = TcpListener::bind(config.listen).await.map_err(unusable)?;
    let address = listener.local_addr().map_err(unusable)?;
    let state = Arc::new(State {
        shared: Arc::clone(shared),
        token: config.token.clone(),
        is_draining: AtomicBool::new(false),
    });
    tokio::spawn(accept(listener, Arc::clone(&state)));
    Ok(Admin { address, state })
}

async fn accept(listener: TcpListener, state: Arc<State>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        tokio::spawn(serve(stream, Arc::clone(&state)));
    }
}

async fn serve(stream: TcpStream, state: Arc<State>) {
    let service = service_fn(|request| {
        let response = answer(&state, &request);
        async { Ok::<_, Infallible>(response) }
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

fn answer(state: &State, request: &Request<Incoming>) -> Response<Body> {
    match (request.method(), request.uri().path()) {
        // probes have no token
        (&Method::GET | &Method::HEAD, "/healthz") => text(StatusCode::OK, "ok\n"),
        (&Method::GET | &Method::HEAD, "/readyz") => {
            match state.is_draining.load(Ordering::Relaxed) {
                false => text(StatusCode::OK, "ready\n"),
                true => text(StatusCode::SERVICE_UNAVAILABLE, "draining\n"),
            }
        }
        _ if !is_allowed(state, request) => {
            text(StatusCode::UNAUTHORIZED, "send the admin token as `authorization: Bearer`\n")
        }
        (&Method::GET, "/metrics") => metrics(state),
        _ => text(StatusCode::NOT_FOUND, "not found: use /metrics, /healthz or /readyz\n"),
    }
}

fn metrics(state: &State) -> Response<Body> {
    let Ok(encoded) = state.shared.metrics.encode() else {
        return text(StatusCode::INTERNAL_SERVER_ERROR, "cannot encode the metrics\n");
    };
    let mut response = Response::new(Body::from(Bytes::from(encoded)));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(METRICS_TYPE));
    response
}

/// Returns whether a request may read metrics; always, if the config has no token (loopback only).
fn is_allowed(state: &State, request: &Request<Incoming>) -> bool {
    if state.token.is_empty() {
        return true;
    }
    let sent = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let sent = sent.and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default();
    sent.as_bytes().ct_eq(state.token.expose().as_bytes()).into()
}

fn text(status: StatusCode, text: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::from(Bytes::from_static(text.as_bytes())));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}
