//! The ends of answers: reasons, refusals, failures.
use super::*;

fn ended(reason: &str, parts: Value) -> Value {
    let one = whole(&last(parts.clone(), reason)).unwrap();
    let many = streamed(&[chunk(parts), last(json!([]), reason)]);
    assert_eq!(one["stop_reason"], many["stop_reason"]);
    one
}

const HELLO: &str = r#"[{"text": "Hello"}]"#;

fn hello() -> Value {
    serde_json::from_str(HELLO).unwrap()
}

#[test]
fn each_reason_has_its_stop_reason() {
    let reason = |reason: &str| ended(reason, hello())["stop_reason"].clone();
    assert_eq!(reason("STOP"), "end_turn");
    assert_eq!(reason("MAX_TOKENS"), "max_tokens");
    assert_eq!(reason("CONTINUATION"), "max_tokens");
    for other in ["OTHER", "NO_IMAGE", "IMAGE_OTHER", "FINISH_REASON_UNSPECIFIED", "TIRED"] {
        assert_eq!(reason(other), "end_turn", "{other}");
    }
    assert_eq!(ended("STOP", json!([]))["content"], json!([]));
    assert_eq!(ended("MAX_TOKENS", json!([]))["stop_reason"], "max_tokens");
}

#[test]
fn a_filter_is_a_refusal_with_the_upstreams_words() {
    for reason in [
        "SAFETY",
        "RECITATION",
        "BLOCKLIST",
        "PROHIBITED_CONTENT",
        "SPII",
        "LANGUAGE",
        "MODEL_ARMOR",
        "IMAGE_SAFETY",
        "IMAGE_PROHIBITED_CONTENT",
        "IMAGE_RECITATION",
        "ESCALATION",
        "PUP_LIMITED_DISABLED",
    ] {
        let mut body = last(hello(), reason);
        body["candidates"][0]["finishMessage"] = "words".into();
        let found = whole(&body).unwrap();
        assert_eq!(found["stop_reason"], "refusal", "{reason}");
        let details = json!({"type": "refusal", "category": null, "explanation": "words"});
        assert_eq!(found["stop_details"], details);
        assert_eq!(found["content"], json!([text("Hello")]));
    }
}

#[test]
fn a_blocked_prompt_is_a_refusal_without_content() {
    for reason in
        ["SAFETY", "OTHER", "BLOCKLIST", "PROHIBITED_CONTENT", "IMAGE_SAFETY", "JAILBREAK"]
    {
        let body = json!({
            "promptFeedback": {"blockReason": reason, "safetyRatings": []},
            "usageMetadata": {"promptTokenCount": 55, "totalTokenCount": 55},
        });
        for found in [whole(&body).unwrap(), streamed(&[body])] {
            assert_eq!((&found["content"], &found["stop_reason"]), (&json!([]), &json!("refusal")));
            let explanation = format!("the upstream blocked the prompt: {reason}");
            assert_eq!(found["stop_details"]["explanation"], explanation);
            assert_eq!(found["usage"]["input_tokens"], 55);
        }
    }
    let body =
        json!({"promptFeedback": {"blockReason": "MODEL_ARMOR", "blockReasonMessage": "words"}});
    assert_eq!(whole(&body).unwrap()["stop_details"]["explanation"], "words");
}

#[test]
fn a_malformed_call_is_an_honest_error() {
    for reason in [
        "MALFORMED_FUNCTION_CALL",
        "UNEXPECTED_TOOL_CALL",
        "TOO_MANY_TOOL_CALLS",
        "MALFORMED_RESPONSE",
    ] {
        let mut body = last(json!([]), reason);
        let default = format!("the upstream ended its answer with `{reason}`");
        assert_eq!(failure(&[body.clone()]), ("api_error", 502, default));
        body["candidates"][0]["finishMessage"] = "words".into();
        // after content too
        let found = failure(&[chunk(hello()), body.clone()]);
        assert_eq!(found, ("api_error", 502, "words".to_owned()));
        assert_eq!(whole(&body).unwrap_err().message, "words");
    }
}

#[test]
fn a_missing_signature_is_a_bad_request() {
    let (kind, status, _) = failure(&[last(json!([]), "MISSING_THOUGHT_SIGNATURE")]);
    assert_eq!((kind, status), ("invalid_request_error", 400));
}

#[test]
fn an_unknown_reason_without_content_is_an_error() {
    for reason in ["OTHER", "IMAGE_OTHER", "TIRED"] {
        for parts in [json!([]), json!([{"text": "hm", "thought": true}])] {
            assert_eq!(failure(&[last(parts.clone(), reason)]).0, "api_error", "{reason}");
            assert!(whole(&last(parts, reason)).is_err());
        }
    }
}

#[test]
fn an_answer_of_another_kind_is_an_error() {
    for body in [
        json!({}),
        json!({"usageMetadata": {}}),
        json!({"candidates": []}),
        json!({"choices": [{}]}),
    ] {
        let error = whole(&body).unwrap_err();
        assert_eq!(error.status().as_u16(), 502, "{body}");
    }
    for body in [json!([]), json!([chunk(hello())]), json!(5), json!("x")] {
        assert!(whole(&body).is_err(), "{body}");
    }
    // a single answer may leave out a reason that is unspecified
    assert_eq!(whole(&chunk(hello())).unwrap()["stop_reason"], "end_turn");
}

#[test]
fn an_error_within_a_success_has_its_type_and_its_wait() {
    let error = json!({"error": {"code": 429, "message": "busy", "status": "RESOURCE_EXHAUSTED",
        "details": [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "39s"}]}});
    for body in [error.clone(), json!([error])] {
        let found = whole(&body).unwrap_err();
        assert_eq!((found.kind.as_str(), found.status().as_u16()), ("rate_limit_error", 429));
        assert_eq!(found.upstream().unwrap().retry_after.unwrap().as_secs(), 39);
    }
    assert_eq!(failure(&[chunk(hello()), error]), ("rate_limit_error", 429, "busy".to_owned()));
}

#[test]
fn every_status_of_google_has_its_type() {
    for (code, status, kind) in [
        (400, "INVALID_ARGUMENT", "invalid_request_error"),
        (400, "FAILED_PRECONDITION", "invalid_request_error"),
        (400, "OUT_OF_RANGE", "invalid_request_error"),
        (401, "UNAUTHENTICATED", "authentication_error"),
        (403, "PERMISSION_DENIED", "permission_error"),
        (404, "NOT_FOUND", "not_found_error"),
        (429, "RESOURCE_EXHAUSTED", "rate_limit_error"),
        (499, "CANCELLED", "api_error"),
        (409, "ABORTED", "api_error"),
        (500, "INTERNAL", "api_error"),
        (500, "UNKNOWN", "api_error"),
        (503, "UNAVAILABLE", "overloaded_error"),
        (504, "DEADLINE_EXCEEDED", "timeout_error"),
    ] {
        let coded = json!({"error": {"code": code, "message": "m", "status": status}});
        assert_eq!(failure(&[coded]).0, kind, "{status}");
        let named = json!({"error": {"message": "m", "status": status}});
        assert_eq!(failure(&[named]).0, kind, "{status} without a code");
    }
}
