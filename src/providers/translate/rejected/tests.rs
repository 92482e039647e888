//! Rejections of every kind of server, in the Messages API's terms.
use super::*;

fn read(status: u16, body: &str) -> (String, u16, String, Option<u64>) {
    let told = ApiError::read(
        StatusCode::from_u16(status).unwrap(),
        &Bytes::copy_from_slice(body.as_bytes()),
    );
    let wait = told.retry_after.map(|wait| wait.as_secs());
    (told.kind.as_str().to_owned(), told.status.as_u16(), told.message, wait)
}

#[test]
fn the_words_of_each_server_are_found() {
    for (body, message) in [
        (
            r#"{"error":{"message":"bad","type":"invalid_request_error","param":"x","code":null}}"#,
            "bad",
        ),
        (
            r#"{"object":"error","message":"bad","type":"BadRequestError","param":null,"code":400}"#,
            "bad",
        ),
        (
            r#"{"object":"error","message":{"detail":[{"loc":["body","x"],"msg":"wrong"}]},"code":"3230"}"#,
            "body.x: wrong",
        ),
        (
            r#"{"detail":[{"loc":["body","messages",0],"msg":"field required","type":"missing"}]}"#,
            "body.messages.0: field required",
        ),
        (r#"{"detail":"bad"}"#, "bad"),
        (r#"{"statusCode":400,"message":"bad"}"#, "bad"),
        (r#"{"error":"bad"}"#, "bad"),
        (r#"[{"error":{"code":400,"message":"bad","status":"INVALID_ARGUMENT"}}]"#, "bad"),
        ("bad gateway words", "bad gateway words"),
        ("", "the upstream answered 400 without a message"),
        ("<html><body>secret</body></html>", "the upstream answered 400 without a message"),
        (
            r#"{"error":{"code":400,"message":"Provider returned error","metadata":{"raw":"{\"error\":{\"message\":\"inner\"}}","provider_name":"P"}}}"#,
            "Provider returned error: inner",
        ),
        (
            r#"{"error":{"code":400,"message":"Provider returned error","metadata":{"raw":"plain words"}}}"#,
            "Provider returned error: plain words",
        ),
    ] {
        let found = read(400, body);
        assert_eq!((&*found.0, &*found.2), ("invalid_request_error", message), "{body}");
    }
}

#[test]
fn every_status_has_its_type() {
    let body = r#"{"error":{"message":"m"}}"#;
    for (status, kind) in [
        (400, "invalid_request_error"),
        (401, "authentication_error"),
        (402, "billing_error"),
        (403, "permission_error"),
        (404, "not_found_error"),
        (405, "invalid_request_error"),
        (408, "timeout_error"),
        (413, "request_too_large"),
        (422, "invalid_request_error"),
        (424, "api_error"),
        (429, "rate_limit_error"),
        (500, "api_error"),
        (502, "api_error"),
        (503, "overloaded_error"),
        (504, "timeout_error"),
        (529, "overloaded_error"),
    ] {
        let found = read(status, body);
        assert_eq!((&*found.0, found.1), (kind, status), "{status}");
    }
}

#[test]
fn codes_decide_where_the_status_is_too_coarse() {
    let coded = |code: &str| format!(r#"{{"error":{{"message":"m","code":"{code}"}}}}"#);
    assert_eq!(read(429, &coded("insufficient_quota")).0, "billing_error");
    assert_eq!(read(400, &coded("API_KEY_INVALID")).0, "authentication_error");
    assert_eq!(read(500, &coded("engine_overloaded")).0, "overloaded_error");
}

#[test]
fn a_full_context_has_the_words_that_clients_recognize() {
    for (status, body, counts) in [
        (
            400,
            "This model's maximum context length is 128000 tokens. However, your messages resulted in 128994 tokens (128242 in the messages, 752 in the functions). Please reduce the length of the messages or functions.",
            "128994 tokens > 128000 maximum",
        ),
        (
            400,
            "This model's maximum context length is 1000000 tokens. However, you requested 1276733 tokens (892733 in the messages, 384000 in the completion).",
            "1276733 tokens > 1000000 maximum",
        ),
        (
            400,
            "request (20028 tokens) exceeds the available context size (4096 tokens), try increasing it",
            "20028 tokens > 4096 maximum",
        ),
        (
            400,
            "The input token count (1196265) exceeds the maximum number of tokens allowed (1048575).",
            "1196265 tokens > 1048575 maximum",
        ),
        (
            400,
            "The input token count exceeds the maximum number of tokens allowed (1048575).",
            "more than 1048575 tokens > 1048575 maximum",
        ),
    ] {
        let found = read(status, &json!({"error": {"message": body}}).to_string());
        assert!(found.2.starts_with(&format!("prompt is too long: {counts}")), "{}", found.2);
        assert!(found.2.contains(body) && found.0 == "invalid_request_error");
    }
    let coded = r#"{"error":{"message":"Your input is too big","code":"context_length_exceeded"}}"#;
    let expected = "prompt is too long (the upstream said: Your input is too big)";
    assert_eq!(read(400, coded).2, expected);
    let other = r#"{"error":{"code":500,"message":"request (9 tokens) exceeds the available context size (4 tokens)","type":"exceed_context_size_error"}}"#;
    assert_eq!((read(500, other).1, &*read(500, other).0), (400, "invalid_request_error"));
}

#[test]
fn the_wait_is_found_in_details_and_in_words() {
    let google = r#"{"error":{"code":429,"message":"Quota","status":"RESOURCE_EXHAUSTED","details":[{"@type":"x/google.rpc.RetryInfo","retryDelay":"39s"}]}}"#;
    assert_eq!(read(429, google).3, Some(39));
    for (text, wait) in [
        ("Rate limit of 8000 per 60s exceeded. Please wait 33 seconds before retrying.", Some(33)),
        ("Try again in 7 seconds", Some(7)),
        ("Please try again in 2.5s.", Some(2)),
        ("try again in 1m", Some(60)),
        ("please wait for a miracle", None),
    ] {
        assert_eq!(read(429, &json!({"error": {"message": text}}).to_string()).3, wait, "{text}");
    }
}

#[test]
fn a_rejection_goes_to_the_client_in_an_envelope_with_its_wait() {
    let mut answer = Response::new(Bytes::from_static(
        br#"{"error":{"message":"Please wait 3 seconds","code":"insufficient_quota"}}"#,
    ));
    *answer.status_mut() = StatusCode::TOO_MANY_REQUESTS;
    let error = rejected(refusal(answer), "req_1");
    let upstream = error.upstream().unwrap();
    let answer = upstream.answer.as_ref().unwrap();
    let body: Value = serde_json::from_slice(answer.body()).unwrap();
    assert_eq!(
        body,
        json!({"type": "error", "error": {"type": "billing_error", "message": "Please wait 3 seconds"}, "request_id": "req_1"})
    );
    assert_eq!(
        (&answer.headers()["retry-after"], &answer.headers()["x-should-retry"]),
        (&HeaderValue::from_static("3"), &HeaderValue::from_static("false"))
    );
    assert_eq!(upstream.should_retry, Some(false));
}

#[test]
fn the_upstreams_own_id_of_the_request_is_in_the_envelope() {
    let mut answer = Response::new(Bytes::from_static(b"{}"));
    *answer.status_mut() = StatusCode::BAD_REQUEST;
    answer.headers_mut().insert("request-id", HeaderValue::from_static("req_up"));
    let error = rejected(refusal(answer), "req_1");
    let body: Value = serde_json::from_slice(error.answer().unwrap().body()).unwrap();
    assert_eq!(body["request_id"], "req_up");
}
