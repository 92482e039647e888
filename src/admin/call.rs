//! `Call`: one request to the admin API: path, query and body, read within bounds.
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, StatusCode};
use http_body::Body;
use serde::de::DeserializeOwned;
use url::form_urlencoded;

use crate::admin::failure::Failure;
use crate::admin::parse;
use crate::admin::tag::Tag;
use crate::error::BoxError;
use crate::net::receive::{self, Bounds};

/// The bounds of a body. The largest object of the API is a policy.
pub(super) const BOUNDS: Bounds = Bounds { size: 1024 * 1024, pause: Duration::from_secs(10) };
/// The bounds of a body with a request for a model.
pub(super) const LARGE: Bounds = Bounds { size: 32 * 1024 * 1024, ..BOUNDS };

/// A request to a route.
pub(crate) struct Call {
    /// The headers.
    pub(crate) headers: HeaderMap,
    /// The values of the parameters in the path, in their order.
    pub(crate) path: Vec<String>,
    /// The sender.
    pub(crate) caller: Caller,
    query: String,
    body: Bytes,
}

/// The sender of a request, as the audit table names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Caller {
    /// The kind of credential: `token`, `session`, or `open` if the listener needs none.
    pub(crate) credential: &'static str,
    /// The address of the connection.
    pub(crate) address: SocketAddr,
}

impl Call {
    /// Reads the body of a request.
    ///
    /// Fails with a 413 if it is too large, and with a 408 if it pauses for too long.
    pub(super) async fn read<B>(
        head: Parts,
        body: B,
        path: Vec<String>,
        caller: Caller,
        bounds: Bounds,
    ) -> Result<Self, Failure>
    where
        B: Body<Data = Bytes, Error: Into<BoxError>> + Unpin,
    {
        let read = receive::body(body, &head.headers, bounds).await;
        let body = read.map_err(|error| Failure::new(error.status(), error.message))?;
        let query = head.uri.query().unwrap_or_default().to_owned();
        Ok(Self { headers: head.headers, path, caller, query, body })
    }

    /// Reads the query into a struct, whose fields are the parameters.
    ///
    /// Fails with a 400 that names the parameter.
    pub(crate) fn query<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        parse::query(form_urlencoded::parse(self.query.as_bytes()))
    }

    /// Reads the JSON body. No body is an empty object.
    ///
    /// Fails with a 400 that names the field.
    pub(crate) fn body<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        match self.body.is_empty() {
            true => parse::json(b"{}"),
            false => parse::json(&self.body),
        }
    }

    /// Checks `If-Match` of a write against the current version of its resource.
    ///
    /// Fails with a 412 or 428.
    pub(crate) fn expects(&self, current: &Tag) -> Result<(), Failure> {
        current.check(&self.headers)
    }

    /// Returns the first parameter of the path.
    ///
    /// Fails with a 400 if it has a NUL, which is in no text of a database.
    pub(crate) fn id(&self) -> Result<&str, Failure> {
        let none = || Failure::new(StatusCode::NOT_FOUND, "the path has no parameter");
        let id = self.path.first().ok_or_else(none)?;
        match id.contains('\0') {
            true => Err(Failure::field("id", "a text without NUL", "one with NUL")),
            false => Ok(id),
        }
    }
}
