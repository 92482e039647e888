//! Tests of the URLs, names and ports that are requested, and of their addresses.
use std::sync::Arc;

use crate::net::egress::{Policy, Request};
use crate::net::tls::Trust;

use super::{Net, PUBLIC, anything, blocks, get, nowhere};
use crate::testing::tls::Authority;
use crate::testing::upstream::{Behaviour, Upstream, answer};

#[tokio::test]
async fn a_name_is_looked_up_once_and_the_connection_goes_to_the_address_that_was_checked() {
    let server = Upstream::always(Behaviour::Answer(answer(200, "", "hello"))).await;
    // a second lookup would return an internal address
    let net =
        Net::with(server.address, |_, n| if n == 0 { vec![PUBLIC] } else { vec!["10.0.0.1"] });
    let told = net.get("http://Example.COM./a?b=c#d").await.unwrap();
    assert_eq!((told.status, &told.body[..], told.truncated), (200, &b"hello"[..], false));
    assert_eq!(net.asked(), ["example.com"]);
    assert_eq!(net.dialled(), ["93.184.216.34:80"]);
    let (head, _) = &server.seen()[0];
    assert_eq!(head.line, "GET /a?b=c HTTP/1.1");
    assert_eq!(head.header("host"), Some("example.com"));
    assert_eq!(head.header("accept-encoding"), Some("gzip, deflate, br, zstd"));
}

#[tokio::test]
async fn the_second_answer_of_a_name_that_turns_inwards_is_refused() {
    let server = Upstream::always(Behaviour::Answer(answer(200, "", "hello"))).await;
    let net =
        Net::with(server.address, |_, n| if n == 0 { vec![PUBLIC] } else { vec!["10.0.0.1"] });
    net.get("http://example.com/").await.unwrap();
    let refusal = net.get("http://example.com/").await.unwrap_err();
    assert_eq!(refusal.code, "url_not_allowed");
    assert_eq!(net.dialled().len(), 1);
}

#[tokio::test]
async fn a_name_with_any_private_address_is_rejected() {
    for found in [
        vec![PUBLIC, "127.0.0.1"],
        vec!["10.0.0.1", PUBLIC],
        vec![PUBLIC, "::1"],
        vec!["2606:4700::1111", "::ffff:169.254.169.254"],
    ] {
        let net = Net::with(nowhere(), move |_, _| found.clone());
        let refusal = net.get("https://example.com/").await.unwrap_err();
        assert_eq!((refusal.code, refusal.retryable), ("url_not_allowed", false));
        assert!(net.dialled().is_empty());
    }
}

#[tokio::test]
async fn a_refusal_names_the_host_and_the_line_of_the_config_but_not_the_address() {
    let net = Net::with(nowhere(), |_, _| vec!["10.20.30.40"]);
    let refusal = net.get("http://intranet.example/").await.unwrap_err();
    assert_eq!(
        refusal.message,
        "`intranet.example` is not on the public internet, its address is private (RFC 1918): the operator may allow it in `egress.allow_private`"
    );
}

#[tokio::test]
async fn a_private_address_is_rejected_in_every_spelling() {
    for url in [
        "http://127.0.0.1/",
        "http://127.1/",
        "http://2130706433/",
        "http://0x7f000001/",
        "http://0x7f.1/",
        "http://017700000001/",
        "http://0177.0.0.1/",
        "http://127.0.0.1./",
        "http://１２７.0.0.1/",
        "http://127。0。0。1/",
        "http://%31%32%37.0.0.1/",
        "http://[::1]/",
        "http://[::ffff:127.0.0.1]/",
        "http://[::ffff:7f00:1]/",
        "http://[0:0:0:0:0:0:0:1]/",
        "http://0/",
        "http://169.254.169.254/latest/meta-data/",
        "http:\\\\10.0.0.1\\",
        "http:10.0.0.1",
    ] {
        let net = Net::leading_to(nowhere());
        let refusal = net.get(url).await.unwrap_err();
        assert_eq!(refusal.code, "url_not_allowed", "{url}: {refusal}");
        assert!(net.dialled().is_empty() && net.asked().is_empty(), "{url}");
    }
}

#[tokio::test]
async fn an_invalid_url_is_rejected_before_any_name_is_resolved() {
    for url in [
        "",
        "example.com",
        "//example.com/",
        "ftp://example.com/",
        "file:///etc/passwd",
        "gopher://example.com/",
        "data:text/plain,hi",
        "javascript:alert(1)",
        "http://",
        "http://user@example.com/",
        "http://user:secret@example.com/",
        "http://:secret@example.com/",
        "http://example.com@10.0.0.1/",
        "http://example.com:99999/",
        "http://256.256.256.256/",
        "http://[::1/",
        "http://exa mple.com/",
        "http://./",
    ] {
        let net = Net::leading_to(nowhere());
        let refusal = net.get(url).await.unwrap_err();
        assert_eq!(refusal.code, "invalid_url", "{url}: {refusal}");
        assert!(!refusal.message.contains("secret"), "{refusal}");
        assert!(net.asked().is_empty(), "{url}");
    }
    let long = format!("http://example.com/{}", "a".repeat(8192));
    assert_eq!(Net::leading_to(nowhere()).get(&long).await.unwrap_err().code, "invalid_url");
}

#[tokio::test]
async fn a_host_and_a_port_have_to_be_granted() {
    let granted = |host: &str, port| host == "a.example" && port == 80 || port == 8443;
    let policy = Policy { may_reach: Arc::new(granted), ..anything() };
    let server = Upstream::always(Behaviour::Answer(answer(204, "", ""))).await;
    let net = Net::leading_to(server.address);
    for url in
        ["http://b.example/", "https://a.example/", "http://a.example:8080/", "http://1.1.1.1/"]
    {
        let refusal = net.fetch(&policy, get(url)).await.unwrap_err();
        assert_eq!(refusal.code, "not_granted", "{url}");
    }
    assert!(net.asked().is_empty());
    assert_eq!(net.fetch(&policy, get("http://A.example/")).await.unwrap().status, 204);
    assert_eq!(net.fetch(&policy, get("http://b.example:8443/")).await.unwrap().status, 204);
    assert_eq!(net.dialled(), ["93.184.216.34:80", "93.184.216.34:8443"]);
}

#[tokio::test]
async fn an_allowed_private_address_is_reached_unless_it_is_the_gateways_own() {
    let server = Upstream::always(Behaviour::Answer(answer(200, "", "inside"))).await;
    let inside = format!("http://127.0.0.1:{}/", server.address.port());
    let port = server.address.port();
    let policy = Policy {
        allow_private: blocks(&["127.0.0.0/8"]),
        may_reach: Arc::new(|_, _| true),
        ..anything()
    };
    let net = Net::leading_to(server.address);
    assert_eq!(&net.fetch(&policy, get(&inside)).await.unwrap().body[..], b"inside");
    for own in [format!("127.0.0.1:{port}"), format!("0.0.0.0:{port}"), format!("[::]:{port}")] {
        let policy = Policy { own: vec![own.parse().unwrap()], ..policy.clone() };
        let refusal = net.fetch(&policy, get(&inside)).await.unwrap_err();
        assert_eq!(refusal.code, "url_not_allowed");
        assert!(refusal.message.ends_with("is the gateway itself"), "{refusal}");
    }
    let other = Policy { own: vec!["127.0.0.1:1".parse().unwrap()], ..policy };
    assert!(net.fetch(&other, get(&inside)).await.is_ok());
    assert_eq!(net.dialled().len(), 2);
}

#[tokio::test]
async fn an_address_that_takes_no_connection_is_followed_by_the_next() {
    let server = Upstream::always(Behaviour::Answer(answer(200, "", "hello"))).await;
    let address = server.address;
    let resolve = |_, _| {
        Box::pin(std::future::ready(Ok(vec![
            "2606:4700::1111".parse().unwrap(),
            PUBLIC.parse().unwrap(),
        ]))) as _
    };
    let connect = move |to: std::net::SocketAddr| {
        let to = if to.is_ipv6() { nowhere() } else { address };
        Box::pin(tokio::net::TcpStream::connect(to)) as _
    };
    let client =
        crate::net::egress::Client::with(Box::new(resolve), Box::new(connect), Trust::System);
    assert_eq!(client.fetch(&anything(), get("http://example.com/")).await.unwrap().status, 200);
}

#[tokio::test]
async fn an_unreachable_server_is_a_retryable_error() {
    let unknown = Net::with(nowhere(), |_, _| vec![]).get("http://example.com/").await.unwrap_err();
    assert_eq!((unknown.code, unknown.retryable), ("unreachable", true));
    let closed = Net::leading_to(nowhere()).get("http://example.com/").await.unwrap_err();
    assert_eq!((closed.code, closed.retryable), ("unreachable", true));
    let server = Upstream::always(Behaviour::Close(b"SSH-2.0-OpenSSH\r\n".to_vec())).await;
    let garbage = Net::leading_to(server.address).get("http://example.com/").await.unwrap_err();
    assert_eq!((garbage.code, garbage.retryable), ("unreachable", true));
}

#[tokio::test]
async fn tls_is_for_the_name_and_the_certificate_has_to_be_trusted() {
    let server = Upstream::always(Behaviour::Answer(answer(200, "", "private"))).await;
    let authority = Authority::named("shop.example", "http/1.1");
    let door = authority.door(server.address).await;
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), &authority.pem).unwrap();
    let trust = Trust::read(file.path()).unwrap();
    let net = Net::trusting(door, |_, _| vec![PUBLIC], trust);
    assert_eq!(&net.get("https://shop.example/").await.unwrap().body[..], b"private");
    assert_eq!(net.dialled(), ["93.184.216.34:443"]);
    let (head, _) = &server.seen()[0];
    assert_eq!(head.header("host"), Some("shop.example"));
    let other = net.get("https://other.example/").await.unwrap_err();
    assert!(
        other.message.starts_with("the certificate of `other.example` is not trusted"),
        "{other}"
    );
    let stranger = Net::leading_to(door).get("https://shop.example/").await.unwrap_err();
    assert_eq!((stranger.code, stranger.retryable), ("unreachable", false));
}

#[tokio::test]
async fn plugins_neither_set_nor_receive_connection_headers() {
    let server = Upstream::always(Behaviour::Answer(answer(
        200,
        "x-own: 1\r\nkeep-alive: timeout=5\r\n",
        "hello",
    )))
    .await;
    let headers = [
        ("host", "evil.example"),
        ("connection", "upgrade"),
        ("transfer-encoding", "chunked"),
        ("content-length", "7"),
        ("accept-encoding", "identity"),
        ("proxy-authorization", "Basic x"),
        ("x-own", "yes"),
        ("authorization", "Bearer k"),
    ];
    let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    let request = Request { headers, ..get("http://example.com/") };
    let told = Net::leading_to(server.address).fetch(&anything(), request).await.unwrap();
    assert_eq!(told.headers, [("x-own".to_owned(), "1".to_owned())]);
    let (head, body) = &server.seen()[0];
    assert_eq!(head.header("host"), Some("example.com"));
    assert_eq!(head.header("x-own"), Some("yes"));
    assert_eq!(head.header("authorization"), Some("Bearer k"));
    assert!(head.header("user-agent").unwrap().starts_with("tidegate/"));
    for gone in ["connection", "transfer-encoding", "proxy-authorization"] {
        assert_eq!(head.header(gone), None, "{gone}");
    }
    assert!(body.is_empty());
}

#[tokio::test]
async fn no_header_smuggles_a_line_and_no_method_opens_a_tunnel() {
    let net = Net::leading_to(nowhere());
    let headers = vec![("x-a".to_owned(), "b\r\nhost: evil".to_owned())];
    let request = Request { headers, ..get("http://example.com/") };
    assert_eq!(net.fetch(&anything(), request).await.unwrap_err().code, "invalid_input");
    for method in ["CONNECT", "TRACE", "GET /", ""] {
        let request = Request { method: method.to_owned(), ..get("http://example.com/") };
        assert_eq!(net.fetch(&anything(), request).await.unwrap_err().code, "invalid_input");
    }
    assert!(net.asked().is_empty());
}
