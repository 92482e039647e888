//! The answer of an OAuth token endpoint.
use std::time::{Duration, SystemTime};

use http::HeaderValue;
use serde::Deserialize;
use serde_json::Value;

use crate::error::Secret;
use crate::providers::signer::cached::{Lease, Missing};
use crate::providers::signer::fetch::Response;

#[derive(Deserialize)]
struct Token {
    access_token: Secret,
    /// Seconds, as a number or as text.
    #[serde(default)]
    expires_in: Value,
}

/// Returns the value of `authorization` for the token in an answer of `server`.
///
/// Fails, without a word of a success's body, if there is no token in it.
pub(super) fn bearer(answer: Response, server: &str) -> Result<Lease<HeaderValue>, Missing> {
    let body = answer.success(server)?;
    let none = |_| Missing::new(format!("{server} answered without `access_token`"));
    let Token { access_token, expires_in } = serde_json::from_slice(&body).map_err(none)?;
    let seconds = match &expires_in {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    };
    let seconds = seconds.ok_or_else(|| {
        Missing::new(format!("{server} answered without `expires_in` as a number of seconds"))
    })?;
    let lasts = Duration::try_from_secs_f64(seconds).unwrap_or_default();
    let odd = |_| Missing::new(format!("{server} answered with a token that no header may hold"));
    let value = format!("Bearer {}", access_token.expose());
    let mut value = HeaderValue::from_str(&value).map_err(odd)?;
    value.set_sensitive(true);
    Ok(Lease { value, expires: SystemTime::now().checked_add(lasts) })
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;

    fn read(status: u16, body: &'static str) -> Result<Lease<HeaderValue>, Missing> {
        let status = StatusCode::from_u16(status).unwrap();
        bearer(Response { status, body: body.into() }, "the server")
    }

    #[test]
    fn a_token_and_its_end_are_read() {
        for body in [
            r#"{"access_token":"ya29.x","expires_in":3599,"token_type":"Bearer"}"#,
            r#"{"access_token":"ya29.x","expires_in":"3599"}"#,
        ] {
            let lease = read(200, body).unwrap();
            assert_eq!(lease.value, "Bearer ya29.x");
            assert!(lease.value.is_sensitive());
            let left = lease.expires.unwrap().duration_since(SystemTime::now()).unwrap();
            assert!((3590..3600).contains(&left.as_secs()), "{left:?}");
        }
    }

    #[test]
    fn an_answer_without_a_token_is_refused() {
        let table = [
            (
                200,
                r#"{"access_token":5,"id_token":"secret"}"#,
                "the server answered without `access_token`",
            ),
            (200, "<html>", "the server answered without `access_token`"),
            (
                200,
                r#"{"access_token":"secret"}"#,
                "the server answered without `expires_in` as a number of seconds",
            ),
            (
                200,
                r#"{"access_token":"sec\nret","expires_in":1}"#,
                "the server answered with a token that no header may hold",
            ),
            (
                400,
                r#"{"error":"invalid_grant","error_description":"Invalid JWT Signature."}"#,
                "the server answered 400: invalid_grant: Invalid JWT Signature.",
            ),
            (500, "<html>secret", "the server answered 500"),
        ];
        for (status, body, why) in table {
            assert_eq!(&*read(status, body).unwrap_err().0, why);
        }
    }
}
