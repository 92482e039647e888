//! URLs of images and documents that a translated upstream does not read: the gateway fetches them through the egress
//! guard, once for all attempts of an exchange.
mod counts;
mod doors;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use crate::support::client::{Answer, Ask};
use crate::support::gateway::{Builder, Gateway};
use crate::support::logs;
use crate::support::upstream::{self, Auto, Behaviour, Call, Upstream};

const LOOPBACK: &str = "egress: { allow_private: [\"127.0.0.0/8\"], media_hosts: [\"*:*\"] }";
const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01";
const PDF: &[u8] = b"%PDF-1.7\n1 0 obj\n";

const CHAT: &str = r#"{"choices":[{"index":0,"message":{"role":"assistant","content":"seen"},"finish_reason":"stop"}]}"#;
const CHAT_EVENT: &str =
    r#"{"choices":[{"index":0,"delta":{"content":"seen"},"finish_reason":"stop"}]}"#;
const RESPONSE: &str = r#"{"id":"resp_1","object":"response","status":"completed","output":[{"type":"message","role":"assistant","content":[{"type":"output_text","text":"seen","annotations":[]}]}]}"#;
const GEMINI: &str = r#"{"candidates":[{"content":{"role":"model","parts":[{"text":"seen"}]},"finishReason":"STOP","index":0}]}"#;

/// A server of files. Each path has its own behaviour.
async fn files() -> Auto {
    Upstream::by(|call: &Call| match call.head.target().split('?').next().unwrap() {
        "/image" => file("image/png", PNG),
        "/vague" => file("application/octet-stream", PNG),
        "/pdf" => file("application/pdf", PDF),
        "/text" => file("text/plain; charset=iso-8859-1", b"caf\xe9"),
        "/page" => file("text/html", b"<html>log in</html>"),
        "/liar" => file("image/png", b"<html>log in</html>"),
        "/large" => file("image/png", &[PNG, &vec![0; 200_000]].concat()),
        "/away" => redirect("http://127.0.0.1:1/image"),
        "/inside" => redirect("http://10.0.0.1/image"),
        "/again" => redirect("/image"),
        "/slow" => Behaviour::Silence,
        "/broken" => Behaviour::Close(b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\nab".to_vec()),
        _ => Behaviour::Answer(upstream::answer(404, "", "no such file")),
    })
    .await
}

fn file(content_type: &str, body: &[u8]) -> Behaviour {
    let head = format!("content-type: {content_type}\r\n");
    Behaviour::Answer(upstream::answer(200, &head, body))
}

fn redirect(to: &str) -> Behaviour {
    Behaviour::Answer(upstream::answer(302, &format!("location: {to}\r\n"), ""))
}

/// The dialects of translated upstreams, each with a config that reads no URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dialect {
    Chat,
    Responses,
    Gemini,
}

const DIALECTS: [Dialect; 3] = [Dialect::Chat, Dialect::Responses, Dialect::Gemini];

impl Dialect {
    fn config(self, up: &Auto) -> String {
        let address = up.address;
        match self {
            Self::Chat => format!(
                "{{ type: openai, base_url: \"http://{address}/v1\", api: chat, profile: {{ images: inline, pdf: inline }} }}"
            ),
            Self::Responses => format!(
                "{{ type: openai, base_url: \"http://{address}/v1\", api: responses, profile: {{ images: inline, pdf: inline }} }}"
            ),
            Self::Gemini => {
                format!("{{ type: gemini, api_key: k, base_url: \"http://{address}/v1beta\" }}")
            }
        }
    }

    /// Returns the content of a file in the place where the dialect has it.
    fn inline(self, media_type: &str, body: &[u8]) -> String {
        let data = BASE64_STANDARD.encode(body);
        match self {
            Self::Chat | Self::Responses => format!("\"data:{media_type};base64,{data}\""),
            Self::Gemini => format!("{{\"mimeType\":\"{media_type}\",\"data\":\"{data}\"}}"),
        }
    }
}

/// An upstream that answers in every dialect.
async fn model() -> Auto {
    Upstream::by(|call: &Call| Behaviour::Answer(answer(call))).await
}

fn answer(call: &Call) -> Vec<u8> {
    let target = call.head.target();
    let events = |event: &str, end: &str| {
        let body = format!("data: {event}\n\n{end}");
        upstream::answer(200, "content-type: text/event-stream\r\n", body)
    };
    match () {
        () if target.contains(":streamGenerateContent") => events(GEMINI, ""),
        () if target.contains(":countTokens") => upstream::json(200, r#"{"totalTokens":9}"#),
        () if target.contains(":generateContent") => upstream::json(200, GEMINI),
        () if target.ends_with("/responses") && call.json()["stream"] == true => {
            let event = json!({"type": "response.completed", "response": serde_json::from_str::<Value>(RESPONSE).unwrap()});
            events(&event.to_string(), "")
        }
        () if target.ends_with("/responses") => upstream::json(200, RESPONSE),
        () if call.json()["stream"] == true => events(CHAT_EVENT, "data: [DONE]\n\n"),
        () => upstream::json(200, CHAT),
    }
}

fn builder(dialect: Dialect, up: &Auto) -> Builder {
    Gateway::with().provider("up", &dialect.config(up))
}

async fn gateway(dialect: Dialect, up: &Auto) -> Gateway {
    builder(dialect, up).config(LOOPBACK).start().await
}

fn block(kind: &str, url: &str) -> Value {
    json!({"type": kind, "source": {"type": "url", "url": url}})
}

fn message(blocks: &[Value]) -> Value {
    json!({"model": "m-1", "max_tokens": 16, "messages": [{"role": "user", "content": blocks}]})
}

async fn send(gateway: &Gateway, body: &Value) -> Answer {
    Ask::message(body.to_string()).send(gateway.address).await
}

fn url(files: &Auto, path: &str) -> String {
    format!("http://{}{path}", files.address)
}

#[tokio::test]
async fn images_documents_and_texts_reach_every_dialect_as_their_content() {
    let files = files().await;
    for dialect in DIALECTS {
        let up = model().await;
        let gateway = gateway(dialect, &up).await;
        // the end of the URL tells Responses that this is no PDF document
        let text = match dialect {
            Dialect::Responses => None,
            Dialect::Chat | Dialect::Gemini => Some(block("document", &url(&files, "/text"))),
        };
        let pdf = match dialect {
            Dialect::Responses => url(&files, "/pdf"),
            Dialect::Chat | Dialect::Gemini => url(&files, "/pdf?signature=hidden"),
        };
        let mut blocks = vec![
            block("image", &url(&files, "/image")),
            block("image", &url(&files, "/vague")),
            block("document", &pdf),
        ];
        blocks.extend(text);
        for stream in [false, true] {
            let mut body = message(&blocks);
            body["stream"] = stream.into();
            let answer = send(&gateway, &body).await;
            assert_eq!(answer.status, 200, "{dialect:?}: {}", answer.text());
            assert!(answer.text().contains("seen"), "{dialect:?}: {}", answer.text());
            assert_eq!(answer.header("x-tidegate-dropped"), None, "{dialect:?}");
            let sent = String::from_utf8(up.bodies().last().unwrap().to_vec()).unwrap();
            assert_eq!(sent.matches(&dialect.inline("image/png", PNG)).count(), 2, "{sent}");
            check_documents(dialect, &sent, &pdf);
        }
    }
}

/// Checks that the PDF document and the text are in a body.
fn check_documents(dialect: Dialect, sent: &str, pdf: &str) {
    match dialect {
        // this API reads PDF documents from their URL
        Dialect::Responses => assert!(sent.contains(&format!("\"file_url\":\"{pdf}\""))),
        Dialect::Chat | Dialect::Gemini => {
            assert!(sent.contains(&dialect.inline("application/pdf", PDF)), "{sent}");
            assert!(sent.contains("café"), "{sent}");
        }
    }
}

#[tokio::test]
async fn media_in_the_results_of_tools_are_fetched_as_well() {
    let files = files().await;
    for dialect in DIALECTS {
        let up = model().await;
        let gateway = gateway(dialect, &up).await;
        let text = url(&files, "/text");
        let result = json!([block("image", &url(&files, "/image")), block("document", &text)]);
        let mut body = message(&[json!({"type": "text", "text": "go"})]);
        body["messages"].as_array_mut().unwrap().extend([
            json!({"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "f", "input": {"url": "x"}}]}),
            json!({"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": result}]}),
        ]);
        let answer = send(&gateway, &body).await;
        assert_eq!((answer.status, answer.header("x-tidegate-dropped")), (200, None));
        let sent = String::from_utf8(up.bodies()[0].to_vec()).unwrap();
        assert!(sent.contains(&dialect.inline("image/png", PNG)), "{sent}");
        let is_address = sent.contains(&format!("\"file_url\":\"{text}\""));
        assert_eq!(is_address, dialect == Dialect::Responses);
        assert!(is_address || sent.contains("café"), "{sent}");
    }
}

#[tokio::test]
async fn a_url_that_cannot_be_used_is_a_visible_line_with_the_reason() {
    let files = files().await;
    let up = model().await;
    let config = format!("{LOOPBACK}\nserver: {{ max_body_bytes: 100000 }}");
    let gateway = builder(Dialect::Chat, &up).config(config).start().await;
    for (kind, url, reason) in [
        ("image", url(&files, "/none"), "the server answered 404"),
        ("image", url(&files, "/page"), "the type of the content is `text/html`"),
        ("document", url(&files, "/page"), "the type of the content is `text/html`"),
        ("image", url(&files, "/liar"), "the type of the content is `image/png`"),
        ("image", url(&files, "/large"), "the content is larger than"),
        ("image", url(&files, "/away"), "cannot connect to `127.0.0.1` on port 1"),
        ("image", url(&files, "/inside"), "`10.0.0.1` is not on the public internet"),
        ("image", url(&files, "/broken"), "the response ended early"),
        ("image", url(&files, "/pdf"), "the content is a PDF document"),
        ("document", url(&files, "/image"), "the content is an image of type `image/png`"),
        ("image", "ftp://example.com/x".to_owned(), "`ftp:` is not fetched"),
        ("image", "http://u:hidden@127.0.0.1/x".to_owned(), "user and password may not be in"),
        ("image", "data:image/png;base64,!".to_owned(), "the `data:` URL is malformed"),
    ] {
        let answer = send(&gateway, &message(&[block(kind, &url)])).await;
        assert_eq!(answer.status, 200, "{url}: {}", answer.text());
        let name = format!("block:{kind}");
        assert_eq!(answer.header("x-tidegate-dropped"), Some(&*name), "{url}");
        let sent = up.requests().pop().unwrap()["messages"][0]["content"].clone();
        let begin = format!("[the gateway left out a block of type `{kind}`: ");
        let sent = sent.as_str().unwrap();
        assert!(sent.starts_with(&begin) && sent.contains(reason), "{url}: {sent}");
        assert!(!sent.contains("hidden"), "{sent}");
    }
}

#[tokio::test]
async fn a_redirect_to_an_allowed_address_is_followed_and_a_data_url_needs_no_fetch() {
    let (files, up) = (files().await, model().await);
    let gateway = gateway(Dialect::Chat, &up).await;
    let data = format!("data:image/png;base64,{}", BASE64_STANDARD.encode(PNG));
    let blocks = [block("image", &url(&files, "/again")), block("image", &data)];
    assert_eq!(send(&gateway, &message(&blocks)).await.header("x-tidegate-dropped"), None);
    let sent = String::from_utf8(up.bodies()[0].to_vec()).unwrap();
    assert_eq!(sent.matches(&Dialect::Chat.inline("image/png", PNG)).count(), 2);
    assert_eq!(files.count(), 2);
}

#[tokio::test]
async fn the_config_chooses_the_hosts_of_media() {
    let (files, up) = (files().await, model().await);
    let private = "`egress.allow_private`, and its host in `egress.media_hosts`";
    for (config, reason) in [
        ("{}", private),
        // a block that is open for plugins is not open for every caller's URLs
        ("{ allow_private: [\"127.0.0.0/8\"] }", private),
        ("{ media_hosts: [\"*:*\"] }", private),
        (
            "{ allow_private: [\"127.0.0.0/8\"], media_hosts: [\"example.com\"] }",
            "is not granted in `egress.media_hosts`",
        ),
        ("{ allow_private: [\"127.0.0.0/8\"], media_hosts: [] }", "the gateway fetches none"),
    ] {
        let config = format!("egress: {config}");
        let gateway = builder(Dialect::Chat, &up).config(config).start().await;
        let answer = send(&gateway, &message(&[block("image", &url(&files, "/image"))])).await;
        assert_eq!(answer.header("x-tidegate-dropped"), Some("block:image"));
        let sent = up.requests().pop().unwrap()["messages"][0]["content"].clone();
        assert!(sent.as_str().unwrap().contains(reason), "{sent}");
    }
    assert_eq!(files.count(), 0);
    let config = "egress: { allow_private: [\"127.0.0.0/8\"], media_hosts: [\"127.0.0.1:*\"] }";
    let gateway = builder(Dialect::Chat, &up).config(config).start().await;
    let answer = send(&gateway, &message(&[block("image", &url(&files, "/image"))])).await;
    assert_eq!((answer.header("x-tidegate-dropped"), files.count()), (None, 1));
}

#[tokio::test]
async fn a_slow_server_takes_a_part_of_the_time_of_the_attempt() {
    let (files, up) = (files().await, model().await);
    let gateway = gateway(Dialect::Chat, &up).await;
    let body = message(&[block("image", &url(&files, "/slow"))]);
    let ask = Ask::message(body.to_string()).header("x-tidegate-attempt-timeout-ms", "4000");
    let answer = ask.send(gateway.address).await;
    assert_eq!((answer.status, answer.header("x-tidegate-dropped")), (200, Some("block:image")));
    let sent = up.requests()[0]["messages"][0]["content"].clone();
    let sent = sent.as_str().unwrap();
    assert!(sent.contains("no whole answer within"), "{sent}");
}

#[tokio::test]
async fn one_url_is_fetched_once_for_all_blocks_attempts_and_targets() {
    let files = files().await;
    let failing = Upstream::always(Behaviour::Answer(upstream::json(500, "{}"))).await;
    let up = model().await;
    let gateway = Gateway::with()
        .provider("one", &Dialect::Chat.config(&failing))
        .provider("two", &Dialect::Gemini.config(&up))
        .model("m-1", "{ targets: [{ provider: one }, { provider: two }], retry: { attempts: 1, backoff: 1ms } }")
        .config(LOOPBACK)
        .start()
        .await;
    let image = url(&files, "/image");
    let missing = block("document", &url(&files, "/none"));
    let body = message(&[block("image", &image), block("image", &image), missing]);
    let answer = send(&gateway, &body).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.header("x-tidegate-dropped"), Some("block:document"));
    assert_eq!((failing.count(), up.count(), files.count()), (2, 1, 2));
    let sent = String::from_utf8(up.bodies()[0].to_vec()).unwrap();
    assert_eq!(sent.matches(&Dialect::Gemini.inline("image/png", PNG)).count(), 2);
    // another request fetches again
    send(&gateway, &message(&[block("image", &image)])).await;
    assert_eq!(files.count(), 3);
}

#[tokio::test]
async fn under_error_a_url_without_content_passes_the_target_over_with_field_and_reason() {
    let files = files().await;
    let reading = model().await;
    let up = model().await;
    let fetching = Dialect::Chat.config(&up);
    let strict = |gateway: &Gateway, path: &str| {
        let body =
            message(&[json!({"type": "text", "text": "?"}), block("image", &url(&files, path))]);
        let ask = Ask::message(body.to_string()).header("x-tidegate-strictness", "error");
        ask.send(gateway.address)
    };
    let gateway = Gateway::with()
        .plugin("strictness")
        .provider("up", &fetching)
        .model("m-1", "{ provider: up, model: up-1 }")
        .config(LOOPBACK)
        .start()
        .await;
    assert_eq!(strict(&gateway, "/image").await.status, 200);
    let message = strict(&gateway, "/none?key=hidden").await.refusal(400, "invalid_request_error");
    let expected = "up/up-1 needs `messages.0.content.1.source.url`: the server answered 404";
    assert!(message.contains(expected), "{message}");
    assert_eq!(up.count(), 1);
    // a target that reads the URL itself comes next
    let reads =
        format!("{{ type: openai, base_url: \"http://{}/v1\", api: chat }}", reading.address);
    let gateway = Gateway::with()
        .plugin("strictness")
        .provider("up", &fetching)
        .provider("reads", &reads)
        .model("m-1", "{ targets: [{ provider: up }, { provider: reads }] }")
        .config(LOOPBACK)
        .start()
        .await;
    let answer = strict(&gateway, "/none").await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let sent = reading.requests().remove(0);
    let image = &sent["messages"][0]["content"][1]["image_url"]["url"];
    assert_eq!(image, &json!(url(&files, "/none")));
}

#[tokio::test]
async fn no_url_is_in_the_log() {
    logs::start();
    let (files, up) = (files().await, model().await);
    let gateway = gateway(Dialect::Chat, &up).await;
    for path in ["/image?token=hidden-1", "/none?token=hidden-2", "/page?token=hidden-3"] {
        send(&gateway, &message(&[block("image", &url(&files, path))])).await;
    }
    let answer = send(&gateway, &json!({"model": "m-1", "media": "last"})).await;
    assert_eq!(answer.status, 400);
    logs::line("request_id", answer.header("request-id").unwrap()).await;
    assert!(!logs::has("hidden-"));
}
