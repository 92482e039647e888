//! The public keys of an issuer (RFC 7517), and the choice of the one that a token names.
use std::str::FromStr;

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyOperations, PublicKeyUse};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey};
use serde::Deserialize;
use serde_json::Value;

/// The keys of an issuer. Keys that sign nothing, or by no algorithm that is known, are left out.
#[derive(Default)]
pub(super) struct KeySet {
    keys: Vec<Key>,
}

struct Key {
    id: Option<String>,
    algorithms: Vec<Algorithm>,
    key: DecodingKey,
}

/// The key of a token, or the reason for its absence.
pub(super) enum Choice<'a> {
    /// The only key that the token can mean.
    Key(&'a DecodingKey),
    /// The set has no such key. It may have been made since.
    Missing,
    /// The key that the token names is for other algorithms.
    OtherAlgorithm,
    /// The token can mean several keys.
    Several,
}

#[derive(Deserialize)]
struct Document {
    keys: Vec<Value>,
}

impl KeySet {
    /// Reads a document. Fails if it is no set of keys.
    pub(super) fn parse(text: &[u8]) -> Result<Self, serde_json::Error> {
        let Document { keys } = serde_json::from_slice(text)?;
        // one odd key does not make the others useless
        let keys = keys.into_iter().filter_map(|key| serde_json::from_value::<Jwk>(key).ok());
        Ok(Self { keys: keys.filter_map(|jwk| Key::of(&jwk)).collect() })
    }

    /// Returns the number of keys.
    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    /// Returns the key that a token means: by its id, or the only one that fits the algorithm if it has no id. No other
    /// key is ever tried.
    pub(super) fn choose(&self, id: Option<&str>, algorithm: Algorithm) -> Choice<'_> {
        let mut named =
            self.keys.iter().filter(|key| id.is_none() || key.id.as_deref() == id).peekable();
        if named.peek().is_none() {
            return Choice::Missing;
        }
        let mut fitting = named.filter(|key| key.algorithms.contains(&algorithm));
        match (fitting.next(), fitting.next()) {
            (Some(key), None) => Choice::Key(&key.key),
            (Some(_), Some(_)) => Choice::Several,
            (None, _) => Choice::OtherAlgorithm,
        }
    }
}

impl Key {
    fn of(jwk: &Jwk) -> Option<Self> {
        let common = &jwk.common;
        let is_for_signatures =
            common.public_key_use.as_ref().is_none_or(|of| *of == PublicKeyUse::Signature);
        let operations = common.key_operations.as_ref();
        let may_verify = operations.is_none_or(|all| all.contains(&KeyOperations::Verify));
        if !is_for_signatures || !may_verify {
            return None;
        }
        let mut algorithms = match &jwk.algorithm {
            AlgorithmParameters::RSA(_) => AlgorithmFamily::Rsa.algorithms().to_vec(),
            AlgorithmParameters::EllipticCurve(key) => match key.curve {
                EllipticCurve::P256 => vec![Algorithm::ES256],
                EllipticCurve::P384 => vec![Algorithm::ES384],
                _ => return None,
            },
            AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => {
                vec![Algorithm::EdDSA]
            }
            // a shared secret in a public document is no key
            _ => return None,
        };
        if let Some(named) = common.key_algorithm {
            let named = Algorithm::from_str(&named.to_string()).ok()?;
            algorithms.retain(|algorithm| *algorithm == named);
        }
        let key = DecodingKey::from_jwk(jwk).ok()?;
        Some(Self { id: common.key_id.clone(), algorithms, key })
    }
}
