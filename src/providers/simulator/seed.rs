//! Everything that looks random in an answer, made from the request: ids and thinking signatures.
use sha2::{Digest, Sha256};

use crate::error::Result;
use crate::wire::MessagesRequest;

/// What tells one request from another.
pub struct Seed([u8; 32]);

impl Seed {
    /// Every field counts save `stream`, so that both ways to ask give the same message.
    pub fn of(request: &mut MessagesRequest) -> Result<Self> {
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

    /// `msg_sim_…`, `toolu_sim_…`, `req_sim_…`; `n` tells ids of one kind apart.
    pub fn id(&self, kind: &str, n: usize) -> String {
        let mut id = format!("{kind}_sim_{}", hex::encode(&self.0[..10]));
        if n > 0 {
            id.push_str(&format!("_{n}"));
        }
        id
    }

    /// Signs the text of a thinking block; another request signs the same text otherwise.
    pub fn sign(&self, text: &str) -> String {
        signature(&hex::encode(&self.0[10..16]), text)
    }
}

/// The signature belongs to exactly this text.
pub fn is_signed(text: &str, given: &str) -> bool {
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
