//! `Router`: finds the route of a request, and runs it.
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::header::{ACCEPT, IF_MATCH, IF_NONE_MATCH};
use http::request::Parts;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body::Body as HttpBody;

use crate::admin::answer::{Answer, failed};
use crate::admin::call::{self, Call, Caller};
use crate::admin::dashboard;
use crate::admin::document;
use crate::admin::entrance::Entrance;
use crate::admin::failure::Failure;
use crate::admin::parts;
use crate::admin::route::{Effect, Entry, Route};
use crate::admin::sign_in::{self, LOGOUT};
use crate::admin::state::State;
use crate::admin::tag::missing;
use crate::admin::write::Write;
use crate::error::BoxError;
use crate::models::health::Condition;
use crate::net::body::Body;
use crate::telemetry::exposition::Format;
use crate::wire::Endpoint;

/// The routes of the admin listener.
pub(super) struct Router {
    state: Arc<State>,
    entrance: Entrance,
    routes: Vec<Route>,
    document: Bytes,
}

impl Router {
    pub(super) fn new(state: Arc<State>, entrance: Entrance) -> Self {
        let routes = parts::routes();
        let document = Bytes::from(document::document(&routes).to_string());
        Self { state, entrance, routes, document }
    }

    /// Answers a request.
    pub(super) async fn answer<B>(&self, request: Request<B>, peer: SocketAddr) -> Response<Body>
    where
        B: HttpBody<Data = Bytes, Error: Into<BoxError>> + Unpin,
    {
        let (head, body) = request.into_parts();
        match self.run(head, body, peer).await {
            Ok(answer) => answer.response,
            Err(failure) => failed(&failure),
        }
    }

    async fn run<B>(&self, head: Parts, body: B, peer: SocketAddr) -> Result<Answer, Failure>
    where
        B: HttpBody<Data = Bytes, Error: Into<BoxError>> + Unpin,
    {
        self.entrance.arrive(&head)?;
        let method = if head.method == Method::HEAD { Method::GET } else { head.method.clone() };
        let path = head.uri.path().to_owned();
        if let Some(answered) = self.open(&method, &head) {
            return answered;
        }
        if path == dashboard::LOGIN {
            return self.sign_in(head, body, peer).await;
        }
        if path == LOGOUT {
            return only(&Method::POST, &method)
                .map(|()| sign_in::end(&self.entrance, &head, peer));
        }
        let caller = match self.entrance.admit(&head, peer) {
            Err(_) if path == dashboard::PAGE && dashboard::wants_page(&head.headers) => {
                return Ok(dashboard::redirect(dashboard::LOGIN));
            }
            admitted => admitted?,
        };
        if let Some(answered) = self.fixed(&method, &head) {
            return answered;
        }
        let found = self.find(&method, &path)?;
        let route = found.route;
        match route.effect {
            Effect::Read | Effect::Try => {
                let call = found.call(head, body, caller).await?;
                (route.run)(Arc::clone(&self.state), call).await
            }
            Effect::Send | Effect::Write => {
                let object = found.values.join("/");
                let write = Write::new(&self.state, route.entry(), caller.clone(), object);
                write.run(route.run, found.call(head, body, caller).await).await
            }
        }
    }

    /// Answers the paths that need no credential.
    fn open(&self, method: &Method, head: &Parts) -> Option<Result<Answer, Failure>> {
        let path = head.uri.path();
        if path == dashboard::LOGIN && *method == Method::GET {
            return Some(match self.entrance.is_open() {
                true => Ok(dashboard::redirect(dashboard::PAGE)),
                false => dashboard::login(&head.headers),
            });
        }
        let asset = dashboard::asset(path, &head.headers)?;
        Some(only(&Method::GET, method).and(asset))
    }

    /// Answers the paths that are no routes of the API.
    fn fixed(&self, method: &Method, head: &Parts) -> Option<Result<Answer, Failure>> {
        let answered = match head.uri.path() {
            "/metrics" => self.metrics(&head.headers),
            document::PATH => Ok(Answer::of("application/json", self.document.clone())),
            dashboard::PAGE => dashboard::page(&head.headers),
            _ => return None,
        };
        Some(only(&Method::GET, method).and(answered))
    }

    /// Begins a session of a browser. It is a row of the audit table, as a write is.
    async fn sign_in<B>(&self, head: Parts, body: B, peer: SocketAddr) -> Result<Answer, Failure>
    where
        B: HttpBody<Data = Bytes, Error: Into<BoxError>> + Unpin,
    {
        only(&Method::POST, &head.method)?;
        sign_in::is_json(&head.headers)?;
        let caller = Caller { credential: "token", address: peer };
        let (path, bounds) = (Vec::new(), call::BOUNDS);
        let call = Call::read(head, body, path, caller.clone(), bounds).await?;
        let done = sign_in::begin(&self.entrance, &call);
        if done.is_err() || self.entrance.is_open() {
            return done;
        }
        let entry = Entry { method: Method::POST, path: dashboard::LOGIN };
        Write::new(&self.state, entry, caller, String::new()).record(done).await
    }

    /// Finds a route. A fixed segment of a path wins over a parameter.
    fn find(&self, method: &Method, path: &str) -> Result<Found<'_>, Failure> {
        let fits = self.routes.iter();
        let fits = fits.filter_map(|route| Some(Found { values: route.fit(path)?, route }));
        let fits: Vec<Found<'_>> = fits.collect();
        let Some(least) = fits.iter().map(|found| found.values.len()).min() else {
            let shown: String = path.chars().take(128).collect();
            let message = format!(
                "there is no route `{shown}`: `{}` lists those of the API; the others are /metrics, /healthz and /readyz",
                document::PATH
            );
            return Err(Failure::not_found(message));
        };
        let fits = fits.into_iter().filter(|found| found.values.len() == least);
        let is_own = |found: &Found<'_>| found.route.method == *method;
        let (own, others): (Vec<_>, Vec<_>) = fits.partition(is_own);
        own.into_iter().next().ok_or_else(|| {
            let allowed: Vec<&str> = others.iter().map(|it| it.route.method.as_str()).collect();
            let allowed = allowed.join(", ");
            let failure = Failure::new(StatusCode::METHOD_NOT_ALLOWED, "");
            let failure = failure.about("method", allowed.clone(), method.as_str());
            Failure { allowed: Some(allowed), ..failure }
        })
    }

    /// Returns the metrics in a format that the scraper accepts.
    fn metrics(&self, headers: &HeaderMap) -> Result<Answer, Failure> {
        let wrong = |_| {
            Failure::new(StatusCode::INTERNAL_SERVER_ERROR, "the metrics cannot be written as text")
        };
        let accept = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
        let format = Format::accepted(accept);
        let (gateway, metrics) = (self.state.live.load(), &self.state.shared.metrics);
        let (aliases, now) = (gateway.models.all(), Instant::now());
        let targets =
            aliases.iter().flat_map(|alias| alias.targets.iter().map(move |it| (alias, it)));
        let shown = targets.map(|(alias, target)| {
            let health = target.health.at(Endpoint::Messages);
            (target.labels(alias), health.condition(now) != Condition::Healthy)
        });
        let text = metrics.circuits.show(shown, || metrics.encode_as(format)).map_err(wrong)?;
        Ok(Answer::of(format.content_type(), Bytes::from(text)))
    }
}

/// Checks that a call was meant: a write names the version that it expects, `If-None-Match` for a new object; the body
/// of a trial is JSON, which no form of another site can send.
fn allowed(route: &Route, headers: &HeaderMap) -> Result<(), Failure> {
    match route.effect {
        Effect::Read => Ok(()),
        Effect::Try | Effect::Send => sign_in::is_json(headers),
        Effect::Write if headers.contains_key(IF_MATCH) => Ok(()),
        Effect::Write if route.method == Method::PUT && headers.contains_key(IF_NONE_MATCH) => {
            Ok(())
        }
        Effect::Write => Err(missing()),
    }
}

/// Checks that the method is the only one of a path.
fn only(own: &Method, sent: &Method) -> Result<(), Failure> {
    if own == sent {
        return Ok(());
    }
    let failure = Failure::new(StatusCode::METHOD_NOT_ALLOWED, "");
    let failure = failure.about("method", own.as_str(), sent.as_str());
    Err(Failure { allowed: Some(own.to_string()), ..failure })
}

/// A route that fits a request, and the values of the path's parameters.
struct Found<'a> {
    route: &'a Route,
    values: Vec<String>,
}

impl Found<'_> {
    /// Reads the call, if its head is that of a call which the route takes.
    async fn call<B>(self, head: Parts, body: B, caller: Caller) -> Result<Call, Failure>
    where
        B: HttpBody<Data = Bytes, Error: Into<BoxError>> + Unpin,
    {
        allowed(self.route, &head.headers)?;
        let bounds = match self.route.effect {
            Effect::Try | Effect::Send => call::LARGE,
            Effect::Read | Effect::Write => call::BOUNDS,
        };
        Call::read(head, body, self.values, caller, bounds).await
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn every_route_is_in_the_document_with_its_answers() {
        let routes = parts::routes();
        let document = document::document(&routes);
        let paths = document["paths"].as_object().unwrap();
        for route in &routes {
            let method = route.method.as_str().to_lowercase();
            let operation = &document["paths"][route.path][&method];
            let place = format!("{method} {}", route.path);
            assert!(route.path.starts_with("/api/"), "{place}");
            assert!(operation["summary"].as_str().is_some_and(|it| it.ends_with('.')), "{place}");
            let responses = operation["responses"].as_object().unwrap();
            assert!(responses.keys().any(|status| status.starts_with('2')), "{place}");
            assert!(responses.contains_key("default"), "{place}");
        }
        let operations: usize = paths.values().map(|it| it.as_object().unwrap().len()).sum();
        // the document itself, `/login` and `/logout` are the three more
        assert_eq!(operations, routes.len() + 3, "two routes have the same method and path");
        let ids = paths.values().flat_map(|path| path.as_object().unwrap().values());
        let mut ids: Vec<&str> = ids.filter_map(|it| it["operationId"].as_str()).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), operations);
    }

    #[test]
    fn every_field_of_the_document_is_described() {
        fn missing(schema: &Value, path: &str, found: &mut Vec<String>) {
            for (name, field) in schema["properties"].as_object().into_iter().flatten() {
                let path = format!("{path}.{name}");
                let is_bare = field["description"].as_str().is_none_or(str::is_empty);
                found.extend(is_bare.then(|| path.clone()));
                missing(field, &path, found);
            }
            if schema["items"].is_object() {
                missing(&schema["items"], &format!("{path}[]"), found);
            }
        }
        let document = document::document(&parts::routes());
        let operations =
            document["paths"].as_object().unwrap().iter().flat_map(|(path, methods)| {
                let methods = methods.as_object().unwrap().iter();
                methods.map(move |(method, operation)| (format!("{method} {path}"), operation))
            });
        let mut found = Vec::new();
        for (place, operation) in operations {
            let answers = operation["responses"].as_object().unwrap().values();
            let schemas = answers.map(|it| &it["content"]["application/json"]["schema"]);
            schemas.for_each(|schema| missing(schema, &place, &mut found));
            let parameters = operation["parameters"].as_array().into_iter().flatten();
            let bare = parameters.filter(|it| it["in"] == "query" && it["description"] == "");
            found.extend(bare.map(|it| format!("{place}: {}", it["name"])));
        }
        assert!(found.is_empty(), "without a description:\n{}", found.join("\n"));
    }
}
