//! The routes of the public API.
use std::borrow::Cow;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};

use crate::error::{Error, ErrorKind, Result};
use crate::exchange::forward::Forwarded;
use crate::exchange::{self, Inbound, respond};
use crate::gateway::{Gateway, Live};
use crate::net::body::{Body, Received};
use crate::net::cors::PageOrigin;
use crate::net::headers::{self, REQUEST_ID};
use crate::plugin_host::published;
use crate::server::files;
use crate::telemetry::intake::Signal;
use crate::telemetry::story::request_id;
use crate::wire::Endpoint;

/// Handles one request; every error becomes a response.
pub async fn handle(live: Arc<Live>, request: Request<Received>) -> Response<Body> {
    let started = Instant::now();
    let gateway = live.load();
    let request_id = request_id();
    let origin = gateway.cors.origin_of(request.headers());
    if gateway.cors.is_preflight(request.method(), request.headers()) {
        return preflight(&origin, request.headers(), &request_id);
    }
    let answered = route(&gateway, request, request_id.clone(), started).await;
    let mut response = answered.unwrap_or_else(|error| respond::error(error, &request_id));
    origin.sign(response.headers_mut());
    response
}

/// Answers a browser that asks whether a page may send a request.
fn preflight(origin: &PageOrigin, request: &HeaderMap, request_id: &str) -> Response<Body> {
    if *origin == PageOrigin::Refused {
        let message = "`server.cors.origins` does not name the `origin` of this request";
        return respond::error(Error::new(ErrorKind::Permission, message), request_id);
    }
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    origin.answer_preflight(request, response.headers_mut());
    response
}

/// Returns the path of the API: some SDKs have a base URL that ends in /v1, and the AI SDK has one without it
/// (messages-api.md 4.2).
fn own_path(path: &str) -> Cow<'_, str> {
    match path.strip_prefix("/v1/v1/") {
        Some(rest) => Cow::Owned(format!("/v1/{rest}")),
        None if path == "/messages" || path.starts_with("/messages/") => {
            Cow::Owned(format!("/v1{path}"))
        }
        None => Cow::Borrowed(path),
    }
}

async fn route(
    gateway: &Arc<Gateway>,
    request: Request<Received>,
    request_id: String,
    started: Instant,
) -> Result<Response<Body>> {
    let (head, body) = request.into_parts();
    let inbound = Inbound { head, body, request_id, started };
    let path = own_path(inbound.head.uri.path());
    if let Some(signal) = telemetry(&path) {
        return match inbound.head.method {
            Method::POST => exchange::telemetry::take(gateway, inbound, signal).await.map(taken),
            _ => Ok(wrong_method(&inbound, "POST")),
        };
    }
    match (&inbound.head.method, &*path) {
        (&Method::POST, "/v1/messages") => Ok(exchange(gateway, inbound, Endpoint::Messages).await),
        (&Method::POST, "/v1/messages/count_tokens") => {
            Ok(exchange(gateway, inbound, Endpoint::CountTokens).await)
        }
        (&Method::GET | &Method::HEAD, "/v1/models") => {
            exchange::models::list(gateway, &inbound).await.map(json)
        }
        (&Method::GET | &Method::HEAD, path) if path.starts_with("/v1/models/") => {
            exchange::models::show(gateway, &inbound, &path["/v1/models/".len()..]).await.map(json)
        }
        (&Method::GET | &Method::HEAD, path) if path.starts_with(published::PATH) => {
            files::show(gateway, &path[published::PATH.len()..])
        }
        (&Method::GET | &Method::HEAD, "/") => Ok(hello()),
        (&Method::HEAD | &Method::GET, "/api/hello") => Ok(hello()),
        (_, "/v1/messages" | "/v1/messages/count_tokens") => Ok(wrong_method(&inbound, "POST")),
        (_, path) if path == "/v1/models" || path.starts_with("/v1/models/") => {
            Ok(wrong_method(&inbound, "GET"))
        }
        (_, path) if path.starts_with("/v1/") && !is_plain(path) => Err(no_route(path)),
        (_, path) if path.starts_with("/v1/") => {
            let (path, request_id) = (path.to_owned(), inbound.request_id.clone());
            let ping = gateway.bounds.ping_interval;
            Ok(match exchange::forward::forward(gateway, inbound, &path).await {
                Forwarded::Answer(answer) => answer,
                Forwarded::Error(answered) => respond::answered(answered, &request_id, ping),
            })
        }
        (_, path) => Err(no_route(path)),
    }
}

async fn exchange(gateway: &Arc<Gateway>, inbound: Inbound, endpoint: Endpoint) -> Response<Body> {
    let request_id = inbound.request_id.clone();
    let answered = exchange::messages(gateway, inbound, endpoint).await;
    respond::answered(answered, &request_id, gateway.bounds.ping_interval)
}

fn json(value: serde_json::Value) -> Response<Body> {
    let mut response = Response::new(Body::from(Bytes::from(value.to_string())));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    signed(response)
}

/// Returns the answer for telemetry.
fn taken(answer: Response<Bytes>) -> Response<Body> {
    signed(answer.map(Body::from))
}

/// Adds an id to an answer outside of an exchange.
fn signed(mut response: Response<Body>) -> Response<Body> {
    response.headers_mut().insert(REQUEST_ID, headers::value(&request_id()));
    response
}

/// Returns the kind of telemetry that a path takes.
fn telemetry(path: &str) -> Option<Signal> {
    let name = path.strip_prefix("/v1/")?;
    Signal::ALL.into_iter().find(|signal| signal.as_str() == name)
}

fn hello() -> Response<Body> {
    let mut response = Response::new(Body::from(Bytes::from_static(b"tidegate\n")));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    response
}

fn wrong_method(inbound: &Inbound, allowed: &'static str) -> Response<Body> {
    let (path, method) = (inbound.head.uri.path(), &inbound.head.method);
    let mut error = Error::invalid(format!("`{path}` allows {allowed}, not {method}"));
    error.status = Some(StatusCode::METHOD_NOT_ALLOWED);
    let mut response = respond::error(error, &inbound.request_id);
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
    response
}

/// Returns whether a path is safe to forward. A path in another spelling must not reach, through an
/// upstream, a route that the gateway itself handles.
fn is_plain(path: &str) -> bool {
    let is_own = |path: &str| {
        let path = path.trim_end_matches('/');
        matches!(path, "/v1/messages" | "/v1/messages/count_tokens")
    };
    let decoded = percent_encoding::percent_decode_str(path).decode_utf8_lossy();
    let mut segments = decoded[1..].split('/').rev().skip_while(|segment| segment.is_empty());
    !is_own(&decoded) && !segments.any(|segment| matches!(segment, "" | "." | ".."))
}

fn no_route(path: &str) -> Error {
    let shown: String = path.chars().take(128).collect();
    let message = format!("there is no route `{shown}`: the Messages API is at `/v1/messages`");
    Error::new(ErrorKind::NotFound, message)
}
