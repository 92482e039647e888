//! Error bodies of each cloud, and their envelopes.
use super::*;

fn wrap(
    wraps: Wraps,
    status: u16,
    headers: &[(&'static str, &str)],
    body: &str,
) -> (HeaderMap, Value) {
    let mut upstream = HeaderMap::new();
    for (name, value) in headers {
        upstream.insert(*name, value.parse().unwrap());
    }
    let status = StatusCode::from_u16(status).unwrap();
    let body = Bytes::copy_from_slice(body.as_bytes());
    let (headers, body) = wrapped(wraps, status, &upstream, body, "req_ours");
    (headers, serde_json::from_slice(&body).unwrap())
}

fn check(status: u16, headers: &[(&'static str, &str)], body: &str, kind: &str, message: &str) {
    let (_, json) = wrap(Wraps::All, status, headers, body);
    let error = json!({"type": kind, "message": message});
    assert_eq!(json["error"], error, "{body}");
    assert_eq!(json["type"], "error");
}

#[test]
fn errors_of_aws_are_typed_by_their_name() {
    let kind = |name| vec![("x-amzn-errortype", name), ("x-amzn-requestid", "aws-1")];
    let table = [
        (400, "ValidationException:http://internal.amazon.com/coral/", "invalid_request_error"),
        (400, "ServiceQuotaExceededException", "rate_limit_error"),
        (403, "AccessDeniedException", "permission_error"),
        (403, "ExpiredTokenException", "authentication_error"),
        (404, "ResourceNotFoundException", "not_found_error"),
        (408, "ModelTimeoutException", "timeout_error"),
        (424, "ModelErrorException", "api_error"),
        (424, "NewException", "api_error"),
        (429, "ThrottlingException", "rate_limit_error"),
        (429, "ModelNotReadyException", "overloaded_error"),
        (500, "InternalServerException", "api_error"),
        (503, "ServiceUnavailableException", "overloaded_error"),
        (418, "NewException", "invalid_request_error"),
    ];
    for (status, name, expected) in table {
        check(status, &kind(name), r#"{"message":"why"}"#, expected, "why");
    }
    let (headers, json) =
        wrap(Wraps::All, 429, &kind("ThrottlingException"), r#"{"Message":"why"}"#);
    assert_eq!(
        (&headers["request-id"], &json["request_id"]),
        (&"aws-1".parse().unwrap(), &"aws-1".into())
    );
    assert_eq!(headers["content-type"], "application/json");
    check(
        404,
        &[],
        r#"{"__type":"com.amazon.coral.service#UnknownOperationException"}"#,
        "not_found_error",
        r#"{"__type":"com.amazon.coral.service#UnknownOperationException"}"#,
    );
    check(
        400,
        &kind("ValidationException"),
        r#"{"message":"Input is too long for requested model."}"#,
        "invalid_request_error",
        "prompt is too long: Input is too long for requested model.",
    );
}

#[test]
fn errors_of_google_are_typed_by_their_status_also_in_a_list() {
    let quota = r#"{"error":{"code":429,"message":"Quota exceeded","status":"RESOURCE_EXHAUSTED","details":[{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"38.2s"}]}}"#;
    for body in [quota.to_owned(), format!("[{quota}]")] {
        check(429, &[], &body, "rate_limit_error", "Quota exceeded");
        assert_eq!(wrap(Wraps::All, 429, &[], &body).0["retry-after"], "39");
        assert_eq!(wrap(Wraps::All, 429, &[("retry-after", "3")], &body).0["retry-after"], "3");
    }
    let table = [
        (400, "INVALID_ARGUMENT", "invalid_request_error"),
        (401, "UNAUTHENTICATED", "authentication_error"),
        (403, "PERMISSION_DENIED", "permission_error"),
        (404, "NOT_FOUND", "not_found_error"),
        (499, "CANCELLED", "api_error"),
        (500, "INTERNAL", "api_error"),
        (503, "UNAVAILABLE", "overloaded_error"),
        (504, "DEADLINE_EXCEEDED", "timeout_error"),
    ];
    for (status, name, kind) in table {
        let body = json!({"error": {"code": status, "message": "why", "status": name}});
        check(status, &[], &body.to_string(), kind, "why");
    }
    let key = r#"{"error":{"message":"bad key","status":"INVALID_ARGUMENT","details":[{"reason":"API_KEY_INVALID"}]}}"#;
    check(400, &[], key, "authentication_error", "bad key");
    let long = r#"{"error":{"message":"The input token count (1196265) exceeds the maximum number of tokens allowed (1048575).","status":"INVALID_ARGUMENT"}}"#;
    check(
        400,
        &[],
        long,
        "invalid_request_error",
        "prompt is too long: 1196265 tokens > 1048575 maximum (The input token count (1196265) exceeds the maximum number of tokens allowed (1048575).)",
    );
}

#[test]
fn errors_of_azure_tell_the_wait_in_their_text() {
    let limit = r#"{"error":{"code":"RateLimitReached","message":"Rate limit of 8000 per 60s exceeded for UserByModelByMinuteOutputTokens. Please wait 33 seconds before retrying.","details":"x"}}"#;
    let (headers, json) = wrap(Wraps::All, 429, &[], limit);
    assert_eq!(
        (&headers["retry-after"], &json["error"]["type"]),
        (&"33".parse().unwrap(), &"rate_limit_error".into())
    );
    for (text, wait) in [
        ("Please wait 1 second.", Some("1")),
        ("Try again in 5 seconds", Some("5")),
        ("wait a minute", None),
    ] {
        let body = json!({"code": "x", "message": text}).to_string();
        let found = wrap(Wraps::All, 429, &[], &body).0;
        assert_eq!(found.get("retry-after").map(|wait| wait.to_str().unwrap()), wait, "{text}");
    }
    check(
        401,
        &[],
        r#"{"error":{"code":"Unauthorized","message":"Access token is invalid"}}"#,
        "authentication_error",
        "Access token is invalid",
    );
    check(401, &[], r#"{"statusCode":401,"message":"no key"}"#, "authentication_error", "no key");
}

#[test]
fn a_lack_of_money_is_not_retried() {
    for (status, body) in [
        (402, r#"{"error":{"message":"Insufficient Balance"}}"#),
        (429, r#"{"error":{"message":"x","code":"insufficient_quota"}}"#),
    ] {
        let (headers, json) = wrap(Wraps::All, status, &[], body);
        assert_eq!(
            (&headers["x-should-retry"], &json["error"]["type"]),
            (&"false".parse().unwrap(), &"billing_error".into())
        );
    }
}

#[test]
fn pages_and_texts_become_messages_and_the_apis_own_envelope_passes() {
    check(503, &[], "<html>busy</html>", "overloaded_error", "the upstream answered 503");
    check(502, &[], "", "api_error", "the upstream answered 502");
    check(500, &[], " upstream connect error ", "api_error", "upstream connect error");
    check(422, &[], r#"{"detail":"no such field"}"#, "invalid_request_error", "no such field");
    let own = r#"{"type":"error", "error":{"type":"invalid_request_error","message":"x"},"request_id":"req_vrtx_1"}"#;
    for wraps in [Wraps::All, Wraps::Objects] {
        let headers = HeaderMap::new();
        let (_, body) = wrapped(wraps, StatusCode::BAD_REQUEST, &headers, own.into(), "req_ours");
        assert_eq!(body, own);
    }
}

#[test]
fn of_other_servers_only_json_errors_are_wrapped() {
    let context = r#"{"error":{"code":400,"message":"request (20028 tokens) exceeds the available context size (4096 tokens), try increasing it","type":"exceed_context_size_error","n_prompt_tokens":20028,"n_ctx":4096}}"#;
    let (_, json) = wrap(Wraps::Objects, 400, &[], context);
    assert_eq!(json["error"]["type"], "invalid_request_error");
    assert!(
        json["error"]["message"]
            .as_str()
            .unwrap()
            .starts_with("prompt is too long: 20028 tokens > 4096 maximum")
    );
    assert_eq!(json["request_id"], "req_ours");
    for body in ["<html>", "{}", "", r#"{"error":"x"}"#] {
        let headers = HeaderMap::new();
        let (_, passed) =
            wrapped(Wraps::Objects, StatusCode::BAD_REQUEST, &headers, body.into(), "r");
        assert_eq!(passed, body);
    }
}
