//! `cache: "auto"`: where the breakpoint goes, and which bytes it leaves alone.
use super::three;

const MARK: &str = r#""cache_control":{"type":"ephemeral"}"#;

/// `rest` stands between the model and the messages; `!` marks where the breakpoint is expected.
async fn check(rest: &str, messages: &str) {
    let whole = |rest: &str| {
        format!(r#"{{"model":"lone","max_tokens":16, {rest} "messages" : [{messages}]}}"#)
    };
    let expected = whole(&rest.replace('!', &format!(",{MARK}")));
    for (name, gateway) in [("x-tidegate-cache", "null"), ("x-other", r#"{"cache":"auto"}"#)] {
        let three = three("").await;
        let body = whole(&rest.replace('!', ""));
        let body = super::with(&body, gateway);
        assert_eq!(three.ask(&body, &[(name, "auto")]).await.status, 200, "{rest}");
        let sent = String::from_utf8(three.ups[0].seen().remove(0).1).unwrap();
        assert_eq!(sent, expected);
    }
}

const HI: &str = r#"{"role":"user","content":"hi"}"#;

#[tokio::test]
async fn the_last_system_block_gets_it() {
    check(r#""system": [{"type":"text","text":"a"}, {"type":"text", "text":"b"!}],"#, HI).await;
    check(
        r#""tools":[{"name":"t","input_schema":{}}],"system":[{"type":"text","text":"a"!}],"#,
        HI,
    )
    .await;
    // an empty text cannot have one
    check(r#""system":[{"type":"text","text":"a"!},{"type":"text","text":""}],"#, HI).await;
}

#[tokio::test]
async fn without_a_system_the_last_tool_gets_it() {
    check(r#""tools":[{"name":"s"},{"name":"t","input_schema":{"n":1.50}!}],"#, HI).await;
    check(r#""tools":[{"name":"s"!},{"name":"t","defer_loading":true}],"system":"","#, HI).await;
    // a field of that name is no breakpoint
    let tool = r#""tools":[{"name":"t","input_schema":{"properties":{"cache_control":{}}}!}],"#;
    check(tool, HI).await;
}

#[tokio::test]
async fn a_request_with_breakpoints_or_without_static_parts_stays_unchanged() {
    check("", HI).await;
    check(r#""cache_control":{"type":"ephemeral"},"system":"a","#, HI).await;
    let marked = r#"{"role":"user","content":[{"type":"text","text":"x","cache_control":{"type":"ephemeral"}}]}"#;
    check(r#""system":"a","#, marked).await;
    check(r#""system":[{"type":"text","text":"a","cache_control":{"type":"ephemeral"}},{"type":"text","text":"b"}],"#, HI).await;
}

#[tokio::test]
async fn a_system_of_text_becomes_a_block() {
    let three = three("").await;
    let body = r#"{"model":"lone","system":"be \u00e9 \"kind\"","max_tokens":1,"messages":[]}"#;
    assert_eq!(three.ask(body, &[("x-tidegate-cache", "auto")]).await.status, 200);
    let sent = String::from_utf8(three.ups[0].seen().remove(0).1).unwrap();
    let block = format!(r#"[{{"type":"text","text":"be \u00e9 \"kind\"",{MARK}}}]"#);
    assert_eq!(sent, body.replace(r#""be \u00e9 \"kind\"""#, &block));
}
