//! Images and documents, in messages and in results.
use super::*;
use crate::net::egress::media::{Media, Outcome};

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
    let line = "[the gateway left out a block of type `image`: the upstream does not read this URL, and the gateway fetches none]";
    let visible = json!([{"text": line}]);
    let lost = (visible, vec!["block:image".to_owned()]);
    let png = || image(url("https://x.example/a.png"));
    assert_eq!(parts(&Given::new(OLD), png()), lost);
    assert_eq!(parts(&Given::vertex(NEW), png()), lost);
    assert_eq!(studio(image(url("http://x.example/a.png"))), lost);
    assert_eq!(studio(image(url("file:///etc/a.png"))), lost);
    // the type of the media is required, and nothing says it
    assert_eq!(studio(image(url("https://x.example/a"))), lost);
}

/// Returns the parts and the losses of a block with this URL and its outcome, at Vertex AI.
fn fetched(block: fn(Value) -> Value, outcome: Outcome) -> (Value, Vec<String>) {
    let fetched = [("https://x.example/a".to_owned(), outcome)].into_iter().collect();
    let given = Given { fetched, ..Given::vertex(NEW) };
    parts(&given, block(url("https://x.example/a")))
}

#[test]
fn fetched_media_are_inline() {
    for media_type in ["image/webp", "image/heic"] {
        let media = Media::Image { media_type, data: "QUJD".to_owned() };
        let expected = json!([{"inlineData": {"mimeType": media_type, "data": "QUJD"}}]);
        assert_eq!(fetched(image, Ok(media)), (expected, vec![]));
    }
    let expected = json!([{"inlineData": {"mimeType": "application/pdf", "data": "UERG"}}]);
    assert_eq!(fetched(document, Ok(Media::Pdf("UERG".to_owned()))), (expected, vec![]));
    let expected = json!([{"text": "[document: T]\nwords"}]);
    assert_eq!(fetched(document, Ok(Media::Text("words".to_owned()))), (expected, vec![]));
}

#[test]
fn a_url_without_usable_content_is_a_visible_loss_with_its_reason() {
    let (shown, lost) = fetched(image, Err("the server answered 404".to_owned()));
    let line = "[the gateway left out a block of type `image`: the server answered 404]";
    assert_eq!((shown, lost), (json!([{"text": line}]), vec!["block:image".to_owned()]));
    let (shown, lost) =
        fetched(document, Ok(Media::Image { media_type: "image/png", data: "QQ==".to_owned() }));
    assert!(shown.to_string().contains("expects a PDF document or a text"), "{shown}");
    assert_eq!(lost, ["block:document"]);
}

#[test]
fn only_urls_that_the_upstream_does_not_read_are_missing() {
    let missing = |given: &Given, block: Value| -> Vec<String> {
        given.case(json!({"messages": [user(json!([block]))]})).encoded.missing
    };
    let png = "https://x.example/a.png";
    assert_eq!(missing(&Given::new(NEW), image(url(png))), [""; 0]);
    assert_eq!(missing(&Given::vertex(NEW), image(url(png))), [png]);
    // the address does not tell the type, or tells that it is a text
    for (block, address) in [
        (image as fn(Value) -> Value, "https://x.example/a"),
        (document, "https://x.example/a.txt"),
        (document, "data:application/pdf;base64,UERG"),
    ] {
        assert_eq!(missing(&Given::new(NEW), block(url(address))), [address]);
    }
    let results = json!({"messages": [
        user(json!("go")), assistant(json!([call("t", "f")])),
        user(json!([result("t", json!([image(url(png)), document(url(png))]))])),
    ]});
    assert_eq!(Given::vertex(NEW).case(results).encoded.missing, [png, png]);
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
