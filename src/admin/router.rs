//! `Router`: finds the route of a request, and runs it.
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::header::{ACCEPT, IF_MATCH};
use http::request::Parts;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body::Body as HttpBody;

use crate::admin::answer::{Answer, failed};
use crate::admin::call::Call;
use crate::admin::document;
use crate::admin::entrance::Entrance;
use crate::admin::failure::Failure;
use crate::admin::parts;
use crate::admin::route::Route;
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
        let caller = self.entrance.admit(&head, peer)?;
        let method = if head.method == Method::HEAD { Method::GET } else { head.method.clone() };
        let path = head.uri.path().to_owned();
        match (&method, path.as_str()) {
            (&Method::GET, "/metrics") => return self.metrics(&head.headers),
            (&Method::GET, document::PATH) => {
                return Ok(Answer::of("application/json", self.document.clone()));
            }
            _ => {}
        }
        let found = self.find(&method, &path)?;
        let route = found.route;
        if !route.is_write() {
            let call = Call::read(head, body, found.values, caller).await?;
            return (route.run)(Arc::clone(&self.state), call).await;
        }
        let write = Write::new(&self.state, route, caller.clone(), found.values.join("/"));
        let call = match head.headers.contains_key(IF_MATCH) {
            true => Call::read(head, body, found.values, caller).await,
            false => Err(missing()),
        };
        write.run(call).await
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

/// A route that fits a request, and the values of the path's parameters.
struct Found<'a> {
    route: &'a Route,
    values: Vec<String>,
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
        // the document itself is the one more
        assert_eq!(operations, routes.len() + 1, "two routes have the same method and path");
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
