//! `Issuer`: the keys of one issuer, fetched when they are needed, and kept while the issuer is away.
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use tokio::sync::Mutex;
use url::Url;

use crate::auth::jwt::config::is_loopback;
use crate::auth::jwt::keyset::{Choice, KeySet};
use crate::net::egress::{self, Cidr, Limits, Policy, Request};
use crate::net::tls::Trust;

/// The path of the discovery document, below the issuer.
const DISCOVERY: &str = "/.well-known/openid-configuration";
/// The longest time of a fetch, and its most bytes.
const PATIENCE: Duration = Duration::from_secs(5);
const MOST: usize = 64 * 1024;
/// The shortest time between two fetches because of keys that the set does not have.
const UNKNOWN: Duration = Duration::from_secs(30);
/// The shortest time between two fetches as long as there is no set at all.
const FIRST: Duration = Duration::from_secs(5);
/// The age at which a set is fetched again, and the wait after such a fetch.
const OLD: Duration = Duration::from_secs(10 * 60);

/// The place of an issuer and its keys: two entries of the config with the same place share the keys.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Place {
    pub(super) issuer: String,
    pub(super) jwks_uri: Option<String>,
    pub(super) allow_private: Vec<String>,
    /// The authorities of its certificates.
    pub(super) trust: Trust,
}

/// One issuer.
pub(super) struct Issuer {
    place: Place,
    blocks: Vec<Cidr>,
    own: Vec<SocketAddr>,
    client: Arc<egress::Client>,
    keys: ArcSwapOption<Held>,
    times: parking_lot::Mutex<Times>,
    /// Its lock is held during a fetch, so that there is never more than one.
    text: Mutex<Bytes>,
}

/// The present keys.
struct Held {
    set: KeySet,
    /// Counts the different sets.
    version: u64,
}

/// The key of a token.
pub(super) struct Found {
    pub(super) key: DecodingKey,
    /// The version of the set that has it.
    pub(super) version: u64,
}

/// The times of the last fetches.
#[derive(Default)]
struct Times {
    any: Option<Instant>,
    /// The last one for a key that the set did not have.
    unknown: Option<Instant>,
    has_failed: bool,
}

/// The reason for a fetch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cause {
    /// There is no set yet.
    First,
    /// A token names a key that the set does not have.
    Unknown,
    /// The set is old.
    Age,
}

/// The reason for the absence of a token's key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoKey {
    /// The issuer's keys could not be fetched.
    Away,
    /// The issuer has no such key.
    Unknown,
    /// The key is for other algorithms.
    OtherAlgorithm,
    /// The token names no key, and several of the issuer's keys fit.
    Several,
}

#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: String,
}

impl Issuer {
    pub(super) fn new(
        place: Place,
        blocks: Vec<Cidr>,
        own: Vec<SocketAddr>,
        client: Arc<egress::Client>,
    ) -> Self {
        Self {
            place,
            blocks,
            own,
            client,
            keys: ArcSwapOption::empty(),
            times: parking_lot::Mutex::default(),
            text: Mutex::default(),
        }
    }

    /// Returns a number that changes with the keys.
    pub(super) fn version(&self) -> u64 {
        self.keys.load().as_ref().map_or(0, |held| held.version)
    }

    /// Fetches the keys again beside the requests if they are old.
    pub(super) fn renew(self: &Arc<Self>) {
        if self.keys.load().is_some() && self.is_due(Cause::Age) {
            let this = Arc::clone(self);
            tokio::spawn(async move { this.fetch_if_due(Cause::Age).await });
        }
    }

    /// Returns the key that a token means. A key that the set does not have causes at most one fetch in 30 s, whose end all
    /// requests await together.
    pub(super) async fn key(
        self: &Arc<Self>,
        id: Option<&str>,
        algorithm: Algorithm,
    ) -> Result<Found, NoKey> {
        self.renew();
        let cause = match self.chosen(id, algorithm) {
            Some(Err(NoKey::Unknown)) => Cause::Unknown,
            Some(chosen) => return chosen,
            None => Cause::First,
        };
        self.fetched(cause).await;
        match self.chosen(id, algorithm) {
            None => Err(NoKey::Away),
            Some(Err(NoKey::Unknown)) if self.times.lock().has_failed => Err(NoKey::Away),
            Some(chosen) => chosen,
        }
    }

    /// Fetches the keys again because a signature by the only key is wrong, and returns the key of now: a token that names no
    /// key may be signed by a new one.
    pub(super) async fn newer_key(self: &Arc<Self>, algorithm: Algorithm) -> Result<Found, NoKey> {
        self.fetched(Cause::Unknown).await;
        self.chosen(None, algorithm).unwrap_or(Err(NoKey::Away))
    }

    /// Chooses a key of the present set; `None` if there is no set.
    fn chosen(&self, id: Option<&str>, algorithm: Algorithm) -> Option<Result<Found, NoKey>> {
        let keys = self.keys.load();
        let held = keys.as_ref()?;
        Some(match held.set.choose(id, algorithm) {
            Choice::Key(key) => Ok(Found { key: key.clone(), version: held.version }),
            Choice::Missing => Err(NoKey::Unknown),
            Choice::OtherAlgorithm => Err(NoKey::OtherAlgorithm),
            Choice::Several => Err(NoKey::Several),
        })
    }

    /// Waits for a fetch if one is due, or under way. The fetch goes on if the client leaves: others wait for it as well.
    async fn fetched(self: &Arc<Self>, cause: Cause) {
        if !self.is_due(cause) {
            drop(self.text.lock().await);
            return;
        }
        let this = Arc::clone(self);
        // it ends early only with the whole gateway
        let _ = tokio::spawn(async move { this.fetch_if_due(cause).await }).await;
    }

    fn is_due(&self, cause: Cause) -> bool {
        let times = self.times.lock();
        let is_past = |time: Option<Instant>, wait| time.is_none_or(|time| time.elapsed() >= wait);
        match cause {
            Cause::First => self.keys.load().is_none() && is_past(times.any, FIRST),
            Cause::Unknown => is_past(times.unknown, UNKNOWN),
            Cause::Age => is_past(times.any, OLD),
        }
    }

    async fn fetch_if_due(&self, cause: Cause) {
        let mut text = self.text.lock().await;
        if !self.is_due(cause) {
            return;
        }
        self.begin(cause);
        let fetched = self.fetch().await;
        self.times.lock().has_failed = fetched.is_err();
        match fetched {
            Ok((set, found)) if *text != found || self.keys.load().is_none() => {
                *text = found;
                let version = self.version() + 1;
                self.keys.store(Some(Arc::new(Held { set, version })));
            }
            Ok(_) => {}
            Err(reason) => self.warn(&reason),
        }
    }

    fn warn(&self, reason: &str) {
        tracing::warn!(
            issuer = self.place.issuer,
            reason,
            "the keys of an issuer cannot be fetched: the known keys stay in use"
        );
    }

    fn begin(&self, cause: Cause) {
        let now = Some(Instant::now());
        let mut times = self.times.lock();
        times.any = now;
        if cause == Cause::Unknown {
            times.unknown = now;
        }
    }

    /// Fetches and reads the keys. Returns them with their text.
    async fn fetch(&self) -> Result<(KeySet, Bytes), String> {
        let uri = match &self.place.jwks_uri {
            Some(uri) => uri.clone(),
            None => self.discovered().await?,
        };
        let text = self.get(&uri).await?;
        let keys = KeySet::parse(&text).map_err(|_| format!("`{uri}` is no set of keys"))?;
        match keys.len() {
            0 => Err(format!("`{uri}` has no key for signatures")),
            _ => Ok((keys, text)),
        }
    }

    /// Returns the `jwks_uri` of the discovery document.
    async fn discovered(&self) -> Result<String, String> {
        let issuer = &self.place.issuer;
        let url = format!("{}{DISCOVERY}", issuer.strip_suffix('/').unwrap_or(issuer));
        let text = self.get(&url).await?;
        let document: Discovery = serde_json::from_slice(&text)
            .map_err(|_| format!("`{url}` is no document with `issuer` and `jwks_uri`"))?;
        if document.issuer != *issuer {
            return Err(format!("`{url}` is the document of another `issuer`"));
        }
        Ok(document.jwks_uri)
    }

    async fn get(&self, url: &str) -> Result<Bytes, String> {
        let policy = self.policy(url)?;
        let headers = vec![("accept".to_owned(), "application/json".to_owned())];
        let request = Request {
            method: "GET".to_owned(),
            url: url.to_owned(),
            headers,
            ..Request::default()
        };
        let answer = self.client.fetch(&policy, request).await.map_err(|e| e.to_string())?;
        match answer.status {
            _ if answer.truncated => Err(format!("`{url}` is larger than {MOST} bytes")),
            200 => Ok(answer.body),
            status => Err(format!("`{url}` answered {status}")),
        }
    }

    /// Returns the policy of one fetch: no redirect leads to another host, and an issuer on the public internet leads to no
    /// private address.
    fn policy(&self, url: &str) -> Result<Policy, String> {
        let issuer = Url::parse(&self.place.issuer).map_err(|e| e.to_string())?;
        let url = Url::parse(url).map_err(|_| "`jwks_uri` is no URL".to_owned())?;
        let is_local = is_loopback(&issuer);
        if url.scheme() != "https" && !(is_local && is_loopback(&url)) {
            return Err(format!("`{url}` does not begin with `https:`"));
        }
        let mut allow_private = self.blocks.clone();
        if is_local {
            let own = ["127.0.0.0/8", "::1/128"].iter();
            allow_private.extend(own.filter_map(|block| block.parse::<Cidr>().ok()));
        }
        let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let port = url.port_or_known_default().unwrap_or_default();
        let limits = Limits { total: PATIENCE, decoded: MOST, encoded: MOST, ..Limits::default() };
        Ok(Policy {
            allow_private,
            own: self.own.clone(),
            may_reach: Arc::new(move |other: &str, at| (other, at) == (&*host, port)),
            limits,
            remedy: "`allow_private` of its entry in `jwt`",
        })
    }
}
