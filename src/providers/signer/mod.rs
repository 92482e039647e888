//! Signers: each one puts the credential of an upstream on a request.
pub(super) mod aws;
mod cached;
pub(super) mod entra;
pub(super) mod environment;
mod fetch;
pub(super) mod google;
mod oauth;
pub(super) mod sigv4;

use std::time::SystemTime;

use aws_credential_types::Credentials;
use http::header::AUTHORIZATION;
use http::{HeaderName, HeaderValue, request};

use crate::context::Context;
use crate::error::{Error, ErrorKind, Result, Secret};
use crate::providers::http::secret_value;
use crate::providers::signer::cached::Missing;
use crate::providers::signer::sigv4::{BodyHash, Scope};
use crate::wire::Pieces;

/// The way in which requests to one upstream are authenticated.
pub(super) enum Signer {
    /// Fixed headers: an API key, a bearer token, or none at all.
    Headers(Vec<(HeaderName, HeaderValue)>),
    /// The caller's own `Authorization`, or these headers for a caller that sends none.
    Caller(Vec<(HeaderName, HeaderValue)>),
    /// AWS Signature Version 4.
    SigV4 { scope: Scope, source: Box<aws::Source> },
    /// A token of Google.
    Google(google::Source),
    /// A token of Microsoft Entra ID.
    Entra(entra::Source),
}

/// A signer with a valid credential.
pub(super) enum Ready<'a> {
    Headers(&'a [(HeaderName, HeaderValue)]),
    Bearer(HeaderValue),
    SigV4 { scope: &'a Scope, keys: Credentials, body: BodyHash },
}

impl Signer {
    /// Makes a signer of one key that several headers may carry.
    ///
    /// Fails with a message for the key if no header may hold it.
    pub(super) fn key(key: &Secret, names: &[HeaderName]) -> Result<Self, String> {
        Ok(Self::Headers(carried(key, names)?))
    }

    /// Makes a signer of the caller's own credential; a key, unless it is empty, serves the others.
    ///
    /// Fails with a message for the key if no header may hold it.
    pub(super) fn caller(key: &Secret, names: &[HeaderName]) -> Result<Self, String> {
        let others = if key.is_empty() { Vec::new() } else { carried(key, names)? };
        Ok(Self::Caller(others))
    }

    /// Makes a signer of a bearer token.
    ///
    /// Fails with a message for the key if no header may hold it.
    pub(super) fn bearer(token: &Secret) -> Result<Self, String> {
        let bearer = Secret::new(format!("Bearer {}", token.expose()));
        Ok(Self::Headers(vec![(AUTHORIZATION, header(&bearer)?)]))
    }

    /// Obtains the credential for a request with this body.
    ///
    /// Fails if there is none: with a 401 if the caller should have sent it, otherwise with a 502.
    pub(super) async fn ready(&self, ctx: &Context, body: &Pieces) -> Result<Ready<'_>> {
        Ok(match self {
            Self::Headers(headers) => Ready::Headers(headers),
            Self::Caller(others) => match (&ctx.credential, others.as_slice()) {
                (Some(own), _) => Ready::Bearer(header(own).map_err(|_| no_credential())?),
                (None, []) => return Err(no_credential()),
                (None, others) => Ready::Headers(others),
            },
            Self::SigV4 { scope, source } => {
                let keys = source.get().await.map_err(missing)?;
                Ready::SigV4 { scope, keys, body: BodyHash::of(body) }
            }
            Self::Google(source) => Ready::Bearer(source.get().await.map_err(missing)?),
            Self::Entra(source) => Ready::Bearer(source.get().await.map_err(missing)?),
        })
    }

    /// Removes a kept credential that the upstream has rejected; the next request obtains another one.
    pub(super) fn forget(&self) {
        match self {
            Self::Headers(_) | Self::Caller(_) => {}
            Self::SigV4 { source, .. } => source.forget(),
            Self::Google(source) => source.forget(),
            Self::Entra(source) => source.forget(),
        }
    }

    /// Returns whether a signature covers the whole body, so that a body cannot be sent while it arrives.
    pub(super) fn needs_whole_body(&self) -> bool {
        matches!(self, Self::SigV4 { .. })
    }
}

impl Ready<'_> {
    /// Puts the credential on a head that has its path and all other headers.
    pub(super) fn sign(&self, head: &mut request::Parts) -> Result<()> {
        match self {
            Self::Headers(headers) => {
                for (name, value) in *headers {
                    head.headers.insert(name, value.clone());
                }
            }
            Self::Bearer(value) => {
                head.headers.insert(AUTHORIZATION, value.clone());
            }
            Self::SigV4 { scope, keys, body } => {
                sigv4::add(head, scope, keys, body, SystemTime::now()).map_err(|e| {
                    Error::new(ErrorKind::BadUpstream, "the request cannot be signed")
                        .with_source(e)
                })?;
            }
        }
        Ok(())
    }
}

/// Returns the headers that carry a key.
fn carried(key: &Secret, names: &[HeaderName]) -> Result<Vec<(HeaderName, HeaderValue)>, String> {
    let value = header(key)?;
    Ok(names.iter().map(|name| (name.clone(), value.clone())).collect())
}

fn header(secret: &Secret) -> Result<HeaderValue, String> {
    secret_value(secret).ok_or_else(|| "has characters that no header may have".to_owned())
}

fn missing(Missing(why): Missing) -> Error {
    let message = "the gateway has no credential for the upstream";
    Error::new(ErrorKind::BadUpstream, message).with_source(why.to_string())
}

fn no_credential() -> Error {
    let message = "this provider takes the caller's own credential: send your key as `x-tidegate-key` and your own `authorization` beside it";
    Error::new(ErrorKind::Authentication, message)
}
