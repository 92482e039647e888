//! Golden pairs of InvokeModel's body, path and count.
use serde_json::Value;

use super::*;

const HAIKU: &str = "us.anthropic.claude-haiku-4-5-20251001-v1:0";
const OPUS: &str = "us.anthropic.claude-opus-5";

fn accepts() -> Accepts {
    Accepts::default().without_known(LACKED)
}

fn invoked(id: &str, facts: Facts, request: &Value) -> (String, Vec<String>, Option<HeaderValue>) {
    let document = Document::parse(request.to_string().into()).unwrap();
    let Invocation { document, dropped, tier } =
        rewritten(document, id, &facts, &accepts()).unwrap();
    let names = dropped.into_iter().map(|one| one.name.into_owned()).collect();
    (String::from_utf8(document.to_bytes().to_vec()).unwrap(), names, tier)
}

#[test]
fn a_small_request_loses_model_and_stream_and_gets_the_version() {
    let request = json!({"model": "m", "max_tokens": 16, "stream": true, "messages": [{"role": "user", "content": "hi"}]});
    let (body, names, tier) = invoked(HAIKU, Facts::default(), &request);
    assert_eq!(
        body,
        r#"{"max_tokens":16,"messages":[{"role":"user","content":"hi"}],"anthropic_version":"bedrock-2023-05-31"}"#
    );
    assert_eq!((names, tier), (Vec::new(), None));
}

#[test]
fn the_version_follows_the_header_only_for_newer_models() {
    let request = json!({"max_tokens": 16, "messages": []});
    for (id, header, version) in [
        (OPUS, Some("2026-10-21"), "2026-10-21"),
        (OPUS, Some("2023-06-01"), "bedrock-2023-05-31"),
        (OPUS, None, "bedrock-2023-05-31"),
        (HAIKU, Some("2026-10-21"), "bedrock-2023-05-31"),
        ("global.anthropic.claude-opus-4-6-v1", Some("2026-10-21"), "bedrock-2023-05-31"),
    ] {
        let facts = Facts { version: header.map(ToOwned::to_owned), ..Facts::default() };
        let body: Value = serde_json::from_str(&invoked(id, facts, &request).0).unwrap();
        assert_eq!(body["anthropic_version"], version, "{id} {header:?}");
    }
    let own = json!({"max_tokens": 16, "messages": [], "anthropic_version": "own", "anthropic_beta": ["mine"]});
    let facts =
        Facts { betas: Chosen { sent: vec!["x".into()], ..Chosen::default() }, ..Facts::default() };
    assert_eq!(invoked(OPUS, facts, &own).0, own.to_string());
}

#[test]
fn a_large_request_of_claude_code_is_cut_down_to_the_fields_of_bedrock() {
    let request = json!({
        "model": "m",
        "max_tokens": 32000,
        "system": [{"type": "text", "text": "s", "cache_control": {"type": "ephemeral", "scope": "global", "ttl": "1h"}}],
        "messages": [{"role": "user", "content": "hi"}],
        "tools": [{"type": "web_search_20250305", "name": "web_search"}, {"name": "own", "input_schema": {}}],
        "thinking": {"type": "adaptive"},
        "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
        "output_format": {"type": "json_schema"},
        "service_tier": "flex",
        "cache_control": {"type": "ephemeral"},
        "mcp_servers": [],
        "stream": true,
    });
    let facts = Facts {
        betas: Chosen {
            sent: vec!["context-1m-2025-08-07".into()],
            dropped: vec!["claude-code-20250219".into()],
        },
        user_profile: Some("up_1".into()),
        ..Facts::default()
    };
    let (body, names, tier) = invoked(OPUS, facts, &request);
    let expected = json!({
        "max_tokens": 32000,
        "system": [{"type": "text", "text": "s", "cache_control": {"type": "ephemeral", "ttl": "1h"}}],
        "messages": [{"role": "user", "content": "hi"}],
        "tools": [{"name": "own", "input_schema": {}}],
        "thinking": {"type": "adaptive"},
        "output_config": {"format": {"type": "json_schema"}},
        "user_profile_id": "up_1",
        "anthropic_version": "bedrock-2023-05-31",
        "anthropic_beta": ["context-1m-2025-08-07"],
    });
    assert_eq!(body, expected.to_string());
    assert_eq!(
        names,
        [
            "claude-code-20250219",
            "tool:web_search_20250305",
            "clear_thinking_20251015",
            "cache_control.scope",
            "cache_control",
            "mcp_servers"
        ]
    );
    assert_eq!(tier.unwrap(), "flex");
}

#[test]
fn the_ttl_of_a_cache_goes_for_old_models_and_a_tier_becomes_a_header() {
    let cached = json!({"messages": [], "system": [{"type": "text", "text": "s", "cache_control": {"type": "ephemeral", "ttl": "5m"}}]});
    let old = invoked("anthropic.claude-3-haiku-20240307-v1:0", Facts::default(), &cached);
    assert!(
        old.0.contains(r#""cache_control":{"type":"ephemeral"}"#) && old.1 == ["cache_control.ttl"]
    );
    assert!(invoked(HAIKU, Facts::default(), &cached).0.contains("5m"));
    for (tier, header, lost) in [
        ("auto", None, false),
        ("standard_only", Some("default"), false),
        ("reserved", Some("reserved"), false),
        ("new", None, true),
    ] {
        let (_, names, found) =
            invoked(OPUS, Facts::default(), &json!({"messages": [], "service_tier": tier}));
        assert_eq!(found.as_ref().map(|value| value.to_str().unwrap()), header, "{tier}");
        assert_eq!(names.contains(&"service_tier".to_owned()), lost, "{tier}");
    }
}

#[test]
fn unedited_parts_keep_their_bytes() {
    let raw = r#"{ "model": "m", "temperature" : 1.0e0, "messages":[ {"role":"user","content":"\u00e9"} ] }"#;
    let document = Document::parse(raw.into()).unwrap();
    let body =
        rewritten(document, OPUS, &Facts::default(), &accepts()).unwrap().document.to_bytes();
    let body = std::str::from_utf8(&body).unwrap();
    assert!(
        body.contains(
            r#""temperature" : 1.0e0, "messages":[ {"role":"user","content":"\u00e9"} ]"#
        ),
        "{body}"
    );
}

#[test]
fn a_model_is_one_segment_of_the_path() {
    let table = [
        ("anthropic.claude-haiku-4-5-20251001-v1:0", "anthropic.claude-haiku-4-5-20251001-v1:0"),
        (
            "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc123",
            "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile%2Fabc123",
        ),
        ("a;b?c#d%e é", "a;b%3Fc%23d%25e%20%C3%A9"),
        ("..a", "..a"),
    ];
    for (id, path) in table {
        assert_eq!(segment(id).unwrap(), path);
    }
    for id in ["", ".", "..", ";x", ".;x", "..;x"] {
        assert!(segment(id).is_err(), "{id}");
    }
}

#[test]
fn tokens_are_counted_for_the_fourth_generation_by_its_own_id() {
    assert_eq!(counted(HAIKU).unwrap(), "anthropic.claude-haiku-4-5-20251001-v1:0");
    assert_eq!(counted("anthropic.claude-opus-4-7").unwrap(), "anthropic.claude-opus-4-7");
    for id in [
        OPUS,
        "anthropic.claude-3-haiku-20240307-v1:0",
        "arn:aws:bedrock:us-east-1:1:application-inference-profile/x-4-x",
    ] {
        let error = counted(id).unwrap_err();
        assert_eq!((error.kind, error.status().as_u16()), (ErrorKind::NotSupported, 501), "{id}");
    }
    let document = Document::parse(r#"{"messages":[]}"#.into()).unwrap();
    let body: Value = serde_json::from_slice(&count_body(document).unwrap()).unwrap();
    let inner =
        BASE64_STANDARD.decode(body["input"]["invokeModel"]["body"].as_str().unwrap()).unwrap();
    assert_eq!(inner, br#"{"messages":[],"max_tokens":1}"#);
    assert_eq!(count_answer(br#"{"inputTokens":12}"#).unwrap(), r#"{"input_tokens":12}"#);
    assert!(count_answer(b"{}").is_err());
}
