//! Tests of redirects: each hop is checked like the first one, and no secret is sent to another site.
use std::sync::Arc;

use crate::net::egress::{Policy, Request};
use crate::net::tls::Trust;
use bytes::Bytes;

use super::{Net, PUBLIC, anything, get};
use crate::testing::tls::Authority;
use crate::testing::upstream::{Auto, Behaviour, Call, Upstream, answer};

fn redirect(status: u16, to: &str) -> Behaviour {
    Behaviour::Answer(answer(status, &format!("location: {to}\r\n"), "moved"))
}

fn done() -> Behaviour {
    Behaviour::Answer(answer(200, "", "there"))
}

/// Returns a server that redirects the first request and answers the others.
async fn leading(status: u16, to: &'static str) -> Auto {
    Upstream::script(vec![redirect(status, to), done()]).await
}

#[tokio::test]
async fn a_redirect_is_followed_and_its_final_address_is_returned() {
    for (location, url) in [
        ("/b?c", "http://a.example/b?c"),
        ("b", "http://a.example/x/b"),
        ("//c.example/", "http://c.example/"),
        ("http://c.example/#part", "http://c.example/#part"),
    ] {
        let server = leading(302, location).await;
        let told = Net::leading_to(server.address).get("http://a.example/x/y").await.unwrap();
        assert_eq!((told.url.as_str(), &told.body[..]), (url, &b"there"[..]));
    }
}

#[tokio::test]
async fn a_redirect_from_https_to_http_is_refused() {
    let server = leading(302, "http://shop.example/").await;
    let authority = Authority::named("shop.example", "http/1.1");
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), &authority.pem).unwrap();
    let trust = Trust::read(file.path()).unwrap();
    let net = Net::trusting(authority.door(server.address).await, |_, _| vec![PUBLIC], trust);
    let refusal = net.get("https://shop.example/").await.unwrap_err();
    assert_eq!(refusal.code, "url_not_allowed", "{refusal}");
    assert_eq!((server.count(), net.dialled().len()), (1, 1));
}

#[tokio::test]
async fn a_redirect_into_private_space_is_refused() {
    for location in [
        "http://127.0.0.1/",
        "http://169.254.169.254/latest/meta-data/",
        "http://[::1]/",
        "http://[::ffff:10.0.0.1]/",
        "http://2130706433/",
        "http://intranet.example/",
        "//10.0.0.1/",
        "https://192.168.0.1/",
    ] {
        let server = Upstream::always(redirect(302, location)).await;
        let lookup = |host: &str, _| match host {
            "intranet.example" => vec!["10.0.0.7"],
            _ => vec![PUBLIC],
        };
        let net = Net::with(server.address, lookup);
        let refusal = net.get("http://a.example/").await.unwrap_err();
        assert_eq!(refusal.code, "url_not_allowed", "{location}");
        assert_eq!(net.dialled(), ["93.184.216.34:80"], "{location}");
    }
}

#[tokio::test]
async fn the_same_name_is_looked_up_and_judged_again_at_the_next_hop() {
    let server = leading(302, "/again").await;
    let net =
        Net::with(server.address, |_, n| if n == 0 { vec![PUBLIC] } else { vec!["10.0.0.1"] });
    assert_eq!(net.get("http://a.example/").await.unwrap_err().code, "url_not_allowed");
    assert_eq!(net.asked(), ["a.example", "a.example"]);
    assert_eq!(server.count(), 1);
}

#[tokio::test]
async fn a_redirect_to_an_invalid_or_forbidden_url_is_rejected() {
    for (location, code) in [
        ("ftp://b.example/", "invalid_url"),
        ("file:///etc/passwd", "invalid_url"),
        ("http://user:pass@b.example/", "invalid_url"),
        ("http://b.example:22/", "not_granted"),
        ("http://[", "unreachable"),
    ] {
        let server = leading(302, location).await;
        let refusal = Net::leading_to(server.address).get("http://a.example/").await.unwrap_err();
        assert_eq!(refusal.code, code, "{location}");
        assert_eq!(server.count(), 1);
    }
}

#[tokio::test]
async fn the_grant_is_checked_for_every_hop() {
    let server = leading(302, "http://b.example/").await;
    let policy = Policy { may_reach: Arc::new(|host, _| host == "a.example"), ..anything() };
    let net = Net::leading_to(server.address);
    let refusal = net.fetch(&policy, get("http://a.example/")).await.unwrap_err();
    assert_eq!(refusal.code, "not_granted");
    assert_eq!(server.count(), 1);
}

#[tokio::test]
async fn five_redirects_are_followed_and_no_sixth() {
    let hops = |count| {
        let mut list: Vec<_> = (0..count).map(|n| redirect(302, &format!("/{n}"))).collect();
        list.push(done());
        list
    };
    let server = Upstream::script(hops(5)).await;
    let told = Net::leading_to(server.address).get("http://a.example/").await.unwrap();
    assert_eq!((told.url.as_str(), server.count()), ("http://a.example/4", 6));
    let server = Upstream::script(hops(6)).await;
    let refusal = Net::leading_to(server.address).get("http://a.example/").await.unwrap_err();
    assert_eq!((refusal.code, server.count()), ("too_many_redirects", 6));
}

#[tokio::test]
async fn a_redirect_beyond_those_wanted_is_the_answer_and_where_it_leads_is_nobodys_matter() {
    let hops = |count| {
        let mut list: Vec<_> = (0..count).map(|n| redirect(302, &format!("/{n}"))).collect();
        list.push(redirect(302, "http://10.0.0.1/"));
        list
    };
    for wanted in [0, 2, 5] {
        let server = Upstream::script(hops(usize::from(wanted))).await;
        let request = Request { redirects: Some(wanted), ..get("http://a.example/") };
        let told = Net::leading_to(server.address).fetch(&anything(), request).await.unwrap();
        assert_eq!((told.status, &told.body[..]), (302, &b"moved"[..]));
        let location = told.headers.iter().find(|(name, _)| name == "location").unwrap();
        assert_eq!(location.1, "http://10.0.0.1/");
        assert_eq!(server.count(), usize::from(wanted) + 1);
    }
    // the host's own limit applies as well
    let server = Upstream::script(hops(6)).await;
    let request = Request { redirects: Some(200), ..get("http://a.example/") };
    let told = Net::leading_to(server.address).fetch(&anything(), request).await.unwrap();
    assert_eq!((told.status, server.count()), (302, 6));
}

#[tokio::test]
async fn a_redirect_that_is_handed_back_needs_no_body_that_can_be_read() {
    let redirect = |rest: &str| format!("HTTP/1.1 301 Moved\r\nlocation: /next\r\n{rest}");
    let chunked = "transfer-encoding: chunked\r\n\r\n";
    for (answer, body) in [
        (redirect("content-encoding: utf-8\r\ncontent-length: 5\r\n\r\nmoved"), ""),
        (redirect(&format!("content-encoding: gzip\r\n{chunked}0\r\n\r\n")), ""),
        (redirect("content-encoding: gzip\r\ncontent-length: 5\r\n\r\nmoved"), ""),
        (redirect("content-length: 500\r\n\r\nmoved"), ""),
        // it never ends
        (redirect(&format!("{chunked}5\r\nmoved\r\n")), ""),
        (redirect(&format!("{chunked}5\r\nmoved\r\n0\r\n\r\n")), "moved"),
    ] {
        let answers = match answer.contains("500") {
            true => Behaviour::Close(answer.clone().into_bytes()),
            false => Behaviour::Answer(answer.clone().into_bytes()),
        };
        let server = Upstream::always(answers).await;
        let request = Request { redirects: Some(0), ..get("http://a.example/") };
        let told = Net::leading_to(server.address).fetch(&anything(), request).await;
        let told = told.unwrap_or_else(|refusal| panic!("{answer}: {refusal:?}"));
        assert_eq!((told.status, &told.body[..]), (301, body.as_bytes()), "{answer}");
        // an unreadable body counts as truncated
        assert_eq!(told.truncated, body.is_empty(), "{answer}");
    }
}

#[tokio::test]
async fn the_body_of_a_returned_redirect_is_truncated_at_64_kib() {
    let long = Behaviour::Answer(answer(302, "location: /\r\n", "a".repeat(100_000)));
    let server = Upstream::always(long).await;
    let request = Request { redirects: Some(0), ..get("http://a.example/") };
    let told = Net::leading_to(server.address).fetch(&anything(), request).await.unwrap();
    assert_eq!((told.body.len(), told.truncated), (64 * 1024, true));
}

#[tokio::test]
async fn an_answer_without_a_place_to_go_is_the_answer() {
    let server = Upstream::always(Behaviour::Answer(answer(304, "", ""))).await;
    assert_eq!(Net::leading_to(server.address).get("http://a.example/").await.unwrap().status, 304);
    let server = Upstream::always(Behaviour::Answer(answer(302, "", "?"))).await;
    assert_eq!(Net::leading_to(server.address).get("http://a.example/").await.unwrap().status, 302);
}

fn with_secrets(method: &str, body: Option<&'static str>) -> Request {
    let headers = [
        ("authorization", "Bearer k"),
        ("cookie", "session=1"),
        ("x-subscription-token", "k"),
        ("accept", "text/html"),
        ("user-agent", "a plugin"),
        ("content-type", "application/json"),
    ];
    Request {
        method: method.to_owned(),
        headers: headers.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec(),
        body: body.map(Bytes::from),
        ..get("http://a.example/")
    }
}

#[tokio::test]
async fn no_secret_crosses_to_another_site() {
    for location in ["http://b.example/", "http://a.example:8080/", "http://sub.a.example/"] {
        let server = leading(302, location).await;
        let policy = Policy { may_reach: Arc::new(|_, _| true), ..anything() };
        let net = Net::leading_to(server.address);
        net.fetch(&policy, with_secrets("GET", None)).await.unwrap();
        let (head, _) = &server.seen()[1];
        for gone in ["authorization", "cookie", "x-subscription-token"] {
            assert_eq!(head.header(gone), None, "{gone} to {location}");
        }
        assert_eq!(head.header("accept"), Some("text/html"));
        assert_eq!(head.header("user-agent"), Some("a plugin"));
    }
    let server = leading(302, "/same/site").await;
    Net::leading_to(server.address).fetch(&anything(), with_secrets("GET", None)).await.unwrap();
    assert_eq!(server.seen()[1].0.header("authorization"), Some("Bearer k"));
}

#[tokio::test]
async fn a_post_becomes_a_get_where_browsers_make_it_one() {
    for (status, method, expect, body) in [
        (301, "POST", "GET", ""),
        (302, "POST", "GET", ""),
        (303, "POST", "GET", ""),
        (303, "PUT", "GET", ""),
        (302, "PUT", "PUT", "{}"),
        (307, "POST", "POST", "{}"),
        (308, "POST", "POST", "{}"),
        (303, "HEAD", "HEAD", ""),
    ] {
        let server = Upstream::by(move |call: &Call| match call.head.target() {
            "/" => {
                Behaviour::Answer(answer(status, "location: /next\r\ncontent-length: 0\r\n", ""))
            }
            _ => Behaviour::Answer(b"HTTP/1.1 204 No Content\r\n\r\n".to_vec()),
        })
        .await;
        let body_of = (method != "HEAD").then_some("{}");
        let net = Net::leading_to(server.address);
        net.fetch(&anything(), with_secrets(method, body_of)).await.unwrap();
        let (head, sent) = &server.seen()[1];
        assert_eq!(head.line, format!("{expect} /next HTTP/1.1"), "{status} {method}");
        assert_eq!(sent, body.as_bytes(), "{status} {method}");
    }
}

#[tokio::test]
async fn a_redirect_does_not_send_the_request_body_to_another_host() {
    let server = leading(307, "http://b.example/").await;
    let net = Net::leading_to(server.address);
    let refusal = net.fetch(&anything(), with_secrets("POST", Some("{}"))).await.unwrap_err();
    assert_eq!(refusal.code, "url_not_allowed");
    assert_eq!(server.count(), 1);
}

#[tokio::test]
async fn a_location_in_raw_bytes_leads_where_browsers_go() {
    for (location, target) in [
        (&b"/caf\xe9?q=\xfc"[..], "/caf%E9?q=%FC"),
        ("/café".as_bytes(), "/caf%C3%A9"),
        (b"/a b", "/a%20b"),
        ("http://bücher.example/ü".as_bytes(), "/%C3%BC"),
    ] {
        let head =
            [b"HTTP/1.1 302 Found\r\nlocation: ", location, b"\r\ncontent-length: 0\r\n\r\n"];
        let moved = Behaviour::Answer(head.concat());
        let server = Upstream::script(vec![moved.clone(), done()]).await;
        let told = Net::leading_to(server.address).get("http://a.example/x/y").await.unwrap();
        assert!(told.url.ends_with(target), "{target}: {}", told.url);
        let server = Upstream::script(vec![moved]).await;
        let request = Request { redirects: Some(0), ..get("http://a.example/x/y") };
        let told = Net::leading_to(server.address).fetch(&anything(), request).await.unwrap();
        let (_, shown) = told.headers.iter().find(|(name, _)| name == "location").unwrap();
        assert!(shown.is_ascii(), "{shown}");
    }
}

#[tokio::test]
async fn an_empty_location_is_no_redirect() {
    let server = Upstream::always(redirect(302, "")).await;
    let told = Net::leading_to(server.address).get("http://a.example/").await.unwrap();
    assert_eq!((told.status, server.count()), (302, 1));
}
