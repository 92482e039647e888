//! The answer of the route that counts tokens.
use bytes::Bytes;
use serde_json::{Value, json};

use crate::error::Result;
use crate::providers::translate::decode::unreadable;

/// Returns a count in the form of the Messages API.
///
/// Fails if the answer has none.
pub(crate) fn answer(body: &[u8]) -> Result<Bytes> {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    match body["input_tokens"].as_u64() {
        Some(count) => Ok(json!({"input_tokens": count}).to_string().into()),
        None => Err(unreadable("the upstream's count has no `input_tokens`")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_has_the_messages_apis_form() {
        let body = br#"{"object":"response.input_tokens","input_tokens":42,"more":1}"#;
        assert_eq!(answer(body).unwrap(), r#"{"input_tokens":42}"#);
        for body in [&b"{}"[..], b"[]", b"", br#"{"input_tokens":null}"#] {
            assert!(answer(body).unwrap_err().message.contains("`input_tokens`"));
        }
    }
}
