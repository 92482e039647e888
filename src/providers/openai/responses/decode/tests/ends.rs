//! The ends of answers, and errors with a success status.
use super::made::*;
use super::*;

fn both(answer: &Value) -> Result<Value, Error> {
    let (one, other) = (whole(answer), streamed(&events(answer)));
    match (&one, &other) {
        (Ok(one), Ok(other)) => assert_eq!(one, other),
        (Err(one), Err(other)) => {
            assert_eq!((one.kind, &one.message), (other.kind, &other.message));
            assert_eq!(one.status, other.status);
        }
        _ => panic!("a stream and a whole answer differ: {one:?}, {other:?}"),
    }
    one
}

fn failed(error: Value) -> Value {
    with(response(&[]), json!({"status": "failed", "error": error, "usage": null}))
}

#[test]
fn an_incomplete_answer_says_why_and_keeps_its_usage() {
    for (reason, expected) in [
        (json!("max_output_tokens"), "max_tokens"),
        (json!("content_filter"), "refusal"),
        (json!("steered"), "end_turn"),
        (Value::Null, "end_turn"),
    ] {
        let more = json!({"status": "incomplete", "incomplete_details": {"reason": reason}});
        let found = both(&with(response(&[says(&[said("x")])]), more)).unwrap();
        assert_eq!(
            (&found["stop_reason"], &found["usage"]["output_tokens"]),
            (&json!(expected), &json!(40))
        );
    }
}

#[test]
fn half_a_call_that_the_limit_cut_stays_half() {
    let more =
        json!({"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}});
    let half = with(calls("a", "f", "{\"city\":\"Pa"), json!({"status": "incomplete"}));
    let answer = with(response(&[says(&[said("x")]), half]), more);
    assert_eq!(content(&whole(&answer).unwrap()).len(), 1);
    let text = body(&events(&answer));
    let sent = sent(&text, usize::MAX, frame()).unwrap();
    let written: Vec<Value> =
        sent.iter().map(|event| serde_json::from_slice(&event.data()).unwrap()).collect();
    let json: String =
        written.iter().filter_map(|event| event["delta"]["partial_json"].as_str()).collect();
    assert_eq!(json, "{\"city\":\"Pa");
    assert_eq!(written[written.len() - 2]["delta"]["stop_reason"], "max_tokens");
}

#[test]
fn a_failed_answer_is_an_error_with_the_right_status() {
    for (code, kind, status) in [
        ("rate_limit_exceeded", ErrorKind::RateLimit, 429),
        ("server_error", ErrorKind::Api, 500),
        ("vector_store_timeout", ErrorKind::Api, 500),
        ("invalid_prompt", ErrorKind::InvalidRequest, 400),
        ("invalid_image", ErrorKind::InvalidRequest, 400),
        ("image_too_large", ErrorKind::InvalidRequest, 400),
        ("data_residency_mismatch", ErrorKind::InvalidRequest, 400),
        ("unheard_of", ErrorKind::Api, 502),
    ] {
        let error = both(&failed(json!({"code": code, "message": "its words"}))).unwrap_err();
        assert_eq!((error.kind, error.status.unwrap().as_u16()), (kind, status), "{code}");
        assert!(error.message.contains("its words"), "{}", error.message);
    }
    let error = both(&failed(Value::Null)).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Api);
    let text = "Your input exceeds the context window of this model";
    let error =
        both(&failed(json!({"code": "context_length_exceeded", "message": text}))).unwrap_err();
    assert_eq!((error.kind, error.status.unwrap().as_u16()), (ErrorKind::InvalidRequest, 400));
}

#[test]
fn a_policy_that_stops_the_model_is_a_refusal() {
    for code in ["bio_policy", "misalignment_policy_violation"] {
        let found = both(&failed(json!({"code": code, "message": "not this"}))).unwrap();
        assert_eq!(
            (&found["stop_reason"], &found["stop_details"]["explanation"]),
            (&json!("refusal"), &json!("not this"))
        );
    }
}

#[test]
fn an_answer_that_is_not_complete_is_an_error() {
    for status in ["cancelled", "queued", "in_progress"] {
        let error = whole(&with(response(&[]), json!({"status": status}))).unwrap_err();
        assert_eq!((error.kind, error.status.unwrap().as_u16()), (ErrorKind::Api, 502));
        assert!(error.message.contains(status));
    }
}

#[test]
fn an_error_event_ends_the_stream_in_every_form() {
    let begun = events(&response(&[]))[..2].to_vec();
    let flat =
        json!({"type": "error", "code": "server_error", "message": "it fell", "param": null});
    let nested = json!({"type": "error", "error": {"type": "rate_limit_error", "code": "rate_limit_exceeded", "message": "slow down"}});
    for (event, status, words) in [(flat, 500, "it fell"), (nested, 429, "slow down")] {
        let error = streamed(&[begun.clone(), vec![event]].concat()).unwrap_err();
        assert_eq!(error.status.unwrap().as_u16(), status);
        assert!(error.message.contains(words));
    }
    for text in [
        "event: error\ndata: it fell\n\n",
        "data: {\"error\":{\"message\":\"it fell\"}}\n\n",
        "{\"error\":{\"message\":\"it fell\"}}\n\n",
    ] {
        let error = sent(text, usize::MAX, frame()).unwrap_err();
        assert!(error.message.contains("it fell"), "{text}");
    }
}

#[test]
fn a_stream_that_breaks_off_is_an_error() {
    let all = events(&response(&[says(&[said("x")])]));
    for length in 0..all.len() - 1 {
        let error = streamed(&all[..length]).unwrap_err();
        assert_eq!(error.kind, ErrorKind::BadUpstream);
    }
}

#[test]
fn an_answer_without_usage_has_an_estimate() {
    let found =
        both(&with(response(&[says(&[said("12345678")])]), json!({"usage": null}))).unwrap();
    assert_eq!(
        (&found["usage"]["input_tokens"], &found["usage"]["output_tokens"]),
        (&json!(7), &json!(2))
    );
    let odd = json!({"usage": {"input_tokens": 3, "input_tokens_details": {"cached_tokens": 9}, "output_tokens": -1.5}});
    let found = both(&with(response(&[]), odd)).unwrap();
    assert_eq!(
        (&found["usage"]["input_tokens"], &found["usage"]["output_tokens"]),
        (&json!(0), &json!(0))
    );
}

#[test]
fn a_stop_sequence_of_the_gateway_ends_the_answer() {
    let stopping = || Frame { stops: vec!["STOP".to_owned()], ..frame() };
    let answer = response(&[says(&[said("one STOP two")]), calls("a", "f", "{}")]);
    let expected = |found: &Value| {
        assert_eq!(content(found), [json!({"type": "text", "text": "one "})]);
        assert_eq!(
            (&found["stop_reason"], &found["stop_sequence"]),
            (&json!("stop_sequence"), &json!("STOP"))
        );
    };
    expected(&fold(&sent(&body(&events(&answer)), 5, stopping()).unwrap()));
    let json = answer.to_string();
    let found = decode::message(&mut Responses::default(), json.as_bytes(), stopping()).unwrap();
    expected(&message(&found));
}

#[test]
fn json_of_another_kind_is_an_error() {
    for odd in [json!({}), json!([]), json!({"Output": {}}), json!(null)] {
        let error = whole(&odd).unwrap_err();
        assert_eq!(error.kind, ErrorKind::BadUpstream, "{odd}");
    }
    let error =
        whole(&json!({"error": {"message": "no", "code": "rate_limit_exceeded"}})).unwrap_err();
    assert_eq!(error.kind, ErrorKind::RateLimit);
}
