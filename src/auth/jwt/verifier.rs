//! `Verifier`: checks a token, and returns its client.
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use jsonwebtoken::errors::ErrorKind as TokenError;
use jsonwebtoken::{Algorithm, DecodingKey, Header, Validation, dangerous};
use serde_json::Value;

use crate::auth::allowance::Allowance;
use crate::auth::holder::Holder;
use crate::auth::identity::Caller;
use crate::auth::jwt::cache::{Cache, Checked};
use crate::auth::jwt::claims::{self, Claims};
use crate::auth::jwt::config::JwtConfig;
use crate::auth::jwt::issuer::{Issuer, NoKey};
use crate::auth::jwt::issuers::Means;
use crate::auth::jwt::ring;
use crate::auth::keys::{self, Digest};
use crate::auth::owners::{Owned, Owner};
use crate::auth::rights::Rights;
use crate::error::Problem;

/// The longest token.
const LONGEST: usize = 16 * 1024;
/// The most characters of a key's id in the log.
const LONGEST_ID: usize = 64;

/// The issuers of one generation, and the tokens that they checked.
pub(crate) struct Verifier {
    entries: Vec<Entry>,
    cache: Cache,
}

struct Entry {
    config: JwtConfig,
    algorithms: Vec<Algorithm>,
    rights: Arc<Rights>,
    /// The limits and budgets of each client.
    allowance: Option<Arc<Allowance>>,
    issuer: Arc<Issuer>,
}

/// The reason for which a token does not count.
#[derive(Debug)]
pub(crate) enum Refused {
    /// The token is wrong. The message is for the client, and holds nothing of the token.
    Wrong {
        message: String,
        /// The id of the key that the token names, for the log.
        key_id: Option<String>,
        /// The issuer, if the config has it.
        issuer: Option<String>,
    },
    /// The issuer's keys cannot be fetched.
    Away { issuer: String },
}

/// Returns whether a credential has the form of a signed token: three parts, the first one a JSON object in Base64.
pub(crate) fn is_token(credential: &str) -> bool {
    credential.starts_with("eyJ") && credential.bytes().filter(|byte| *byte == b'.').count() == 2
}

impl Verifier {
    /// Builds from `jwt:`; `None` without any entry.
    ///
    /// Fails with each file that cannot be read.
    pub(crate) fn build(
        configs: &[JwtConfig],
        means: &Means<'_>,
    ) -> Result<Option<Self>, Vec<Problem>> {
        if configs.is_empty() {
            return Ok(None);
        }
        ring::install();
        let (mut entries, mut problems) = (Vec::new(), Vec::new());
        for (n, config) in configs.iter().enumerate() {
            match means.issuer(config) {
                Ok(issuer) => entries.push(Entry::new(config, issuer)),
                Err(message) => problems.push(Problem::new(format!("jwt[{n}].ca_file"), message)),
            }
        }
        match problems.is_empty() {
            true => Ok(Some(Self { entries, cache: Cache::default() })),
            false => Err(problems),
        }
    }

    /// Returns the issuers whose clients have limits and budgets of their own.
    pub(crate) fn owned(&self) -> Vec<Owned> {
        let owned = self.entries.iter().filter_map(|entry| {
            let allowance = Arc::clone(entry.allowance.as_ref()?);
            Some(Owned { allowance, owner: Owner::Issuer(entry.config.issuer.clone()) })
        });
        owned.collect()
    }

    /// Returns whether a token names an issuer of the config, whether or not it counts.
    pub(crate) fn is_ours(&self, token: &str) -> bool {
        is_token(token)
            && unchecked(token)
                .as_ref()
                .and_then(issuer_of)
                .is_some_and(|issuer| self.of_issuer(issuer).next().is_some())
    }

    /// Returns the client of a token.
    pub(crate) async fn holder(&self, token: &str) -> Result<Holder, Refused> {
        let digest = keys::digest(token);
        if let Some(holder) = self.known(&digest) {
            return Ok(Holder::clone(&holder));
        }
        // boxed: a check is rare, and would make the future of every request larger
        let checked = Box::pin(self.checked(token)).await?;
        let holder = Holder::clone(&checked.holder);
        self.cache.keep(digest, checked, now());
        Ok(holder)
    }

    /// Returns the client of a token that was checked before, by keys that the issuer still has.
    fn known(&self, digest: &Digest) -> Option<Arc<Holder>> {
        let checked = self.cache.get(digest)?;
        let issuer = &self.entries[checked.entry].issuer;
        issuer.renew();
        if checked.end <= now() || checked.version != issuer.version() {
            self.cache.remove(digest);
            return None;
        }
        Some(checked.holder)
    }

    /// Checks a token: first its issuer and algorithm against the config, then its signature, then its claims.
    async fn checked(&self, token: &str) -> Result<Checked, Refused> {
        let header = header(token)?;
        let unchecked = unchecked(token);
        let issuer = unchecked.as_ref().and_then(issuer_of).ok_or_else(|| {
            Refused::wrong("its claims cannot be read, or have no issuer (`iss`)")
        })?;
        let audience = unchecked.as_ref().and_then(|claims| claims.get("aud"));
        let (at, entry) = self.entry(issuer, audience)?;
        let wrong = |message: String| Refused::Wrong {
            message,
            key_id: header.kid.clone(),
            issuer: Some(entry.config.issuer.clone()),
        };
        if !entry.algorithms.contains(&header.alg) {
            return Err(wrong(
                "it is signed by an algorithm that `algorithms` does not allow".to_owned(),
            ));
        }
        let found = entry.issuer.key(header.kid.as_deref(), header.alg).await;
        let mut found = found.map_err(|reason| entry.no_key(reason, &header))?;
        let mut claims = signed(token, &found.key, header.alg);
        if header.kid.is_none() && claims == Err(TokenError::InvalidSignature) {
            let newer = entry.issuer.newer_key(header.alg).await;
            found = newer.map_err(|reason| entry.no_key(reason, &header))?;
            claims = signed(token, &found.key, header.alg);
        }
        let claims = claims.map_err(|reason| wrong(reason_text(&reason)))?;
        let subject = claims::subject(&claims, &entry.config, now()).map_err(wrong)?;
        let holder = Holder {
            caller: Arc::new(Caller { allowance: entry.allowance.clone(), ..subject.caller }),
            rights: Arc::clone(&entry.rights),
            expires: None,
            is_disabled: false,
            life: None,
            cuts: false,
        };
        Ok(Checked {
            holder: Arc::new(holder),
            end: subject.end,
            entry: at,
            version: found.version,
        })
    }

    /// Returns the entry of an issuer; of several, the one for the token's audience.
    fn entry<'a>(
        &'a self,
        issuer: &'a str,
        audience: Option<&Value>,
    ) -> Result<(usize, &'a Entry), Refused> {
        let is_for = |entry: &Entry| match audience {
            Some(Value::Array(all)) => all.iter().any(|one| *one == *entry.config.audience),
            one => one.is_some_and(|one| *one == *entry.config.audience),
        };
        let found = self.of_issuer(issuer).find(|(_, entry)| is_for(entry));
        found
            .or_else(|| self.of_issuer(issuer).next())
            .ok_or_else(|| Refused::wrong("its issuer (`iss`) is none that this gateway accepts"))
    }

    fn of_issuer<'a>(&'a self, issuer: &'a str) -> impl Iterator<Item = (usize, &'a Entry)> {
        self.entries.iter().enumerate().filter(move |(_, entry)| entry.config.issuer == issuer)
    }
}

impl Entry {
    fn new(config: &JwtConfig, issuer: Arc<Issuer>) -> Self {
        Self {
            algorithms: config.algorithms.iter().map(|named| named.to_algorithm()).collect(),
            rights: Arc::new(Rights::new(config.models.as_deref(), config.tools.as_deref())),
            allowance: Allowance::of(&config.limits, &config.budget),
            issuer,
            config: config.clone(),
        }
    }

    fn no_key(&self, reason: NoKey, header: &Header) -> Refused {
        let message = match reason {
            NoKey::Away => return Refused::Away { issuer: self.config.issuer.clone() },
            NoKey::Unknown => "its issuer has no key of the id that it names (`kid`)",
            NoKey::OtherAlgorithm => "the issuer's key is for other algorithms",
            NoKey::Several => "it names no key (`kid`), and several keys of its issuer fit",
        };
        Refused::Wrong {
            message: message.to_owned(),
            key_id: header.kid.clone(),
            issuer: Some(self.config.issuer.clone()),
        }
    }
}

impl Refused {
    fn wrong(message: &str) -> Self {
        Self::Wrong { message: message.to_owned(), key_id: None, issuer: None }
    }

    /// Returns the line for the log: issuer, key and reason, and nothing else of the token.
    pub(crate) fn log(&self) -> String {
        match self {
            Self::Wrong { message, key_id, issuer } => {
                let id: String = key_id.iter().flat_map(|id| id.chars()).take(LONGEST_ID).collect();
                let issuer = issuer.as_deref().unwrap_or("unknown");
                format!(
                    "the token of the issuer {issuer} with the key {id:?} does not count: {message}"
                )
            }
            Self::Away { issuer } => {
                format!(
                    "the keys of the issuer {issuer} cannot be fetched, so its tokens cannot be checked"
                )
            }
        }
    }
}

/// Reads the header. It chooses nothing: algorithm and key must be those of the config and of the issuer.
fn header(token: &str) -> Result<Header, Refused> {
    if token.len() > LONGEST {
        return Err(Refused::wrong("it is longer than 16 KiB"));
    }
    let read = jsonwebtoken::decode_header(token);
    let header = read.map_err(|_| {
        Refused::wrong("its header cannot be read, or names no signature algorithm that is known")
    })?;
    if header.crit.is_some() {
        return Err(Refused::wrong("its header has extensions that must be understood (`crit`)"));
    }
    Ok(header)
}

/// Reads the claims of a token before its signature is checked. They choose the entry of the config, and nothing else.
fn unchecked(token: &str) -> Option<Claims> {
    dangerous::insecure_decode_claims(token).ok()
}

fn issuer_of(claims: &Claims) -> Option<&str> {
    claims.get("iss")?.as_str()
}

/// Checks the signature, and returns the claims. [`claims::subject`] checks those.
fn signed(token: &str, key: &DecodingKey, algorithm: Algorithm) -> Result<Claims, TokenError> {
    let mut rules = Validation::new(algorithm);
    rules.required_spec_claims.clear();
    (rules.validate_exp, rules.validate_nbf, rules.validate_aud) = (false, false, false);
    let decoded = jsonwebtoken::decode::<Claims>(token, key, &rules);
    decoded.map(|token| token.claims).map_err(|error| error.into_kind())
}

fn reason_text(reason: &TokenError) -> String {
    let text = match reason {
        TokenError::InvalidSignature => "its signature is wrong",
        TokenError::Json(_) | TokenError::Base64(_) | TokenError::Utf8(_) => {
            "its claims or its signature cannot be read"
        }
        _ => "it cannot be checked",
    };
    text.to_owned()
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}
