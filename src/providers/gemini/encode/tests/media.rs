//! Images and documents, in messages and in results.
use super::*;

fn image(source: Value) -> Value {
    json!({"type": "image", "source": source})
}

fn inline(media_type: &str, data: &str) -> Value {
    json!({"type": "base64", "media_type": media_type, "data": data})
}

fn url(url: &str) -> Value {
    json!({"type": "url", "url": url})
}

fn document(source: Value) -> Value {
    json!({"type": "document", "title": "T", "source": source})
}

/// Returns the parts of a block, and the losses.
fn parts(given: &Given, block: Value) -> (Value, Vec<String>) {
    let case = given.case(json!({"messages": [user(json!([block]))]}));
    (case.body["contents"][0]["parts"].clone(), case.dropped)
}

fn studio(block: Value) -> (Value, Vec<String>) {
    parts(&Given::new(NEW), block)
}

#[test]
fn base64_media_are_inline() {
    let expected = json!([{"inlineData": {"mimeType": "image/png", "data": "QUJD"}}]);
    assert_eq!(studio(image(inline("image/png", "QUJD"))), (expected, vec![]));
    let expected = json!([{"inlineData": {"mimeType": "application/pdf", "data": "QUJD"}}]);
    assert_eq!(studio(document(inline("application/pdf", "QUJD"))), (expected, vec![]));
}

#[test]
fn addresses_are_sent_where_the_upstream_reads_them() {
    let file =
        |kind: &str, uri: &str| (json!([{"fileData": {"mimeType": kind, "fileUri": uri}}]), vec![]);
    let (png, pdf) = ("https://x.example/a.png?s=1", "https://x.example/a");
    assert_eq!(studio(image(url(png))), file("image/png", png));
    assert_eq!(studio(document(url(pdf))), file("application/pdf", pdf));
    let (vertex, old) = (Given::vertex(NEW), Given::new(OLD));
    let bucket = "gs://bucket/a.jpg";
    assert_eq!(parts(&vertex, image(url(bucket))), file("image/jpeg", bucket));
    let own = "https://generativelanguage.googleapis.com/v1beta/files/abc";
    assert_eq!(parts(&old, document(url(own))), file("application/pdf", own));
}

#[test]
fn addresses_that_the_upstream_does_not_read_are_visible_losses() {
    let placeholder = json!([{"text": "[the gateway left out a block of type `image`]"}]);
    let lost = (placeholder, vec!["block:image".to_owned()]);
    let png = || image(url("https://x.example/a.png"));
    assert_eq!(parts(&Given::new(OLD), png()), lost);
    assert_eq!(parts(&Given::vertex(NEW), png()), lost);
    assert_eq!(studio(image(url("http://x.example/a.png"))), lost);
    assert_eq!(studio(image(url("file:///etc/a.png"))), lost);
    // the type of the media is required, and nothing says it
    assert_eq!(studio(image(url("https://x.example/a"))), lost);
}

#[test]
fn fetched_media_are_inline() {
    let media = ("image/webp".to_owned(), "QUJD".to_owned());
    let fetched = [("https://x.example/a".to_owned(), media)].into_iter().collect();
    let given = Given { fetched, ..Given::vertex(NEW) };
    let expected = json!([{"inlineData": {"mimeType": "image/webp", "data": "QUJD"}}]);
    assert_eq!(parts(&given, image(url("https://x.example/a"))), (expected, vec![]));
}

#[test]
fn documents_of_text_have_their_title_in_front() {
    let text = json!({"type": "text", "media_type": "text/plain", "data": "words"});
    assert_eq!(studio(document(text)).0, json!([{"text": "[document: T]\nwords"}]));
    let content = json!([{"type": "text", "text": "A"}, image(inline("image/png", "QUJD"))]);
    let expected = json!([
        {"text": "[document: T]\n"}, {"text": "A"}, {"inlineData": {"mimeType": "image/png", "data": "QUJD"}},
    ]);
    assert_eq!(studio(document(json!({"type": "content", "content": content}))).0, expected);
    let result = json!({"type": "search_result", "title": "T", "source": "u", "content": [{"type": "text", "text": "x"}]});
    assert_eq!(studio(result).0, json!([{"text": "[search result: T]\nu\nx"}]));
}

#[test]
fn wishes_for_citations_and_unknown_blocks_are_named() {
    let mut cited = document(inline("application/pdf", "QUJD"));
    cited["citations"] = json!({"enabled": true});
    assert_eq!(studio(cited).1, ["citations"]);
    let (shown, dropped) = studio(document(json!({"type": "file", "file_id": "f"})));
    assert_eq!(shown, json!([{"text": "[the gateway left out a block of type `document`: T]"}]));
    assert_eq!(dropped, ["block:document"]);
    let (shown, dropped) = studio(json!({"type": "container_upload", "file_id": "f"}));
    assert_eq!(
        shown,
        json!([{"text": "[the gateway left out a block of type `container_upload`]"}])
    );
    assert_eq!(dropped, ["block:container_upload"]);
}

fn result_contents(model: &'static str) -> Value {
    let content = json!([
        {"type": "text", "text": "seen"}, image(inline("image/png", "QUJD")),
        document(inline("application/pdf", "REVG")),
    ]);
    Given::new(model).contents(json!([
        user(json!("go")), assistant(json!([call("t", "f"), call("u", "g")])),
        user(json!([result("t", content), result("u", json!("two")), {"type": "text", "text": "now"}])),
    ]))
}

#[test]
fn newer_models_receive_media_within_the_response() {
    let found = result_contents(NEW);
    let expected = json!({
        "name": "f", "response": {"output": "seen"}, "id": "t", "parts": [
            {"inlineData": {"mimeType": "image/png", "data": "QUJD"}},
            {"inlineData": {"mimeType": "application/pdf", "data": "REVG"}},
        ],
    });
    assert_eq!(found[2]["parts"][0]["functionResponse"], expected);
    assert_eq!(found[2]["parts"].as_array().unwrap().len(), 3);
}

#[test]
fn older_models_receive_media_after_all_responses() {
    let found = result_contents(OLD);
    let parts = found[2]["parts"].as_array().unwrap();
    let output = "seen\n[media 1 of the result of call t follows the results]\n[media 2 of the result of call t follows the results]";
    assert_eq!(parts[0]["functionResponse"]["response"]["output"], output);
    assert_eq!(parts[1]["functionResponse"]["name"], "g");
    let expected = json!([
        {"text": "[media 1 of the result of call t]"}, {"inlineData": {"mimeType": "image/png", "data": "QUJD"}},
        {"text": "[media 2 of the result of call t]"}, {"inlineData": {"mimeType": "application/pdf", "data": "REVG"}},
        {"text": "now"},
    ]);
    assert_eq!(json!(parts[2..]), expected);
}

#[test]
fn a_result_of_an_image_alone_has_an_empty_output() {
    let found = contents(json!([
        user(json!("go")),
        assistant(json!([call("t", "f")])),
        user(json!([result("t", json!([image(inline("image/png", "QUJD"))]))])),
    ]));
    assert_eq!(found[2]["parts"][0]["functionResponse"]["response"], json!({"output": ""}));
}
