//! Authentication of clients: keys from the config, sent in one of several headers.
pub(crate) mod keys;
mod when;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use http::{HeaderMap, HeaderName, header};
use subtle::ConstantTimeEq;
use wildmatch::WildMatch;

pub(crate) use when::When;
pub(crate) use when::WhenConfig;

use crate::auth::keys::Digest;
use crate::error::{Error, ErrorKind, Problem, Result, Secret};

/// The headers that may carry a client's credential; the gateway does not forward them by default.
pub(crate) const CREDENTIAL_HEADERS: [HeaderName; 3] = [
    HeaderName::from_static("x-tidegate-key"),
    HeaderName::from_static("x-api-key"),
    header::AUTHORIZATION,
];

/// The client, by its key in the config.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Caller {
    /// The key's `name`; empty if the gateway is open.
    pub key: String,
    /// The key's `tags`.
    pub tags: BTreeMap<String, String>,
}

/// The keys of one generation.
pub struct Auth {
    entries: Vec<Entry>,
    /// Positions in `entries` by a hash of the digest. The hash uses a secret of this process, so that the
    /// time of a lookup reveals nothing about the digests.
    slots: HashMap<u64, Vec<usize>>,
    hasher: RandomState,
}

struct Entry {
    digest: Digest,
    caller: Arc<Caller>,
    models: Option<Arc<[WildMatch]>>,
}

/// A client that may use the gateway; cheap to clone.
#[derive(Clone)]
pub struct Identity {
    /// The client's name and tags.
    pub caller: Arc<Caller>,
    /// The client's own `Authorization` value, if it authenticated with `x-tidegate-key`.
    pub credential: Option<Secret>,
    models: Option<Arc<[WildMatch]>>,
}

impl Auth {
    /// Builds from `keys:`; without any entry every client is accepted.
    pub fn build(configs: &[keys::Config]) -> Result<Self, Vec<Problem>> {
        let indexed: Vec<_> = configs.iter().enumerate().collect();
        let problems = keys::problems(&indexed);
        if !problems.is_empty() {
            return Err(problems);
        }
        let entries = configs.iter().map(Entry::build).collect::<Result<Vec<_>, _>>();
        let entries = entries.map_err(|problem| vec![problem])?;
        let hasher = RandomState::new();
        let mut slots: HashMap<u64, Vec<usize>> = HashMap::new();
        for (n, entry) in entries.iter().enumerate() {
            slots.entry(hasher.hash_one(entry.digest)).or_default().push(n);
        }
        Ok(Self { entries, slots, hasher })
    }

    /// Returns the sender of these headers. Fails with a 401 that never contains the sent value.
    pub fn authenticate(&self, headers: &HeaderMap) -> Result<Identity> {
        let found = credential(headers);
        let is_gateway_key =
            found.as_ref().is_some_and(|(header, _)| header == CREDENTIAL_HEADERS[0]);
        let own = headers.get(header::AUTHORIZATION).filter(|_| is_gateway_key);
        let own = own.and_then(|value| value.to_str().ok());
        // a gateway key in both headers is no credential of the client's: it is sent to no upstream
        let own = own.filter(|own| {
            let token = bearer(own).unwrap_or(own);
            self.find(keys::digest(token)).is_none()
        });
        let own = own.map(Secret::new);
        if self.entries.is_empty() {
            return Ok(Identity { caller: Arc::default(), credential: own, models: None });
        }
        let Some((header, key)) = found else {
            return Err(refusal(
                "no key was sent: send a key of this gateway as `x-api-key`, as `authorization: Bearer`, or as `x-tidegate-key`".to_owned(),
            ));
        };
        let entry = self.find(keys::digest(key)).ok_or_else(|| {
            refusal(format!(
                "the key in `{header}` is not known: send a key that this gateway's config lists"
            ))
        })?;
        Ok(Identity {
            caller: Arc::clone(&entry.caller),
            credential: own,
            models: entry.models.clone(),
        })
    }

    fn find(&self, digest: Digest) -> Option<&Entry> {
        let slot = self.slots.get(&self.hasher.hash_one(digest))?;
        slot.iter().map(|n| &self.entries[*n]).find(|entry| entry.digest.ct_eq(&digest).into())
    }
}

impl Entry {
    fn build(config: &keys::Config) -> Result<Self, Problem> {
        let models = config.models.as_ref();
        Ok(Self {
            digest: config.digest()?,
            caller: Arc::new(Caller { key: config.name.clone(), tags: config.tags.clone() }),
            models: models.map(|globs| globs.iter().map(|glob| WildMatch::new(glob)).collect()),
        })
    }
}

impl Identity {
    /// Returns whether the key may name every model. Only such a key may use routes on which the gateway
    /// does not check the model.
    pub fn may_use_all(&self) -> bool {
        self.models.is_none()
    }

    /// Returns whether the key may name this model (alias).
    pub fn may_use(&self, model: &str) -> bool {
        self.models.as_ref().is_none_or(|globs| globs.iter().any(|glob| glob.matches(model)))
    }

    /// Fails with a 403 that names key and model if the key may not name this model.
    pub fn check_model(&self, model: &str) -> Result<()> {
        if self.may_use(model) {
            return Ok(());
        }
        let message = format!(
            "the key `{}` may not use the model `{model}`: `GET /v1/models` lists those that it may use",
            self.caller.key
        );
        Err(Error::new(ErrorKind::Permission, message))
    }
}

impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Auth").field("keys", &self.entries.len()).finish()
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("caller", &self.caller)
            .field("credential", &self.credential)
            .finish_non_exhaustive()
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

fn refusal(message: String) -> Error {
    Error::new(ErrorKind::Authentication, message)
}

#[cfg(test)]
mod tests;
