//! Upstreams over TLS: either protocol, whom the gateway trusts, and connections that are shared.
use h2::Reason;

use std::net::SocketAddr;

use crate::support::client::Ask;
use crate::support::gateway::Gateway;
use crate::support::http2::{Upstream2, one_a_connection};
use crate::support::tls::Authority;
use crate::support::upstream::{self, Behaviour, Upstream};
use crate::support::{ANSWER, FRAMES, MESSAGE, STREAM, logs};

/// A config with one provider `up` at an address over TLS, which trusts `ca.pem`.
fn to(upstream: SocketAddr) -> String {
    let port = upstream.port();
    format!(
        "providers:\n  up: {{ type: anthropic, api_key: up-key, base_url: \"https://localhost:{port}\", ca_file: ca.pem }}\nmodels:\n  \"*\": {{ provider: up }}\n"
    )
}

async fn gateway(address: SocketAddr, authority: &Authority) -> Gateway {
    Gateway::with().config(to(address)).files(&[("ca.pem", &authority.pem)]).start().await
}

#[tokio::test]
async fn over_tls_an_upstream_of_http_1_answers_and_streams() {
    let inner = Upstream::by(|call| {
        Behaviour::Answer(match call.text().contains("stream") {
            true => upstream::stream(&FRAMES),
            false => upstream::json(200, ANSWER),
        })
    })
    .await;
    let authority = Authority::new("http/1.1");
    let address = authority.door(inner.address).await;
    let gateway = gateway(address, &authority).await;
    assert_eq!(Ask::message(MESSAGE).send(gateway.address).await.text(), ANSWER);
    let streamed = Ask::message(STREAM).send(gateway.address).await;
    assert_eq!((streamed.status, streamed.text()), (200, FRAMES.concat()));
    let (head, body) = inner.seen().remove(0);
    assert_eq!(head.header("host"), Some(format!("localhost:{}", address.port()).as_str()));
    assert_eq!(body, MESSAGE.as_bytes());
}

#[tokio::test]
async fn over_http_2_an_upstream_gets_the_request_as_it_is() {
    let authority = Authority::new("h2");
    let mut up = Upstream2::start(&authority).await;
    let gateway = gateway(up.address, &authority).await;
    let asking = Ask::post("/v1/messages?beta=true", MESSAGE).header("anthropic-beta", "one");
    let (answer, ()) = tokio::join!(asking.send(gateway.address), async {
        let call = up.call().await;
        assert_eq!(
            call.head.uri.to_string(),
            format!("https://localhost:{}/v1/messages?beta=true", up.address.port())
        );
        assert_eq!(call.head.headers["x-api-key"], "up-key");
        assert_eq!(call.head.headers["anthropic-beta"], "one");
        assert_eq!(call.head.headers.get("host"), None);
        assert_eq!(call.body, MESSAGE.as_bytes());
        call.answer(ANSWER);
    });
    assert_eq!((answer.status, answer.text().as_str()), (200, ANSWER));
    assert_eq!(answer.header("request-id"), Some("req_up"));
}

#[tokio::test]
async fn over_http_2_a_long_body_under_an_alias_arrives_whole() {
    let long = MESSAGE.replace("\"hi\"", &format!("\"{}\"", "hi".repeat(100_000)));
    assert!(long.len() > 200_000, "{MESSAGE}");
    let authority = Authority::new("h2");
    let mut up = Upstream2::start(&authority).await;
    let config = to(up.address) + "  m: { provider: up, model: another }\n";
    let gateway =
        Gateway::with().config(&config).files(&[("ca.pem", &authority.pem)]).start().await;
    let (answer, ()) = tokio::join!(Ask::message(&*long).send(gateway.address), async {
        let call = up.call().await;
        assert!(call.body == long.replace("\"model\":\"m\"", "\"model\":\"another\"").as_bytes());
        call.answer(ANSWER);
    });
    assert_eq!(answer.status, 200, "{}", answer.text());
}

#[tokio::test]
async fn streams_share_an_http_2_connection_and_are_sent_frame_by_frame() {
    let authority = Authority::new("h2");
    let mut up = Upstream2::start(&authority).await;
    let gateway = gateway(up.address, &authority).await;
    let mut open = Vec::new();
    for _ in 0..3 {
        let (answer, sending) = tokio::join!(Ask::message(STREAM).open(gateway.address), async {
            let call = up.call().await;
            assert_eq!(call.connection, 0, "they share the first connection");
            let mut sending = call.begin_stream();
            sending.frame(FRAMES[0]);
            sending
        });
        open.push((answer, sending));
    }
    for (answer, _) in &mut open {
        assert_eq!(answer.frame().await.unwrap(), FRAMES[0]);
    }
    for (mut answer, mut sending) in open.into_iter().rev() {
        for frame in &FRAMES[1..5] {
            sending.frame(frame);
            assert_eq!(answer.frame().await.unwrap(), frame);
        }
        sending.end(FRAMES[5]);
        assert_eq!(answer.frame().await.unwrap(), FRAMES[5]);
        assert_eq!(answer.frame().await, None);
        assert!(answer.is_whole());
    }
}

#[tokio::test]
async fn a_caller_that_leaves_resets_its_stream_and_no_other() {
    let authority = Authority::new("h2");
    let mut up = Upstream2::start(&authority).await;
    let gateway = gateway(up.address, &authority).await;
    let mut open = Vec::new();
    for _ in 0..2 {
        open.push(tokio::join!(Ask::message(STREAM).open(gateway.address), async {
            let mut sending = up.call().await.begin_stream();
            sending.frame(FRAMES[0]);
            sending
        }));
    }
    let (mut stays, sending) = open.pop().unwrap();
    let (leaves, left) = open.pop().unwrap();
    drop(leaves);
    assert_eq!(left.reset().await, Reason::CANCEL);
    assert_eq!(stays.frame().await.unwrap(), FRAMES[0]);
    sending.end(&FRAMES[1..].concat());
    assert_eq!(stays.frames().await.len(), 5);
}

#[tokio::test]
async fn an_untrusted_certificate_returns_502_and_the_log_names_the_remedy() {
    logs::start();
    let (shown, other) = (Authority::new("h2"), Authority::new("h2"));
    let elsewhere = Authority::named("elsewhere.test", "h2");
    for (shown, trusted) in [(&shown, &other), (&elsewhere, &elsewhere)] {
        let up = Upstream2::start(shown).await;
        let gateway = gateway(up.address, trusted).await;
        let answer = Ask::message(MESSAGE).send(gateway.address).await;
        let message = answer.refusal(502, "api_error");
        assert_eq!(message, "the upstream cannot be reached");
        let line = logs::line("request_id", answer.header("request-id").unwrap()).await;
        let source = line["source"].as_str().unwrap();
        assert!(source.contains("certificate is not trusted"), "{source}");
        assert!(source.contains("`ca_file`") && source.contains("`base_url`"), "{source}");
    }
}

#[tokio::test]
async fn a_request_that_a_goaway_overtook_goes_out_on_another_connection() {
    let authority = Authority::new("h2");
    let address = one_a_connection(&authority, ANSWER).await;
    let gateway = gateway(address, &authority).await;
    for _ in 0..4 {
        let answer = Ask::message(MESSAGE).send(gateway.address).await;
        assert_eq!((answer.status, answer.text().as_str()), (200, ANSWER));
        assert_eq!(answer.header("x-tidegate-attempts"), Some("1"));
    }
}

#[tokio::test]
async fn a_request_that_an_upstream_refused_to_begin_is_sent_again() {
    let authority = Authority::new("h2");
    let mut up = Upstream2::start(&authority).await;
    let gateway = gateway(up.address, &authority).await;
    let (first, ()) = tokio::join!(Ask::message(MESSAGE).send(gateway.address), async {
        up.call().await.answer(ANSWER);
    });
    assert_eq!(first.status, 200);
    let (second, ()) = tokio::join!(Ask::message(MESSAGE).send(gateway.address), async {
        let refused = up.call().await;
        assert_eq!(refused.connection, 0);
        refused.refuse();
        let again = up.call().await;
        assert_eq!((again.connection, &again.body[..]), (1, MESSAGE.as_bytes()));
        again.answer(ANSWER);
    });
    assert_eq!((second.status, second.text().as_str()), (200, ANSWER));
}

#[tokio::test]
async fn a_new_authority_counts_after_a_reload() {
    let (old, new) = (Authority::new("h2"), Authority::new("h2"));
    let mut up = Upstream2::start(&new).await;
    let gateway = gateway(up.address, &old).await;
    assert_eq!(Ask::message(MESSAGE).send(gateway.address).await.status, 502);
    std::fs::write(gateway.folder().join("ca.pem"), &new.pem).unwrap();
    gateway.look().await;
    let (answer, ()) = tokio::join!(Ask::message(MESSAGE).send(gateway.address), async {
        up.call().await.answer(ANSWER);
    });
    assert_eq!(answer.status, 200);
}
