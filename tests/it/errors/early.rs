//! Responses before a request body has been read, by the gateway and by upstreams: no side loses them.
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::support::client::Ask;
use crate::support::gateway::Gateway;
use crate::support::upstream::{self, Behaviour, Upstream};
use crate::support::{ANSWER, MESSAGE, within};

const BODY: usize = 6 * 1024 * 1024;

/// Sends the head and a large body, all of it, before it reads the answer, as Node and Python do.
async fn send_all(gateway: &Gateway, ask: Ask) -> (u16, String) {
    let answer = within("an answer", ask.send(gateway.address)).await;
    (answer.status, answer.text())
}

#[tokio::test]
async fn a_client_that_sends_its_whole_body_first_receives_the_refusal() {
    let up = Upstream::always(Behaviour::Answer(upstream::json(200, ANSWER))).await;
    let gateway = Gateway::with().upstream(up.address);
    let gateway =
        gateway.config("server: { max_body_bytes: 1048576 }\nkeys: [{ name: k, key: tg-right }]\n");
    let gateway = gateway.start().await;
    let body = vec![b'x'; BODY];
    let post = |target: &str| Ask::post(target, body.clone()).header("x-api-key", "tg-right");
    let wrong = Ask::message(body.clone()).header("x-api-key", "tg-wrong");
    let table = [
        (post("/v1/messages"), 413),
        (wrong, 401),
        (post("/nothing/here"), 404),
        (post("/v1/models"), 405),
        (post("/v1/files"), 404),
    ];
    for (ask, status) in table {
        let shown =
            format!("{:?}", ask.to_bytes().split(|byte| *byte == b'\n').next().map(<[u8]>::to_vec));
        let (found, text) = send_all(&gateway, ask).await;
        assert_eq!(found, status, "{shown}: {text}");
    }
    assert_eq!(up.count(), 0);
}

#[tokio::test]
async fn the_gateway_closes_its_side_at_once_and_waits_for_the_clients_end() {
    let up = Upstream::always(Behaviour::Answer(upstream::json(200, ANSWER))).await;
    let gateway = Gateway::with().upstream(up.address).config("server: { max_body_bytes: 1024 }\n");
    let gateway = gateway.start().await;
    let mut stream = TcpStream::connect(gateway.address).await.unwrap();
    let head = format!("POST /v1/messages HTTP/1.1\r\nhost: x\r\ncontent-length: {BODY}\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let (mut reader, mut writer) = stream.into_split();
    let mut answer = Vec::new();
    // the end of the response arrives although the body has not been sent
    within("the end of the response", reader.read_to_end(&mut answer)).await.unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 413"));
    within("the gateway to read the rest", writer.write_all(&vec![b'x'; BODY])).await.unwrap();
    within("the gateway to see the end", writer.shutdown()).await.unwrap();
    gateway.until_idle().await;
}

/// Accepts one connection, reads the head of the request only, answers, and closes.
async fn impatient(listener: TcpListener, answer: Vec<u8>) {
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut head = Vec::new();
        while memchr::memmem::find(&head, b"\r\n\r\n").is_none() {
            let mut room = [0; 512];
            let count = stream.read(&mut room).await.unwrap();
            head.extend_from_slice(&room[..count]);
        }
        stream.write_all(&answer).await.unwrap();
    }
}

#[tokio::test]
async fn an_upstream_that_answers_before_the_body_is_sent_gives_the_answer() {
    let refusal =
        r#"{"type":"error","error":{"type":"request_too_large","message":"too large for me"}}"#;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(impatient(listener, upstream::json(413, refusal)));
    let gateway = Gateway::with().upstream(address).start().await;
    let long = "x".repeat(BODY);
    let body = MESSAGE.replace("\"hi\"", &format!("\"{long}\""));
    assert!(body.len() > BODY);
    for _ in 0..3 {
        let answer = Ask::message(body.clone()).send(gateway.address).await;
        assert_eq!((answer.status, answer.text()), (413, refusal.to_owned()));
        assert_eq!(answer.header("x-tidegate-attempts"), Some("1"));
    }
}

#[tokio::test]
async fn a_connection_serves_the_next_request_after_a_rejected_body_was_read() {
    let up = Upstream::always(Behaviour::Answer(upstream::json(200, ANSWER))).await;
    let gateway = Gateway::with().upstream(up.address).start().await;
    let mut stream = TcpStream::connect(gateway.address).await.unwrap();
    let twice = [Ask::message("{").to_bytes(), Ask::message(MESSAGE).to_bytes()].concat();
    stream.write_all(&twice).await.unwrap();
    let mut read = Vec::new();
    while memchr::memmem::find(&read, ANSWER.as_bytes()).is_none() {
        let mut room = [0; 4096];
        let count = within("both answers", stream.read(&mut room)).await.unwrap();
        assert!(count > 0, "{}", String::from_utf8_lossy(&read));
        read.extend_from_slice(&room[..count]);
    }
    assert!(read.starts_with(b"HTTP/1.1 400"));
}
