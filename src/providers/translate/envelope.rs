//! The signed envelope in which an upstream's reasoning travels through a client.
//!
//! The `signature` of a thinking block is `tidegate.` and Base64 of a JSON text with the upstream's payload
//! and a code by which the gateway knows its own envelopes. Replicas share the code's key, since it comes
//! from the provider's name and its credential.
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use serde::{Deserialize, Serialize};

/// The beginning of every envelope.
pub(crate) const PREFIX: &str = "tidegate.";
/// The version of the format.
const VERSION: u8 = 1;

/// Makes and opens the envelopes of one provider.
#[derive(Clone)]
pub(crate) struct Seal {
    key: hmac::Key,
    provider: Box<str>,
    backend: &'static str,
}

impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seal").field("provider", &self.provider).finish_non_exhaustive()
    }
}

#[derive(Serialize, Deserialize)]
struct Envelope<'a> {
    v: u8,
    /// The provider's name in the config.
    p: &'a str,
    /// The backend, since some payloads are valid at one door of a provider only.
    b: &'a str,
    /// The upstream's model.
    m: &'a str,
    /// The payload; empty if the upstream needs none.
    #[serde(borrow)]
    s: std::borrow::Cow<'a, str>,
}

impl Seal {
    /// Makes the seal of a provider. `secret` is its credential.
    pub(crate) fn new(provider: &str, backend: &'static str, secret: &str) -> Self {
        let text = format!("tidegate reasoning envelope\n{provider}\n{secret}");
        let key = hmac::Key::new(hmac::HMAC_SHA256, text.as_bytes());
        Self { key, provider: provider.into(), backend }
    }

    /// Returns the envelope of a payload.
    pub(crate) fn close(&self, model: &str, payload: &str) -> String {
        let envelope = Envelope {
            v: VERSION,
            p: &self.provider,
            b: self.backend,
            m: model,
            s: payload.into(),
        };
        // a struct of texts always serializes
        let json = serde_json::to_vec(&envelope).unwrap_or_default();
        let code = hmac::sign(&self.key, &json);
        let body = [code.as_ref(), &json].concat();
        format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(body))
    }

    /// Returns the payload of an envelope that this provider made for the same model; `None` for any
    /// other signature, which counts as absent.
    pub(crate) fn open(&self, model: &str, signature: &str) -> Option<String> {
        let body = URL_SAFE_NO_PAD.decode(signature.strip_prefix(PREFIX)?).ok()?;
        let (code, json) = body.split_at_checked(length(hmac::HMAC_SHA256))?;
        hmac::verify(&self.key, json, code).ok()?;
        let envelope: Envelope<'_> = serde_json::from_slice(json).ok()?;
        let is_own = envelope.v == VERSION
            && *envelope.p == *self.provider
            && envelope.b == self.backend
            && envelope.m == model;
        is_own.then(|| envelope.s.into_owned())
    }
}

fn length(algorithm: hmac::Algorithm) -> usize {
    algorithm.digest_algorithm().output_len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seal() -> Seal {
        Seal::new("up", "chat", "sk-1")
    }

    #[test]
    fn an_envelope_gives_its_payload_back() {
        let envelope = seal().close("m", "pay\"load");
        assert!(envelope.starts_with(PREFIX));
        assert_eq!(seal().open("m", &envelope).as_deref(), Some("pay\"load"));
    }

    #[test]
    fn a_foreign_or_altered_envelope_counts_as_absent() {
        let envelope = seal().close("m", "payload");
        assert_eq!(seal().open("other-model", &envelope), None);
        assert_eq!(Seal::new("up", "responses", "sk-1").open("m", &envelope), None);
        assert_eq!(Seal::new("other", "chat", "sk-1").open("m", &envelope), None);
        assert_eq!(Seal::new("up", "chat", "sk-2").open("m", &envelope), None);
        for at in PREFIX.len()..envelope.len() {
            let mut altered = envelope.clone().into_bytes();
            altered[at] = if altered[at] == b'A' { b'B' } else { b'A' };
            let altered = String::from_utf8(altered).unwrap();
            assert_eq!(seal().open("m", &altered), None, "{at}");
        }
        for other in ["", "tidegate.", "tidegate.AAAA", "EqQBCgIYAhIM", "tidegate.%%%"] {
            assert_eq!(seal().open("m", other), None);
        }
    }
}
