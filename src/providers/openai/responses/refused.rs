//! The refusal of a server to take the reasoning of an earlier answer back.
use serde_json::Value;

/// Returns whether the body of a rejection says that encrypted reasoning is not accepted: another account or
/// model made it, or its key is gone.
pub(crate) fn is_about_reasoning(body: &[u8]) -> bool {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let error = &body["error"];
    let message = error["message"].as_str().or(error.as_str()).or(body["message"].as_str());
    let message = message.unwrap_or_default().to_ascii_lowercase();
    let code = error["code"].as_str().or(body["code"].as_str());
    code == Some("invalid_encrypted_content")
        || message.contains("encrypted content")
        || message.contains("encrypted_content")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_known_refusals_of_reasoning_are_recognised() {
        for body in [
            r#"{"error":{"message":"no","code":"invalid_encrypted_content"}}"#,
            r#"{"error":{"message":"The encrypted content gAAA… could not be verified.","code":null}}"#,
            r#"{"error":{"message":"reasoning encrypted_content was not issued to this caller"}}"#,
            r#"{"error":"Encrypted content is not supported."}"#,
            r#"{"message":"Encrypted content is not supported."}"#,
        ] {
            assert!(is_about_reasoning(body.as_bytes()), "{body}");
        }
        for body in [r#"{"error":{"message":"Unknown parameter: 'x'."}}"#, "", "<html>"] {
            assert!(!is_about_reasoning(body.as_bytes()), "{body}");
        }
    }
}
