//! Authentication of clients: keys from the config, sent in one of several headers.
pub(crate) mod allowance;
mod condition;
pub(crate) mod entries;
pub(crate) mod expiry;
mod holder;
mod identity;
pub(crate) mod jwt;
pub(crate) mod keys;
pub(crate) mod life;
pub(crate) mod owners;
mod rate;
mod rights;
mod roster;
pub(crate) mod settings;
pub(crate) mod stored;
mod when;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderName, header};

pub(crate) use condition::WhenConfig;
pub use identity::Caller;
pub(crate) use identity::Identity;
pub(crate) use when::When;

use crate::auth::holder::Holder;
use crate::auth::jwt::config::JwtConfig;
use crate::auth::jwt::{Means, Refused, Verifier};
use crate::auth::owners::Owned;
use crate::auth::roster::Roster;
use crate::auth::stored::{Found, StoredKeys};
use crate::error::{Error, ErrorKind, Problem, Result, Retry, Secret};

/// The headers that may carry a client's credential; the gateway does not forward them by default.
pub(crate) const CREDENTIAL_HEADERS: [HeaderName; 3] = [
    HeaderName::from_static("x-tidegate-key"),
    HeaderName::from_static("x-api-key"),
    header::AUTHORIZATION,
];

/// The keys of one generation.
#[derive(Default)]
pub struct Auth {
    roster: Roster,
    stored: Option<Arc<StoredKeys>>,
    tokens: Option<Verifier>,
    /// Whether a client needs a key.
    is_closed: bool,
}

/// The parts of the config that [`Auth`] is built from.
#[derive(Default)]
pub(crate) struct Sources<'a> {
    /// `keys:`
    pub(crate) keys: &'a [keys::Config],
    /// The keys of the key store, if it runs.
    pub(crate) stored: Option<Arc<StoredKeys>>,
    /// Whether the config has a key store: clients need a key then, even if the store does not run yet.
    pub(crate) has_store: bool,
    /// `jwt:`
    pub(crate) jwt: &'a [JwtConfig],
    /// The means by which issuers are reached; without them no token counts.
    pub(crate) means: Option<Means<'a>>,
}

/// The wait for a key store that is away.
const AWAY: Duration = Duration::from_secs(5);

impl Auth {
    /// Builds from the config; without any source of keys every client is accepted.
    pub(crate) fn build(sources: Sources<'_>) -> Result<Self, Vec<Problem>> {
        let Sources { keys: configs, stored, has_store, jwt, means } = sources;
        let indexed: Vec<_> = configs.iter().enumerate().collect();
        let problems = keys::problems(&indexed);
        if !problems.is_empty() {
            return Err(problems);
        }
        let entries = configs.iter().map(|config| Ok((config.digest()?, config.holder())));
        let entries = entries.collect::<Result<Vec<_>, _>>();
        let roster = Roster::new(entries.map_err(|problem| vec![problem])?);
        let tokens = match means {
            Some(means) => Verifier::build(jwt, &means)?,
            None => None,
        };
        Ok(Self {
            is_closed: has_store || roster.len() > 0 || !jwt.is_empty(),
            roster,
            stored: stored.filter(|_| has_store),
            tokens,
        })
    }

    /// Returns whether a key of the config has this name.
    pub(crate) fn has_name(&self, name: &str) -> bool {
        self.roster.has_name(name)
    }

    /// Returns the clients that have limits and budgets of their own: those of the config, of the key store and of issuers.
    pub(crate) fn owned(&self) -> Vec<Owned> {
        let mut found = self.roster.owned();
        found.extend(self.stored.iter().flat_map(|stored| stored.owned()));
        found.extend(self.tokens.iter().flat_map(Verifier::owned));
        found
    }

    /// Returns whether every request needs a key or a token.
    pub(crate) fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// Returns the sender of these headers. Fails with a 401 that never contains the sent value.
    pub(crate) async fn authenticate(&self, headers: &HeaderMap) -> Result<Identity> {
        let found = credential(headers);
        let is_gateway_key =
            found.as_ref().is_some_and(|(header, _)| header == CREDENTIAL_HEADERS[0]);
        let own = headers.get(header::AUTHORIZATION).filter(|_| is_gateway_key);
        let own = own.and_then(|value| value.to_str().ok());
        // a gateway key in both headers is no credential of the client's: it is sent to no upstream
        let own = own.filter(|own| !self.is_for_gateway(bearer(own).unwrap_or(own)));
        let own = own.map(Secret::new);
        if !self.is_closed {
            return Ok(Identity { credential: own, ..Identity::default() });
        }
        let Some((header, key)) = found else {
            return Err(refusal(
                "no key was sent: send a key of this gateway as `x-api-key`, as `authorization: Bearer`, or as `x-tidegate-key`".to_owned(),
            ));
        };
        let holder = self.holder(&header, key).await?;
        Ok(Identity { credential: own, ..holder.identity()? })
    }

    /// Returns the client that holds the key with this name, for a request of an operator; `None` if there is no such
    /// key. The empty name is that of every client if clients need no key.
    ///
    /// Fails with a 401 if the key is disabled, or has expired.
    pub(crate) fn named(&self, name: &str) -> Result<Option<Identity>> {
        if name.is_empty() {
            return Ok((!self.is_closed).then(Identity::default));
        }
        let stored = || self.stored.as_ref().and_then(|stored| stored.named(name));
        let holder = self.roster.named(name).cloned().or_else(stored);
        holder.map(|holder| holder.identity()).transpose()
    }

    /// Returns the holder of a key of the config, of a token, or of a key of the store. A store that is away concerns its
    /// own keys only.
    async fn holder(&self, header: &HeaderName, key: &str) -> Result<Holder> {
        let digest = keys::digest(key);
        if let Some(holder) = self.roster.find(digest) {
            return Ok(holder.clone());
        }
        if let Some(tokens) = self.tokens.as_ref().filter(|_| jwt::is_token(key)) {
            let checked = tokens.holder(key).await;
            return checked.map_err(|refused| refused_token(header, refused));
        }
        match self.stored.as_ref().map(|stored| stored.find(digest)) {
            Some(Found::Known(holder)) => Ok(holder),
            Some(Found::Stale) => Err(away(
                "the database of the gateway's keys does not answer, so this key cannot be checked: try again later",
            )),
            None | Some(Found::Unknown) => Err(refusal(format!(
                "the key in `{header}` is not known: send a key of this gateway that was not revoked"
            ))),
        }
    }

    /// Returns whether a credential is meant for this gateway, even if it does not count any more.
    fn is_for_gateway(&self, credential: &str) -> bool {
        let digest = keys::digest(credential);
        let is_stored = || self.stored.as_ref().is_some_and(|stored| stored.has(digest));
        let is_token = || self.tokens.as_ref().is_some_and(|tokens| tokens.is_ours(credential));
        self.roster.find(digest).is_some() || is_stored() || is_token()
    }
}

impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Auth").field("keys", &self.roster.len()).finish()
    }
}

/// Returns the credential with its header. An empty header counts as absent; a value that is no text
/// matches no key.
fn credential(headers: &HeaderMap) -> Option<(HeaderName, &str)> {
    CREDENTIAL_HEADERS.into_iter().find_map(|name| {
        let value = headers.get(&name)?;
        let text = value.to_str().unwrap_or("\u{fffd}").trim();
        let key = if name == CREDENTIAL_HEADERS[2] { bearer(text)? } else { text };
        (!key.is_empty()).then_some((name, key))
    })
}

fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Returns the error for a token that does not count. Neither client nor log gets anything of the token but its key's id.
fn refused_token(header: &HeaderName, refused: Refused) -> Error {
    let log = refused.log();
    let error = match refused {
        Refused::Wrong { message, .. } => {
            refusal(format!("the token in `{header}` does not count: {message}"))
        }
        Refused::Away { .. } => away(
            "the keys of the token's issuer cannot be fetched, so this token cannot be checked: try again later",
        ),
    };
    error.with_log(log)
}

/// Returns the error for a credential that cannot be checked now.
fn away(message: &str) -> Error {
    Error { retry: Retry::After(AWAY), ..Error::new(ErrorKind::Overloaded, message) }
}

fn refusal(message: String) -> Error {
    Error::new(ErrorKind::Authentication, message)
}

#[cfg(test)]
mod tests;
