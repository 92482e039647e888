//! Callers with a signed token (JWT) of an OpenID Connect issuer instead of a key.
mod cache;
mod claims;
pub(crate) mod config;
mod issuer;
mod issuers;
mod keyset;
mod ring;
mod verifier;

pub(crate) use issuers::{Issuers, Means};
pub(super) use verifier::{Refused, Verifier, is_token};
