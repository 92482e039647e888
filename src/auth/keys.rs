//! Client keys: config, comparison, and creation.
use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::auth::allowance::{OwnBudget, OwnLimit};
use crate::auth::entries::Entries;
use crate::auth::expiry::Expiry;
use crate::auth::holder::Holder;
use crate::auth::settings::KeySettings;
use crate::error::{Problem, Secret};

/// An entry of `keys:`; exactly one of `hash` and `key`.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The client's name in logs, metrics and policies.
    pub name: String,
    /// `sha256:` and 64 hex digits, as `tidegate key new` prints it.
    pub hash: Option<String>,
    /// The key itself, from the environment or a file: `"${CI_KEY}"`.
    #[schemars(with = "Option<String>")]
    pub key: Option<Secret>,
    /// The models that the key may name, with `*`; all if absent.
    pub models: Option<Vec<String>>,
    /// The server tools that the key may use, by their names without `gateway:` and date, with `*`; all if absent.
    pub tools: Option<Vec<String>>,
    /// The time from which the key is refused: `2027-01-31T12:00:00Z`, or a date, which stands for its first moment in UTC.
    #[schemars(with = "Option<String>")]
    pub expires: Option<Expiry>,
    /// Whether the key is refused until it is enabled again.
    #[serde(default)]
    pub disabled: bool,
    /// Tags for policies (`when: { tags: … }`) and metrics.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
    /// The limits of this key, beside those of `limits.rules`: one, or a list.
    #[serde(default)]
    pub limits: Entries<OwnLimit>,
    /// The budget of this key, beside those of `budgets.rules`: one, or a list.
    #[serde(default)]
    pub budget: Entries<OwnBudget>,
}

/// The SHA-256 of a key; the gateway keeps nothing else of it.
pub(crate) type Digest = [u8; 32];

/// A new key; it is printed once and stored nowhere.
pub(crate) struct NewKey {
    /// `tg_` and 64 hex digits.
    pub key: Secret,
    /// The digest that the gateway keeps.
    pub digest: Digest,
}

impl NewKey {
    /// Returns the value for the config: `sha256:` and 64 hex digits.
    pub(crate) fn hash(&self) -> String {
        format!("{HASH_PREFIX}{}", hex::encode(self.digest))
    }

    /// Returns the first and the last characters of the key, by which its holder recognizes it.
    pub(crate) fn hint(&self) -> String {
        let key = self.key.expose();
        format!("{}…{}", &key[..PREFIX.len() + HINTED], &key[key.len() - HINTED..])
    }
}

/// Creates a key of 32 random bytes.
pub(crate) fn new_key() -> Result<NewKey, getrandom::Error> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)?;
    let key = format!("{PREFIX}{}", hex::encode(bytes));
    Ok(NewKey { digest: digest(&key), key: Secret::new(key) })
}

/// Creates an id for a key: it is no secret.
pub(crate) fn new_id() -> Result<String, getrandom::Error> {
    let mut bytes = [0; 12];
    getrandom::fill(&mut bytes)?;
    Ok(format!("key_{}", hex::encode(bytes)))
}

/// Returns the digest for comparing a key.
pub(crate) fn digest(key: &str) -> Digest {
    Sha256::digest(key).into()
}

impl Config {
    /// Returns the client that holds the key.
    pub(super) fn holder(&self) -> Holder {
        let settings = KeySettings {
            name: self.name.clone(),
            models: self.models.clone(),
            tools: self.tools.clone(),
            tags: self.tags.clone(),
            expires: self.expires,
            disabled: self.disabled,
            limits: self.limits.clone(),
            budget: self.budget.clone(),
        };
        settings.holder()
    }

    /// Returns the digest of the entry's key. Fails with the wrong field and the reason.
    pub fn digest(&self) -> Result<Digest, Problem> {
        match (&self.hash, &self.key) {
            (Some(hash), None) => from_hash(hash).ok_or_else(|| {
                let message =
                    "expected `sha256:` and 64 hex digits, as `tidegate key new` prints them";
                Problem::new("hash", message)
            }),
            (None, Some(key)) if key.is_empty() => {
                Err(Problem::new("key", "the key is empty: set the variable, or give a `hash`"))
            }
            (None, Some(key)) => Ok(digest(key.expose())),
            (Some(_), Some(_)) => Err(Problem::new("", "both `hash` and `key`: give one of them")),
            (None, None) => Err(Problem::new(
                "",
                "neither `hash` nor `key`: give one of them; `tidegate key new` makes both",
            )),
        }
    }
}

/// Returns the problems of the entries of `keys:`, each with its index there.
pub(crate) fn problems(entries: &[(usize, &Config)]) -> Vec<Problem> {
    let mut found = Vec::new();
    let mut names = BTreeMap::new();
    let mut digests = BTreeMap::new();
    for &(n, entry) in entries {
        let here = format!("keys[{n}]");
        if entry.name.is_empty() {
            found.push(Problem::new(format!("{here}.name"), "the name is empty"));
        } else if let Some(first) = names.insert(&entry.name, n) {
            let message = format!("`{}` is the name of keys[{first}] already", entry.name);
            found.push(Problem::new(format!("{here}.name"), message));
        }
        match entry.digest() {
            Ok(digest) => found.extend(digests.insert(digest, n).map(|first| {
                Problem::new(&here, format!("the same key as keys[{first}]: make another"))
            })),
            Err(problem) if problem.path.is_empty() => {
                found.push(Problem::new(here, problem.message));
            }
            Err(problem) => {
                found.push(Problem::new(format!("{here}.{}", problem.path), problem.message));
            }
        }
    }
    found
}

const HASH_PREFIX: &str = "sha256:";
/// The beginning of a key that Tidegate made.
const PREFIX: &str = "tg_";
/// The digits at each end of a key that lists show.
const HINTED: usize = 4;

fn from_hash(hash: &str) -> Option<Digest> {
    let mut digest = Digest::default();
    hex::decode_to_slice(hash.strip_prefix(HASH_PREFIX)?, &mut digest).ok()?;
    Some(digest)
}
