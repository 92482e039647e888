//! Wrong wishes: a 400 that names the field, what was found and what would do.
use super::{three, with};
use crate::support::{MESSAGE, logs};

#[tokio::test]
async fn an_invalid_gateway_field_is_rejected_with_the_expected_value() {
    let three = three("").await;
    let long = format!("{{\"session_id\":\"{}\"}}", "x".repeat(257));
    let table = [
        ("7", "`gateway` is a number: it must be an object"),
        (r#"{"oder":["a"]}"#, "`gateway.oder` is no field of `gateway`; did you mean `order`?"),
        (
            r#"{"only":["a"],"only":["b"]}"#,
            "`only` occurs twice in the same object: remove one of them",
        ),
        (r#"{"session_id":7}"#, "`gateway.session_id` is 7: it must be a string"),
        (&long, "`gateway.session_id` has 257 characters: it must have from 1 to 256"),
        (r#"{"tags":["x"]}"#, "`gateway.tags` is an array: it must be an object of strings"),
        (r#"{"tags":{"team":1}}"#, "`gateway.tags.team` is 1: it must be a string"),
        (
            r#"{"strictness":"hard"}"#,
            "`gateway.strictness` is `hard`: it must be `off`, `warn` or `error`",
        ),
        (r#"{"order":"a"}"#, "`gateway.order` is `a`: it must be a list of names"),
        (r#"{"order":["a",7]}"#, "`gateway.order[1]` is 7: it must be a name"),
        (
            r#"{"order":["a","azure"]}"#,
            "`gateway.order[1]`: no target of `m` is named `azure`; there are `a`, `a/ma`, `b`, `b/m`, `c`, `c/x/y`",
        ),
        (
            r#"{"only":["a/mb"],"models":["lone"]}"#,
            "`gateway.only[0]`: no target of `m` or `lone` is named `a/mb`; there are `a`, `a/lone`, `a/ma`, `b`, `b/m`, `c`, `c/x/y`",
        ),
        (r#"{"only":[]}"#, "`gateway.only` is an empty list: name a target, or leave it out"),
        (
            r#"{"models":["nope"]}"#,
            "`gateway.models[0]`: no model is named `nope` here: `GET /v1/models` lists those that are",
        ),
        (
            r#"{"timeout_ms":0}"#,
            "`gateway.timeout_ms` is 0: it must be a whole number of milliseconds, 1 or more",
        ),
        (
            r#"{"timeout_ms":"1s"}"#,
            "`gateway.timeout_ms` is `1s`: it must be a whole number of milliseconds, 1 or more",
        ),
        (r#"{"cache":true}"#, "`gateway.cache` is true: it must be `auto`"),
        (
            r#"{"debug":true}"#,
            "`gateway.debug` is true: it must be an object like `{\"trace\": true}`",
        ),
        (
            r#"{"debug":{"trase":true}}"#,
            "`gateway.debug.trase` is no field of `gateway.debug`; did you mean `trace`?",
        ),
        (r#"{"debug":{"trace":1}}"#, "`gateway.debug.trace` is 1: it must be `true` or `false`"),
    ];
    for (wish, expected) in table {
        let answer = three.ask(&with(MESSAGE, wish), &[]).await;
        assert_eq!(answer.refusal(400, "invalid_request_error"), expected);
    }
    assert_eq!(three.counts(), [0, 0, 0]);
}

#[tokio::test]
async fn a_wrong_header_is_named_too() {
    let three = three("").await;
    let table = [
        ("order", "b,azure", "`x-tidegate-order[1]`: no target of `m` is named `azure`; there are"),
        ("timeout-ms", "soon", "`x-tidegate-timeout-ms` is `soon`: it must be a whole number"),
        ("strictness", "hard", "`x-tidegate-strictness` is `hard`: it must be"),
        ("tags", "team", "`x-tidegate-tags` is `team`: it must be pairs like `team=search`"),
        ("cache", "on", "`x-tidegate-cache` is `on`: it must be `auto`"),
        ("debug", "all", "`x-tidegate-debug` is `all`: it must be `trace`"),
        ("models", "nope", "`x-tidegate-models[0]`: no model is named `nope` here"),
    ];
    for (name, value, expected) in table {
        let answer = three.ask(MESSAGE, &[(&format!("x-tidegate-{name}"), value)]).await;
        let message = answer.refusal(400, "invalid_request_error");
        assert!(message.starts_with(expected), "{message}");
    }
    let answer = three.ask(MESSAGE, &[("x-aistats-strictness", "hard")]).await;
    let message = answer.refusal(400, "invalid_request_error");
    assert!(message.starts_with("`x-aistats-strictness` is `hard`"), "{message}");
}

#[tokio::test]
async fn empty_headers_and_null_members_ask_for_nothing() {
    let three = three("").await;
    let wish = r#"{"order":null,"timeout_ms":null,"debug":null,"strictness":null}"#;
    let headers = [("x-tidegate-only", ""), ("x-tidegate-cache", " "), ("x-tidegate-new", "?")];
    assert_eq!(three.ask(&with(MESSAGE, wish), &headers).await.status, 200);
    assert_eq!(three.ups[0].seen()[0].1, MESSAGE.replace("\"m\"", "\"ma\"").into_bytes());
}

#[tokio::test]
async fn the_body_wins_over_headers() {
    let three = three("").await;
    let answer = three.ask(&with(MESSAGE, r#"{"only":["b"]}"#), &[("x-tidegate-only", "c")]).await;
    assert_eq!(super::target(&answer), "b/m");
}

#[tokio::test]
async fn a_fallback_must_be_allowed_to_the_caller() {
    let three = three("").await;
    let body = with(MESSAGE, r#"{"models":["lone","spare"]}"#);
    let message = three.ask_as("few", &body, &[]).await.refusal(403, "permission_error");
    assert!(
        message.starts_with("`gateway.models[1]`: the key `few` may not use the model `spare`")
    );
    assert_eq!(three.counts(), [0, 0, 0]);
    let body = with(MESSAGE, r#"{"models":["lone"]}"#);
    assert_eq!(three.ask_as("few", &body, &[]).await.status, 200);
}

#[tokio::test]
async fn strictness_and_tags_are_taken() {
    let three = three("").await;
    for value in ["off", "warn", "error"] {
        let wish = format!("{{\"strictness\":\"{value}\",\"tags\":{{\"team\":\"x\"}}}}");
        assert_eq!(three.ask_as("few", &with(MESSAGE, &wish), &[]).await.status, 200);
        let headers = [("x-aistats-strictness", value), ("x-tidegate-tags", "team=x, b=c")];
        assert_eq!(three.ask(MESSAGE, &headers).await.status, 200);
    }
}

#[tokio::test]
async fn the_log_names_the_invalid_field_and_never_the_callers_value() {
    logs::start();
    let three = three("").await;
    let table = [
        (r#"{"timeout_ms":"jane@x.org"}"#, "`gateway.timeout_ms`, or its header, is wrong"),
        (r#"{"jane@x.org":1}"#, "`gateway` has a member that is not known"),
        (r#"{"tags":{"jane@x.org":1}}"#, "`gateway.tags`, or its header, is wrong"),
        (r#"{"order":["jane@x.org"]}"#, "`gateway.order[0]`: no target has this name"),
        (r#"{"models":["jane@x.org"]}"#, "`gateway.models[0]`: there is no such model"),
    ];
    for (wish, expected) in table {
        let answer = three.ask(&with(MESSAGE, wish), &[]).await;
        assert!(answer.text().contains("jane@x.org"), "{}", answer.text());
        let line = logs::line("request_id", answer.header("request-id").unwrap()).await;
        assert_eq!(line["error"], expected);
        assert!(!line.to_string().contains("jane"), "{line}");
    }
    let answer = three.ask(MESSAGE, &[("x-tidegate-tags", "jane@x.org")]).await;
    let line = logs::line("request_id", answer.header("request-id").unwrap()).await;
    assert_eq!(line["error"], "`x-tidegate-tags` is wrong");
    let answer = three.ask_as("few", &with(MESSAGE, r#"{"models":["spare-jane"]}"#), &[]).await;
    let line = logs::line("request_id", answer.header("request-id").unwrap()).await;
    assert_eq!(line["error"], "`gateway.models[0]`: the key may not use this model");
}
