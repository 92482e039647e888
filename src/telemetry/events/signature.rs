//! Signatures of requests as in Standard Webhooks: HMAC-SHA256 over the id, the time and the body.
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http::{HeaderMap, HeaderName};
use ring::hmac;

use crate::net::headers;

const ID: HeaderName = HeaderName::from_static("webhook-id");
const TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");
/// The headers of a signed request.
pub(super) const HEADERS: [HeaderName; 3] = [ID, TIMESTAMP, SIGNATURE];
/// The beginning of a key as text.
const PREFIX: &str = "whsec_";
/// The bytes of a key.
const BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// The key of the signatures.
pub(super) struct Key(hmac::Key);

impl Key {
    /// Reads a key: `whsec_` and base64. The message does not quote it.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let expected = || {
            let (least, most) = (BYTES.start(), BYTES.end());
            format!("expected `{PREFIX}` and the base64 of {least} to {most} random bytes")
        };
        let bytes = text.trim().strip_prefix(PREFIX).ok_or_else(expected)?;
        let bytes = BASE64_STANDARD.decode(bytes).map_err(|_| expected())?;
        match BYTES.contains(&bytes.len()) {
            true => Ok(Self(hmac::Key::new(hmac::HMAC_SHA256, &bytes))),
            false => Err(expected()),
        }
    }

    fn sign(&self, id: &str, seconds: u64, body: &[u8]) -> String {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(format!("{id}.{seconds}.").as_bytes());
        context.update(body);
        format!("v1,{}", BASE64_STANDARD.encode(context.sign()))
    }
}

/// Returns the headers of one try at a time in seconds since 1970. The id stays the same for all tries of a body.
pub(super) fn headers(id: &str, seconds: u64, body: &[u8], key: Option<&Key>) -> HeaderMap {
    let mut map = HeaderMap::new();
    map.insert(ID, headers::value(id));
    map.insert(TIMESTAMP, headers::value(&seconds.to_string()));
    if let Some(key) = key {
        map.insert(SIGNATURE, headers::value(&key.sign(id, seconds, body)));
    }
    map
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification of Standard Webhooks.
    #[test]
    fn a_signature_is_that_of_standard_webhooks() {
        let key = Key::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let body = br#"{"test": 2432232314}"#;
        let map = headers("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, body, Some(&key));
        assert_eq!(map["webhook-id"], "msg_p5jXN8AQM9LWM0D4loKWxJek");
        assert_eq!(map["webhook-timestamp"], "1614265330");
        assert_eq!(map["webhook-signature"], "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        assert!(!headers("msg_1", 1, body, None).contains_key("webhook-signature"));
    }

    #[test]
    fn other_texts_are_no_keys_and_stay_secret() {
        let long = format!("whsec_{}", BASE64_STANDARD.encode([7; 65]));
        for text in
            ["", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_sEcReT!", "whsec_c2VjcmV0", &long]
        {
            let message = Key::parse(text).err().unwrap();
            assert!(message.starts_with("expected `whsec_`"), "{message}");
            assert!(text.len() < 10 || !message.contains(&text[6..]), "{message}");
        }
    }
}
