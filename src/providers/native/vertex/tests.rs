//! Golden pairs of rawPredict's body and path.
use bytes::Bytes;
use serde_json::Value;

use super::*;

fn edited(count: Option<&str>, version: Option<&str>, request: &Value) -> (String, Vec<String>) {
    let document = Document::parse(Bytes::from(request.to_string())).unwrap();
    let accepts = Accepts::default().without_known(LACKED);
    let rewrite = rewritten(document, count, version, &Chosen::default(), &accepts).unwrap();
    let names = rewrite.dropped.into_iter().map(|one| one.name.into_owned()).collect();
    (String::from_utf8(rewrite.document.to_bytes().to_vec()).unwrap(), names)
}

#[test]
fn the_model_goes_the_stream_stays_and_the_version_comes() {
    let request = json!({"model": "m", "stream": true, "max_tokens": 1, "messages": []});
    assert_eq!(
        edited(None, None, &request).0,
        r#"{"stream":true,"max_tokens":1,"messages":[],"anthropic_version":"vertex-2023-10-16"}"#
    );
    for (header, version) in [
        ("2026-10-21", "2026-10-21"),
        ("2023-06-01", "vertex-2023-10-16"),
        ("", "vertex-2023-10-16"),
    ] {
        let body: Value = serde_json::from_str(&edited(None, Some(header), &request).0).unwrap();
        assert_eq!(body["anthropic_version"], version);
    }
    let count = json!({"model": "m", "messages": []});
    assert_eq!(
        edited(Some("claude-haiku-4-5@20251001"), None, &count).0,
        r#"{"model":"claude-haiku-4-5@20251001","messages":[],"anthropic_version":"vertex-2023-10-16"}"#
    );
}

#[test]
fn parts_that_vertex_refuses_are_folded_or_left_out() {
    let request = json!({
        "messages": [],
        "output_format": {"type": "json_schema"},
        "system": [{"type": "text", "text": "s", "cache_control": {"type": "ephemeral", "scope": "global", "ttl": "1h"}}],
        "tools": [{"type": "web_search_20250305", "name": "web_search"}, {"type": "web_fetch_20250910", "name": "web_fetch"}],
        "mcp_servers": [], "container": "c", "speed": "fast", "thread": {}, "tags": {},
    });
    let (body, names) = edited(None, None, &request);
    assert_eq!(body, json!({
        "messages": [],
        "system": [{"type": "text", "text": "s", "cache_control": {"type": "ephemeral", "ttl": "1h"}}],
        "tools": [{"type": "web_search_20250305", "name": "web_search"}],
        "output_config": {"format": {"type": "json_schema"}},
        "anthropic_version": "vertex-2023-10-16",
    }).to_string());
    assert_eq!(
        names,
        [
            "tool:web_fetch_20250910",
            "cache_control.scope",
            "container",
            "mcp_servers",
            "speed",
            "thread",
            "tags"
        ]
    );
}

#[test]
fn a_model_is_one_segment_of_the_path() {
    assert_eq!(segment("claude-haiku-4-5@20251001").unwrap(), "claude-haiku-4-5@20251001");
    assert_eq!(segment("a/b;c?d:e").unwrap(), "a%2Fb%3Bc%3Fd:e");
    for name in ["", ".", ".."] {
        assert!(segment(name).is_err());
    }
}

#[test]
fn system_messages_become_marked_texts_of_the_user() {
    let request = json!({"messages": [
        {"role": "user", "content": "a"},
        {"role": "system", "content": "say \"b\""},
        {"role": "system", "content": [{"type": "text", "text": "c"}]},
    ]});
    let mut document = Document::parse(Bytes::from(request.to_string())).unwrap();
    demote_system(&mut document).unwrap();
    let found: Value = serde_json::from_slice(&document.to_bytes()).unwrap();
    assert_eq!(
        found,
        json!({"messages": [
            {"role": "user", "content": "a"},
            {"role": "user", "content": "<system>say \"b\"</system>"},
            {"role": "user", "content": [{"type": "text", "text": "<system>"}, {"type": "text", "text": "c"}, {"type": "text", "text": "</system>"}]},
        ]})
    );
}
