//! An OpenID Connect issuer on loopback, its keys, and the tokens that they sign.
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair, RSA_PKCS1_SHA256, RSA_PKCS1_SHA384,
    RsaKeyPair, RsaPublicKeyComponents,
};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use serde_json::{Value, json};

use super::upstream::{Auto, Behaviour, Upstream, json as whole};

/// The path of the keys.
pub const KEYS: &str = "/keys";
/// The path of the discovery document.
pub const DISCOVERY: &str = "/.well-known/openid-configuration";

/// An issuer that answers with documents which the test can change.
pub struct Issuer {
    upstream: Auto,
    documents: Documents,
}

type Documents = Arc<Mutex<HashMap<String, Behaviour>>>;

impl Issuer {
    /// Starts an issuer with these keys.
    pub async fn with(keys: &[&Key]) -> Self {
        let documents: Documents = Arc::default();
        let served = Arc::clone(&documents);
        let upstream = Upstream::by(move |call| {
            let path = call.head.line.split(' ').nth(1).unwrap_or_default();
            let found = served.lock().unwrap().get(path).cloned();
            found.unwrap_or_else(|| Behaviour::Answer(whole(404, "{}")))
        })
        .await;
        let this = Self { upstream, documents };
        let (issuer, keys_at) = (this.url(), format!("{}{KEYS}", this.url()));
        this.serve(DISCOVERY, &json!({"issuer": issuer, "jwks_uri": keys_at}));
        this.publish(keys);
        this
    }

    /// The value of `iss`.
    pub fn url(&self) -> String {
        format!("http://{}", self.upstream.address)
    }

    /// Publishes these keys instead of the others.
    pub fn publish(&self, keys: &[&Key]) {
        let keys: Vec<Value> = keys.iter().map(|key| key.jwk()).collect();
        self.serve(KEYS, &json!({"keys": keys}));
    }

    /// Answers a path with a document.
    pub fn serve(&self, path: &str, document: &Value) {
        self.behave(path, Behaviour::Answer(whole(200, &document.to_string())));
    }

    /// Does something else at a path.
    pub fn behave(&self, path: &str, behaviour: Behaviour) {
        self.documents.lock().unwrap().insert(path.to_owned(), behaviour);
    }

    /// How often a path was fetched.
    pub fn fetches(&self, path: &str) -> usize {
        let seen = self.upstream.seen();
        seen.iter().filter(|(head, _)| head.line.split(' ').nth(1) == Some(path)).count()
    }

    /// Claims that are right for an hour: the audience is `tidegate`, the subject `ada`.
    pub fn claims(&self) -> Value {
        let now = now();
        json!({"iss": self.url(), "aud": "tidegate", "sub": "ada", "iat": now, "exp": now + 3600})
    }

    /// The same with other claims.
    pub fn claims_with(&self, other: Value) -> Value {
        let mut claims = self.claims();
        for (name, value) in other.as_object().unwrap() {
            claims[name] = value.clone();
        }
        claims
    }

    /// The same without a claim.
    pub fn claims_without(&self, name: &str) -> Value {
        let mut claims = self.claims();
        claims.as_object_mut().unwrap().remove(name);
        claims
    }
}

/// The second of now.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// A key pair of an issuer.
pub struct Key {
    /// The id in the set; none if empty.
    pub id: String,
    pair: Pair,
}

enum Pair {
    Rsa(RsaKeyPair),
    Ec(EcdsaKeyPair),
}

impl Key {
    /// A new key of P-256.
    pub fn ec(id: &str) -> Self {
        let random = SystemRandom::new();
        let scheme = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let der = EcdsaKeyPair::generate_pkcs8(scheme, &random).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(scheme, der.as_ref(), &random).unwrap();
        Self { id: id.to_owned(), pair: Pair::Ec(pair) }
    }

    /// The RSA key of the fixtures.
    pub fn rsa(id: &str) -> Self {
        let file = "tests/fixtures/test_account.pem";
        let pair = match PrivateKeyDer::from_pem_file(file).unwrap() {
            PrivateKeyDer::Pkcs8(der) => RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()).unwrap(),
            PrivateKeyDer::Pkcs1(der) => RsaKeyPair::from_der(der.secret_pkcs1_der()).unwrap(),
            _ => panic!("{file} is no RSA key"),
        };
        Self { id: id.to_owned(), pair: Pair::Rsa(pair) }
    }

    /// The public key as a document has it.
    pub fn jwk(&self) -> Value {
        let mut jwk = match &self.pair {
            Pair::Rsa(pair) => {
                let RsaPublicKeyComponents { n, e } = self.components(pair);
                json!({"kty": "RSA", "n": base64(n), "e": base64(e)})
            }
            Pair::Ec(pair) => {
                let (x, y) = pair.public_key().as_ref()[1..].split_at(32);
                json!({"kty": "EC", "crv": "P-256", "x": base64(x), "y": base64(y)})
            }
        };
        if !self.id.is_empty() {
            jwk["kid"] = self.id.as_str().into();
        }
        jwk["use"] = "sig".into();
        jwk
    }

    /// The bytes of the public key, in the forms that a library may take for a shared secret.
    pub fn public_bytes(&self) -> Vec<Vec<u8>> {
        let own = match &self.pair {
            Pair::Rsa(pair) => vec![pair.public().as_ref().to_vec(), self.components(pair).n],
            Pair::Ec(pair) => vec![pair.public_key().as_ref().to_vec()],
        };
        own.into_iter().chain([self.jwk().to_string().into_bytes(), Vec::new()]).collect()
    }

    fn components(&self, pair: &RsaKeyPair) -> RsaPublicKeyComponents<Vec<u8>> {
        pair.public().into()
    }

    /// A token with these claims, signed by this key under its own id.
    pub fn token(&self, claims: &Value) -> String {
        let mut header = json!({"typ": "JWT", "alg": self.algorithm()});
        if !self.id.is_empty() {
            header["kid"] = self.id.as_str().into();
        }
        self.token_with(&header, claims)
    }

    /// A token with this header.
    pub fn token_with(&self, header: &Value, claims: &Value) -> String {
        let message = message(header, claims);
        let random = SystemRandom::new();
        let signature = match &self.pair {
            Pair::Rsa(pair) => {
                let scheme =
                    if header["alg"] == "RS384" { &RSA_PKCS1_SHA384 } else { &RSA_PKCS1_SHA256 };
                let mut signature = vec![0; pair.public().modulus_len()];
                pair.sign(scheme, &random, message.as_bytes(), &mut signature).unwrap();
                signature
            }
            Pair::Ec(pair) => pair.sign(&random, message.as_bytes()).unwrap().as_ref().to_vec(),
        };
        format!("{message}.{}", base64(signature))
    }

    /// The algorithm of the key.
    pub fn algorithm(&self) -> &'static str {
        match &self.pair {
            Pair::Rsa(_) => "RS256",
            Pair::Ec(_) => "ES256",
        }
    }
}

/// A token that is signed by a shared secret.
pub fn by_secret(header: &Value, claims: &Value, secret: &[u8]) -> String {
    let message = message(header, claims);
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    format!("{message}.{}", base64(hmac::sign(&key, message.as_bytes())))
}

/// A token without a signature.
pub fn unsigned(header: &Value, claims: &Value) -> String {
    format!("{}.", message(header, claims))
}

fn message(header: &Value, claims: &Value) -> String {
    format!("{}.{}", base64(header.to_string()), base64(claims.to_string()))
}

fn base64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}
