//! Routes that the gateway does not know go to the provider that `passthrough:` names.
use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::support::client::{Ask, Incoming, send_bytes};
use crate::support::gateway::{Gateway, to};
use crate::support::head::Inlet;
use crate::support::upstream::{self, Behaviour, Upstream};
use crate::support::within;

async fn gateway(upstream: std::net::SocketAddr) -> Gateway {
    Gateway::with().upstream(upstream).config("passthrough: up").start().await
}

#[tokio::test]
async fn an_unknown_route_is_forwarded_as_it_is() {
    let headers = "content-type: application/x-jsonl\r\nx-any: 1\r\nset-cookie: a=b\r\nconnection: keep-alive, x-hop\r\nx-hop: 1\r\n";
    let up = Upstream::always(Behaviour::Answer(upstream::answer(201, headers, "{}\n{}\n"))).await;
    let gateway = gateway(up.address).await;
    for (method, target) in [
        ("GET", "/v1/files/f_1/content?x=1&y"),
        ("DELETE", "/v1/files/f_1"),
        ("POST", "/v1/messages/batches"),
        ("PUT", "/v1/skills/%20a%2Fb"),
    ] {
        let ask = Ask::new(method, target);
        let answer = ask
            .header("anthropic-beta", "files")
            .header("x-api-key", "mine")
            .send(gateway.address)
            .await;
        assert_eq!((answer.status, answer.text().as_str()), (201, "{}\n{}\n"));
        assert_eq!(answer.header("content-type"), Some("application/x-jsonl"));
        assert_eq!(answer.header("x-any"), Some("1"));
        assert_eq!((answer.header("set-cookie"), answer.header("x-hop")), (None, None));
        let (head, _) = up.seen().pop().unwrap();
        assert_eq!(head.line, format!("{method} {target} HTTP/1.1"));
        assert_eq!(head.header("anthropic-beta"), Some("files"));
        assert_eq!(head.header("x-api-key"), Some("up-key"));
    }
    // the other names of the routes hold here too
    Ask::get("/v1/v1/files").send(gateway.address).await;
    assert_eq!(up.seen().pop().unwrap().0.target(), "/v1/files");
}

#[tokio::test]
async fn an_encoded_body_is_forwarded_with_its_encoding() {
    let up = Upstream::always(Behaviour::Answer(upstream::json(200, "{}"))).await;
    let gateway = gateway(up.address).await;
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(b"{\"requests\":[]}").unwrap();
    let gzip = gzip.finish().unwrap();
    let ask = Ask::post("/v1/messages/batches", gzip.clone());
    let ask = ask.header("content-encoding", "gzip").header("content-type", "application/json");
    assert_eq!(ask.send(gateway.address).await.status, 200);
    let (head, body) = up.seen().remove(0);
    assert_eq!((head.header("content-encoding"), body), (Some("gzip"), gzip));
    assert_eq!(head.header("content-type"), Some("application/json"));
}

#[tokio::test]
async fn an_upstreams_refusal_of_a_forwarded_route_passes() {
    let up = Upstream::always(Behaviour::Answer(upstream::json(404, "{\"type\":\"error\"}"))).await;
    let gateway = gateway(up.address).await;
    let answer = Ask::get("/v1/files/none").send(gateway.address).await;
    assert_eq!((answer.status, answer.text().as_str()), (404, "{\"type\":\"error\"}"));
    assert_eq!(answer.header("request-id"), Some("req_up"));
}

#[tokio::test]
async fn results_of_batches_come_back_through_the_gateway() {
    let batch = |url: &str| format!("{{ \"id\": \"b\", \"n\": 1.0, \"results_url\": {url} }}");
    let theirs = "\"https://api.anthropic.com/v1/messages/batches/b/results?x=1\"";
    let ours = "\"http://gateway.test/v1/messages/batches/b/results?x=1\"";
    let list = |url: &str| format!("{{\"data\":[{},{}]}}", batch(url), batch("null"));
    let table = [
        ("/v1/messages/batches/b", batch(theirs), batch(ours)),
        ("/v1/messages/batches/b", batch("null"), batch("null")),
        ("/v1/messages/batches?limit=2", list(theirs), list(ours)),
        ("/v1/messages/batches/b", batch("\"no url\""), batch("\"no url\"")),
        ("/v1/messages/batches/b", "no json".to_owned(), "no json".to_owned()),
        // only batches have one
        ("/v1/files/b", batch(theirs), batch(theirs)),
    ];
    for (path, answer, expected) in table {
        let up = Upstream::always(Behaviour::Answer(upstream::json(200, &answer))).await;
        let gateway = gateway(up.address).await;
        let found = Ask::get(path).send(gateway.address).await;
        assert_eq!((found.status, found.text()), (200, expected), "{path}");
    }
}

#[tokio::test]
async fn results_urls_use_the_forwarded_host_and_scheme_of_a_proxy() {
    let answer = json!({"results_url": "https://api.anthropic.com/r"}).to_string();
    let up = Upstream::always(Behaviour::Answer(upstream::json(200, &answer))).await;
    let gateway = gateway(up.address).await;
    let ask = Ask::get("/v1/messages/batches/b");
    let ask = ask.header("x-forwarded-proto", "https").header("x-forwarded-host", "ai.example.com");
    let found = ask.send(gateway.address).await;
    assert_eq!(found.json(), json!({"results_url": "https://ai.example.com/r"}));
}

#[tokio::test]
async fn bodies_stream_through_in_both_directions() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let gateway = gateway(listener.local_addr().unwrap()).await;
    let head = "POST /v1/files HTTP/1.1\r\nhost: g\r\ntransfer-encoding: chunked\r\n\r\n";
    let mut client = send_bytes(gateway.address, head.as_bytes()).await;
    let mut inlet = Inlet::default();
    client.write_all(&upstream::chunked("one")).await.unwrap();
    let (mut up, _) = within("a connection", listener.accept()).await.unwrap();
    let found = within("the head", inlet.head(&mut up)).await.unwrap();
    assert_eq!(found.line, "POST /v1/files HTTP/1.1");
    // the second half is only sent once the first has arrived
    assert_eq!(within("one", inlet.chunk(&mut up)).await, Some(Some(b"one".to_vec())));
    client.write_all(&upstream::chunked("two")).await.unwrap();
    assert_eq!(within("two", inlet.chunk(&mut up)).await, Some(Some(b"two".to_vec())));
    client.write_all(b"0\r\n\r\n").await.unwrap();
    assert_eq!(within("the end", inlet.chunk(&mut up)).await, Some(None));
    let head =
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
    up.write_all(&[head.as_bytes(), &upstream::chunked("data: 1\n\n")].concat()).await.unwrap();
    let mut answer = Incoming::read(client).await;
    assert_eq!(answer.frame().await.unwrap(), "data: 1\n\n");
    up.write_all(&upstream::chunked("data: 2\n\n")).await.unwrap();
    assert_eq!(answer.frame().await.unwrap(), "data: 2\n\n");
    up.write_all(b"0\r\n\r\n").await.unwrap();
    assert_eq!(answer.frame().await, None);
    assert!(answer.is_whole());
}

#[tokio::test]
async fn an_upstream_that_is_not_there_is_a_502() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let gateway = gateway(address).await;
    let answer = Ask::get("/v1/files").send(gateway.address).await;
    let message = answer.refusal(502, "api_error");
    assert!(!message.contains(&address.port().to_string()), "no address: {message}");
}

#[tokio::test]
async fn forwarded_requests_are_counted_by_how_they_ended() {
    let up = Upstream::script(vec![
        Behaviour::Answer(upstream::json(200, "{}")),
        Behaviour::Answer(upstream::json(404, "{}")),
        Behaviour::Close(Vec::new()),
    ])
    .await;
    let gateway = gateway(up.address).await;
    for status in [200, 404, 502] {
        let answer = Ask::get("/v1/files/f").send(gateway.address).await;
        assert_eq!(answer.status, status);
    }
    let count = |status: u16, ending: &str| {
        format!(
            "tidegate_forwarded_requests_total{{provider=\"up\",status=\"{status}\",ending=\"{ending}\"}}"
        )
    };
    for (status, ending) in [(200, "whole"), (404, "whole"), (502, "whole")] {
        gateway.until_metric(&count(status, ending), 1.0).await;
    }
    assert_eq!(gateway.metric("tidegate_active_requests").await, 0.0);
    let mut led = Upstream::start().await;
    let gateway = self::gateway(led.address).await;
    let (answer, call) = tokio::join!(Ask::get("/v1/files/f").open(gateway.address), async {
        let mut call = led.call().await;
        call.begin_stream().await;
        call
    });
    // it breaks when the caller holds the head: before that there would be nothing to count
    drop(call);
    assert!(!answer.finish().await.is_whole);
    gateway.until_metric(&count(200, "broken"), 1.0).await;
    let (answer, _call) = tokio::join!(Ask::get("/v1/files/f").open(gateway.address), async {
        let mut call = led.call().await;
        call.begin_stream().await;
        call
    });
    assert_eq!(gateway.metric("tidegate_active_requests").await, 1.0);
    drop(answer);
    gateway.until_metric(&count(200, "caller_left"), 1.0).await;
}

#[tokio::test]
async fn a_forwarded_body_that_stops_is_a_408_and_leaves_the_upstream() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let config = to(listener.local_addr().unwrap())
        + "passthrough: up\nserver: { workers: 1, body_timeout: 40ms }\n";
    let gateway = Gateway::start(&config).await;
    let head = "POST /v1/files HTTP/1.1\r\nhost: g\r\ncontent-length: 100\r\n\r\nhalf";
    let client = send_bytes(gateway.address, head.as_bytes()).await;
    let (mut up, _) = within("a connection", listener.accept()).await.unwrap();
    let answer = Incoming::read(client).await.finish().await;
    answer.refusal(408, "timeout_error");
    let mut rest = Vec::new();
    within("the gateway to hang up", up.read_to_end(&mut rest)).await.unwrap();
    assert!(rest.ends_with(b"half"));
}

#[tokio::test]
async fn another_spelling_of_a_route_of_ours_is_not_forwarded() {
    let up = Upstream::always(Behaviour::Answer(upstream::json(200, "{}"))).await;
    let gateway = gateway(up.address).await;
    for target in [
        "/v1/messages/",
        "/v1//messages",
        "/v1/./messages",
        "/v1/%6dessages",
        "/v1/files/../messages",
        "/v1/files/%2e%2e/messages",
        "/v1/../admin",
    ] {
        let answer = Ask::post(target, "{}").send(gateway.address).await;
        answer.refusal(404, "not_found_error");
    }
    assert!(up.seen().is_empty());
}

#[tokio::test]
async fn a_key_for_some_models_only_cannot_go_around_them() {
    let up = Upstream::always(Behaviour::Answer(upstream::json(200, "{}"))).await;
    let keys = "keys: [{ name: all, key: k-all }, { name: few, key: k-few, models: [m] }]\n";
    let gateway = Gateway::with()
        .upstream(up.address)
        .config(format!("passthrough: up\n{keys}"))
        .start()
        .await;
    let ask = async |key: &str| {
        Ask::post("/v1/messages/batches", "{}").header("x-api-key", key).send(gateway.address).await
    };
    assert_eq!(ask("k-all").await.status, 200);
    ask("k-few").await.refusal(403, "permission_error");
    assert_eq!(up.count(), 1);
}
