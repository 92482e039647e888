//! AWS Signature Version 4 over the head of a request and the hash of its body.
use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use http::header::{CONTENT_TYPE, HOST};
use http::{HeaderName, HeaderValue, request};
use sha2::{Digest, Sha256};

use crate::error::BoxError;
use crate::wire::Pieces;

/// The service and the region that a signature is valid for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::providers) struct Scope {
    /// The signing name of the service: `bedrock`, `bedrock-mantle`.
    pub(in crate::providers) service: &'static str,
    /// The region: `us-east-1`.
    pub(in crate::providers) region: String,
}

/// The SHA-256 of a body as lower-case hexadecimal.
#[derive(Debug, Clone)]
pub(in crate::providers) struct BodyHash(String);

impl BodyHash {
    pub(in crate::providers) fn of(body: &Pieces) -> Self {
        let mut hasher = Sha256::new();
        for part in body.as_slice() {
            hasher.update(part);
        }
        Self(hex::encode(hasher.finalize()))
    }
}

/// Signs a request whose head has its path, query, `host` and all headers. Adds `authorization`,
/// `x-amz-date` and, for temporary keys, `x-amz-security-token`.
///
/// Fails if a signed header is not UTF-8.
pub(super) fn add(
    head: &mut request::Parts,
    scope: &Scope,
    credentials: &Credentials,
    body: &BodyHash,
    at: SystemTime,
) -> Result<(), BoxError> {
    let identity = credentials.clone().into();
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region(&scope.region)
        .name(scope.service)
        .time(at)
        .settings(SigningSettings::default())
        .build()?
        .into();
    let signed = head.headers.iter().filter(|(name, _)| is_signed(name));
    let signed =
        signed.map(|(name, value)| Ok((name.as_str(), std::str::from_utf8(value.as_bytes())?)));
    let signed = signed.collect::<Result<Vec<_>, BoxError>>()?;
    let request = SignableRequest::new(
        head.method.as_str(),
        head.uri.to_string(),
        signed.into_iter(),
        SignableBody::Precomputed(body.0.clone()),
    )?;
    let (instructions, _) = sign(request, &params)?.into_parts();
    let (added, _) = instructions.into_parts();
    for header in added {
        let mut value = HeaderValue::from_str(header.value())?;
        value.set_sensitive(true);
        head.headers.insert(HeaderName::from_static(header.name()), value);
    }
    Ok(())
}

/// Returns whether a header is signed. Proxies may change the others.
fn is_signed(name: &HeaderName) -> bool {
    *name == HOST
        || *name == CONTENT_TYPE
        || ["x-amz-", "x-amzn-bedrock-", "anthropic-"]
            .iter()
            .any(|family| name.as_str().starts_with(family))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::Request;

    use super::*;

    /// 2026-11-28T12:00:00Z
    const AT: Duration = Duration::from_secs(1_795_867_200);
    const BODY: &str =
        r#"{"max_tokens":16,"messages":[],"anthropic_version":"bedrock-2023-05-31"}"#;

    fn authorization(
        scope: (&'static str, &str),
        url: &str,
        more: &[(&'static str, &str)],
        token: Option<&str>,
    ) -> String {
        let (host, path) = url.split_once('/').unwrap();
        let (mut head, ()) = Request::post(format!("/{path}"))
            .header(HOST, host)
            .header(CONTENT_TYPE, "application/json")
            .header("user-agent", "not signed")
            .body(())
            .unwrap()
            .into_parts();
        for (name, value) in more {
            head.headers.insert(*name, value.parse().unwrap());
        }
        let keys = Credentials::new(
            "AKIDEXAMPLE",
            "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
            token.map(ToOwned::to_owned),
            None,
            "test",
        );
        let scope = Scope { service: scope.0, region: scope.1.to_owned() };
        let body = BodyHash::of(&bytes::Bytes::from_static(BODY.as_bytes()).into());
        add(&mut head, &scope, &keys, &body, SystemTime::UNIX_EPOCH + AT).unwrap();
        assert_eq!(head.headers["x-amz-date"], "20261128T120000Z");
        assert_eq!(head.headers.get("x-amz-security-token").map(|v| v.to_str().unwrap()), token);
        head.headers["authorization"].to_str().unwrap().to_owned()
    }

    // computed by botocore 1.44.8 (SigV4Auth) for the same requests
    #[test]
    fn signatures_are_those_of_awss_own_library() {
        let host = "bedrock-runtime.us-east-1.amazonaws.com";
        let table = [
            (
                "anthropic.claude-haiku-4-5-20251001-v1:0",
                "058349bd9994cec1947ca65728e68cd14fb4c962567e6735eace5923e6d33f95",
            ),
            (
                "anthropic.claude-haiku-4-5-20251001-v1%3A0",
                "dc7495f3b163b1c9f4b6b7c479d667fdea3f137a5bc3facf47264e7e9b081486",
            ),
            (
                "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile%2Fabc123",
                "dba7a74630974f2c270a371316d2abbb24eb03f33d7abdd84c395b8998932e68",
            ),
        ];
        for (model, signature) in table {
            let url = format!("{host}/model/{model}/invoke");
            let found = authorization(("bedrock", "us-east-1"), &url, &[], None);
            let expected = format!(
                "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20261128/us-east-1/bedrock/aws4_request, SignedHeaders=content-type;host;x-amz-date, Signature={signature}"
            );
            assert_eq!(found, expected, "{model}");
        }
    }

    #[test]
    fn a_session_token_a_guardrail_and_the_query_are_signed() {
        let url = "bedrock-runtime.eu-central-1.amazonaws.com/model/eu.anthropic.claude-opus-5/invoke-with-response-stream";
        let guardrail = [("x-amzn-bedrock-guardrailidentifier", "gr-1")];
        let found = authorization(("bedrock", "eu-central-1"), url, &guardrail, Some("SESSION"));
        assert_eq!(
            found,
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20261128/eu-central-1/bedrock/aws4_request, SignedHeaders=content-type;host;x-amz-date;x-amz-security-token;x-amzn-bedrock-guardrailidentifier, Signature=ba1866edace40c54f3d7b3f1d07b55e39d9f7dae8ddd8698ebee625b87ee965d"
        );
        let url = "bedrock-mantle.us-east-1.api.aws/anthropic/v1/messages?beta=true";
        let versions = [("anthropic-version", "2023-06-01"), ("anthropic-beta", "a,b")];
        let found = authorization(("bedrock-mantle", "us-east-1"), url, &versions, None);
        assert_eq!(
            found,
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20261128/us-east-1/bedrock-mantle/aws4_request, SignedHeaders=anthropic-beta;anthropic-version;content-type;host;x-amz-date, Signature=093a084efca61718a529d4cce7cfd49130ce7a45c13896c6c4c1baebe3260d51"
        );
    }
}
