//! The values that look random in an answer: ids and thinking signatures, derived from the request.
use sha2::{Digest, Sha256};

use crate::error::Result;
use crate::wire::MessagesRequest;

/// The hash that distinguishes requests.
pub(crate) struct Seed([u8; 32]);

impl Seed {
    /// Hashes every field except `stream`, so that streaming and non-streaming requests give the
    /// same message.
    pub(crate) fn of(request: &mut MessagesRequest) -> Result<Self> {
        let mut hash = Sha256::new();
        hash.update(request.endpoint.path());
        for key in request.document_mut().keys(&[])?.unwrap_or_default() {
            if key != "stream" {
                hash.update(&key);
                hash.update(request.document().field(&key).unwrap_or_default());
            }
        }
        Ok(Self(hash.finalize().into()))
    }

    /// Returns an id such as `msg_sim_…`, `toolu_sim_…`, `req_sim_…`; `n` distinguishes ids of one
    /// kind.
    pub(crate) fn id(&self, kind: &str, n: usize) -> String {
        let mut id = format!("{kind}_sim_{}", hex::encode(&self.0[..10]));
        if n > 0 {
            id.push_str(&format!("_{n}"));
        }
        id
    }

    /// Signs the text of a thinking block. Another request has another signature for the same text.
    pub(crate) fn sign(&self, text: &str) -> String {
        signature(&hex::encode(&self.0[10..16]), text)
    }
}

/// Returns whether the signature belongs to exactly this text.
pub(crate) fn is_signed(text: &str, given: &str) -> bool {
    let mut parts = given.split('.');
    match (parts.next(), parts.next()) {
        (Some("sim1"), Some(salt)) => signature(salt, text) == given,
        _ => false,
    }
}

fn signature(salt: &str, text: &str) -> String {
    let mut hash = Sha256::new();
    hash.update(salt);
    hash.update(":");
    hash.update(text);
    format!("sim1.{salt}.{}", hex::encode(&hash.finalize()[..20]))
}
