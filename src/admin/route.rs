//! `Route`: one method of one path of the admin API, with its part of the OpenAPI document.
use std::pin::Pin;
use std::sync::Arc;

use http::Method;
use schemars::{JsonSchema, Schema, SchemaGenerator};

use crate::admin::answer::Answer;
use crate::admin::call::Call;
use crate::admin::failure::Failure;
use crate::admin::state::State;

/// The work of a route.
pub(crate) type Work = Pin<Box<dyn Future<Output = Result<Answer, Failure>> + Send>>;

/// Begins the work of a route.
pub(crate) type Run = fn(Arc<State>, Call) -> Work;

/// Writes the schema of a type.
pub(super) type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

/// A route. Its description stands beside it, and the document is made from all of them.
pub(crate) struct Route {
    pub(super) method: Method,
    /// The path; a segment in braces is a parameter.
    pub(super) path: &'static str,
    pub(super) summary: &'static str,
    pub(super) query: Option<SchemaOf>,
    pub(super) body: Option<SchemaOf>,
    pub(super) answers: Vec<Described>,
    pub(super) effect: Effect,
    pub(super) run: Run,
}

/// The method and the path of a route, as the audit table names it.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) method: Method,
    pub(super) path: &'static str,
}

/// The effect of a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    /// It reads.
    Read,
    /// It reads, and tries something that its body describes. Its body may be large.
    Try,
    /// It sends a request to an upstream. It is recorded, and needs no `If-Match`.
    Send,
    /// It writes: it needs `If-Match`, and is recorded.
    Write,
}

/// A success of a route in the document.
pub(super) struct Described {
    pub(super) status: u16,
    pub(super) media_type: &'static str,
    /// `None` for an answer that is no JSON, or has no body.
    pub(super) schema: Option<SchemaOf>,
}

impl Route {
    /// Starts a route. Methods other than GET are writes: they need `If-Match`, and are recorded.
    pub(crate) fn new(method: Method, path: &'static str, summary: &'static str, run: Run) -> Self {
        let effect = if method == Method::GET { Effect::Read } else { Effect::Write };
        let answers = Vec::new();
        Self { method, path, summary, query: None, body: None, answers, effect, run }
    }

    /// Starts a route that reads.
    pub(crate) fn get(path: &'static str, summary: &'static str, run: Run) -> Self {
        Self::new(Method::GET, path, summary, run)
    }

    /// The route writes nothing: it needs no `If-Match`, and is not recorded.
    pub(crate) fn tries(self) -> Self {
        Self { effect: Effect::Try, ..self }
    }

    /// The route sends a request: it needs no `If-Match`, and is recorded.
    pub(crate) fn sends(self) -> Self {
        Self { effect: Effect::Send, ..self }
    }

    /// Adds the parameters of the query: the fields of a struct that [`Call::query`] reads.
    pub(crate) fn query<T: JsonSchema>(self) -> Self {
        Self { query: Some(<T as JsonSchema>::json_schema), ..self }
    }

    /// Adds the JSON body that [`Call::body`] reads.
    pub(crate) fn body<T: JsonSchema>(self) -> Self {
        Self { body: Some(<T as JsonSchema>::json_schema), ..self }
    }

    /// Adds a success with a JSON body.
    pub(crate) fn answers<T: JsonSchema>(mut self, status: u16) -> Self {
        let schema: Option<SchemaOf> = Some(<T as JsonSchema>::json_schema);
        self.answers.push(Described { status, media_type: "application/json", schema });
        self
    }

    /// Adds a success of another media type; the empty one means no body.
    pub(crate) fn answers_with(mut self, status: u16, media_type: &'static str) -> Self {
        self.answers.push(Described { status, media_type, schema: None });
        self
    }

    /// Returns the route's name.
    pub(super) fn entry(&self) -> Entry {
        Entry { method: self.method.clone(), path: self.path }
    }

    /// Returns whether the route changes something, so that it needs a version.
    pub(super) fn is_write(&self) -> bool {
        self.effect == Effect::Write
    }

    /// Returns the values of the path's parameters if the path fits.
    pub(super) fn fit(&self, path: &str) -> Option<Vec<String>> {
        let mut own = self.path.split('/');
        let mut sent = path.split('/');
        let mut values = Vec::new();
        loop {
            match (own.next(), sent.next()) {
                (None, None) => return Some(values),
                (Some(own), Some(sent)) if own.starts_with('{') && !sent.is_empty() => {
                    let value = percent_encoding::percent_decode_str(sent).decode_utf8().ok()?;
                    values.push(value.into_owned());
                }
                (Some(own), Some(sent)) if own == sent => {}
                _ => return None,
            }
        }
    }
}
