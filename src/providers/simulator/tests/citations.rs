//! The citations of the simulator, and the ones that it rejects like the real API.
use super::*;

fn result(source: &str, enabled: bool) -> Value {
    json!({
        "type": "search_result", "source": source, "title": "Tides",
        "content": [{"type": "text", "text": "Twice a day."}], "citations": {"enabled": enabled},
    })
}

fn document(enabled: bool) -> Value {
    json!({
        "type": "document", "title": "D", "citations": {"enabled": enabled},
        "source": {"type": "text", "media_type": "text/plain", "data": "Höher als je"},
    })
}

fn asked(blocks: &[Value], text: &str) -> Value {
    let mut content = blocks.to_vec();
    content.push(json!({"type": "text", "text": text}));
    json!({
        "model": "sim-1", "max_tokens": 1000, "messages": [{"role": "user", "content": content}],
    })
}

#[tokio::test]
async fn each_source_is_cited_by_its_place_in_the_request() {
    let sources = [document(true), result("a", true), result("b", true)];
    let message = both(&asked(&sources, "[sim: say well] [sim: cite]")).await;
    assert_eq!(texts(&message)[0], "well");
    let told = |n: usize| message["content"][n]["citations"][0].clone();
    assert_eq!(
        told(2),
        json!({
            "type": "search_result_location", "cited_text": "Twice a day.", "source": "b", "title": "Tides",
            "search_result_index": 1, "start_block_index": 0, "end_block_index": 1,
        })
    );
    assert_eq!(
        told(3),
        json!({
            "type": "char_location", "cited_text": "Höher als je", "document_index": 0,
            "document_title": "D", "start_char_index": 0, "end_char_index": 12,
        })
    );
    let message = both(&asked(&sources, "[sim: say well] [sim: cite 3]")).await;
    assert_eq!(texts(&message), ["well", "Source 3 says so."]);
    let message = both(&asked(&[result("a", false)], "[sim: say well] [sim: cite]")).await;
    assert_eq!(texts(&message), ["well", "There is no such source that I could cite."]);
}

#[tokio::test]
async fn citations_must_fit_the_request() {
    let mut bare = result("a", true);
    bare["content"] = json!([]);
    let mut formatted = asked(&[result("a", true)], "hi");
    formatted["output_config"] =
        json!({"format": {"type": "json_schema", "schema": {"type": "object"}}});
    let said = |citation: Value| {
        let mut body = asked(&[result("a", true)], "hi");
        let messages = body["messages"].as_array_mut().unwrap();
        let text = json!([{"type": "text", "text": "x", "citations": [citation]}]);
        messages.push(json!({"role": "assistant", "content": text}));
        messages.push(json!({"role": "user", "content": "and?"}));
        body
    };
    let at = |n: usize, source: &str| json!({"type": "search_result_location", "search_result_index": n, "source": source});
    both(&said(at(0, "a"))).await;
    for (body, expect) in [
        (asked(&[result("a", true), result("b", false)], "hi"), "or on none"),
        (asked(&[result("a", true), document(false)], "hi"), "or on none"),
        (asked(&[result("", true)], "hi"), "search_result.source"),
        (asked(&[bare], "hi"), "search_result.content"),
        (formatted, "output_config.format"),
        (said(at(1, "a")), "no search result of the request"),
        (said(at(0, "b")), "no search result of the request"),
        (said(json!({"type": "char_location", "document_index": 0})), "no document of the request"),
        (
            said(json!({"type": "web_search_result_location", "encrypted_index": "tidegate.x"})),
            "Invalid `encrypted_index`",
        ),
    ] {
        let (status, error) = refused(&body).await;
        let message = error["error"]["message"].as_str().unwrap();
        assert!(status == 400 && message.contains(expect), "`{message}` does not say `{expect}`");
    }
}
