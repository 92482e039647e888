//! The fetches of an issuer's keys: when they happen, where they may lead, and what outlives them.
use serde_json::json;

use super::Fixture;
use crate::support::client::Ask;
use crate::support::gateway::{Gateway, to};
use crate::support::issuer::{DISCOVERY, Issuer, KEYS, Key, now};
use crate::support::tls::Authority;
use crate::support::upstream::{Behaviour, Upstream, answer, json as whole};
use crate::support::{ANSWER, MESSAGE, until};

#[tokio::test]
async fn tokens_that_come_together_share_one_fetch() {
    let key = Key::ec("k");
    let issuer = Issuer::with(&[&key]).await;
    let fixture = Fixture::of(&issuer, "").await;
    let tokens: Vec<String> =
        (0..20).map(|n| key.token(&issuer.claims_with(json!({"sub": format!("s{n}")})))).collect();
    futures_util::future::join_all(tokens.iter().map(|token| fixture.accepts(token))).await;
    assert_eq!((issuer.fetches(DISCOVERY), issuer.fetches(KEYS)), (1, 1));
}

#[tokio::test]
async fn a_client_that_leaves_during_a_fetch_does_not_end_it() {
    let key = Key::ec("k");
    let claims = Issuer::with(&[&key]).await;
    let mut slow = Upstream::start().await;
    let fixture =
        Fixture::of(&claims, &format!("jwks_uri: \"http://{}/keys\"", slow.address)).await;
    let token = key.token(&claims.claims());
    let bearer = format!("Bearer {token}");
    let first =
        Ask::message(MESSAGE).header("authorization", &bearer).open(fixture.gateway.address);
    let fetch = tokio::select! {
        _ = first => panic!("there is no key yet"),
        fetch = slow.call() => fetch,
    };
    fixture.gateway.until_idle().await;
    fetch.behave(Behaviour::Answer(whole(200, &json!({"keys": [key.jwk()]}).to_string()))).await;
    fixture.accepts(&token).await;
    assert!(slow.is_idle());
    // discovery was not needed
    assert_eq!(claims.fetches(DISCOVERY), 0);
}

#[tokio::test]
async fn a_redirect_is_followed_to_the_same_host_only() {
    let key = Key::ec("k");
    let to = |url: &str| Behaviour::Answer(answer(302, &format!("location: {url}\r\n"), ""));
    let (issuer, other) = (Issuer::with(&[&key]).await, Issuer::with(&[&key]).await);
    issuer.behave(KEYS, to(&format!("{}{KEYS}", other.url())));
    let fixture = Fixture::of(&issuer, "").await;
    fixture.ask(&key.token(&issuer.claims())).await.refusal(503, "overloaded_error");
    assert_eq!(other.fetches(KEYS), 0);
    other.behave(KEYS, to("/moved"));
    other.serve("/moved", &json!({"keys": [key.jwk()]}));
    let fixture = Fixture::of(&other, "").await;
    fixture.accepts(&key.token(&other.claims())).await;
}

#[tokio::test]
async fn a_document_that_is_too_large_or_no_set_of_keys_is_none() {
    let key = Key::ec("k");
    let large = json!({"keys": [key.jwk()], "padding": "x".repeat(70_000)}).to_string();
    for (status, document) in
        [(200, large.as_str()), (200, "<html>"), (200, "{}"), (200, r#"{"keys":[]}"#), (500, "{}")]
    {
        let issuer = Issuer::with(&[&key]).await;
        issuer.behave(KEYS, Behaviour::Answer(whole(status, document)));
        let fixture = Fixture::of(&issuer, "").await;
        let answer = fixture.ask(&key.token(&issuer.claims())).await;
        answer.refusal(503, "overloaded_error");
        // the next try has to wait
        fixture.ask(&key.token(&issuer.claims())).await.refusal(503, "overloaded_error");
        assert_eq!(issuer.fetches(KEYS), 1);
    }
}

#[tokio::test]
async fn an_issuer_on_the_internet_leads_to_no_private_address() {
    let key = Key::ec("k");
    let mut inside = Upstream::start().await;
    let at = format!("https://127.0.0.1:{}/keys", inside.address.port());
    let config = format!(
        "jwt: [{{ issuer: https://id.example.com, audience: tidegate, jwks_uri: \"{at}\" }}]"
    );
    let fixture = Fixture::with(&config).await;
    let claims = json!({"iss": "https://id.example.com", "aud": "tidegate", "sub": "ada", "exp": now() + 60});
    fixture.ask(&key.token(&claims)).await.refusal(503, "overloaded_error");
    assert!(inside.is_idle());
    // the gateway's own listener is no issuer either
    let issuer = Issuer::with(&[&key]).await;
    let fixture = Fixture::of(&issuer, "").await;
    issuer.serve(DISCOVERY, &json!({"issuer": issuer.url(), "jwks_uri": "http://10.0.0.1/keys"}));
    fixture.ask(&key.token(&issuer.claims())).await.refusal(503, "overloaded_error");
}

#[tokio::test]
async fn a_checked_token_counts_until_it_expires_or_its_key_is_gone() {
    let (old, new) = (Key::ec("old"), Key::ec("new"));
    let issuer = Issuer::with(&[&old]).await;
    let fixture = Fixture::of(&issuer, "").await;
    let token = old.token(&issuer.claims());
    fixture.accepts(&token).await;
    issuer.behave(KEYS, Behaviour::Close(Vec::new()));
    fixture.accepts(&token).await;
    let short = old.token(&issuer.claims_with(json!({"exp": now() + 2})));
    fixture.accepts(&short).await;
    until("the end of the token", async || fixture.ask(&short).await.status == 401).await;
    assert!(fixture.refuses(&short).await.contains("expired"));
    fixture.accepts(&token).await;
    // the issuer takes the old key out
    issuer.publish(&[&new]);
    fixture.accepts(&new.token(&issuer.claims())).await;
    assert!(fixture.refuses(&token).await.contains("`kid`"));
}

#[tokio::test]
async fn a_reload_keeps_the_keys_and_drops_the_clients_of_a_removed_entry() {
    let key = Key::ec("k");
    let issuer = Issuer::with(&[&key]).await;
    let up = Upstream::always(Behaviour::Answer(whole(200, ANSWER))).await;
    let config = |jwt: &str| format!("{}{jwt}\n", to(up.address));
    let entry = format!("jwt: [{{ issuer: \"{}\", audience: tidegate }}]", issuer.url());
    let gateway = Gateway::start(&config(&entry)).await;
    let token = key.token(&issuer.claims());
    let ask =
        async || Ask::message(MESSAGE).header("x-api-key", &token).send(gateway.address).await;
    assert_eq!(ask().await.status, 200);
    for _ in 0..3 {
        gateway.reload(&config(&entry)).await;
        assert_eq!(ask().await.status, 200);
    }
    assert_eq!(issuer.fetches(KEYS), 1);
    gateway.reload(&config(&entry.replace("tidegate", "other"))).await;
    ask().await.refusal(401, "authentication_error");
    gateway.reload(&config("keys: [{ name: k, key: tg-k }]")).await;
    ask().await.refusal(401, "authentication_error");
}

#[tokio::test]
async fn an_issuer_with_a_private_authority_needs_its_file() {
    let key = Key::ec("k");
    let issuer = Issuer::with(&[&key]).await;
    let authority = Authority::new("http/1.1");
    let plain = issuer.url().strip_prefix("http://").unwrap().parse().unwrap();
    let url = format!("https://localhost:{}", authority.door(plain).await.port());
    issuer.serve(DISCOVERY, &json!({"issuer": url, "jwks_uri": format!("{url}{KEYS}")}));
    let up = Upstream::always(Behaviour::Answer(whole(200, ANSWER))).await;
    let config = |more: &str| format!("jwt: [{{ issuer: \"{url}\", audience: tidegate{more} }}]\n");
    let start = async |config: String, pem: &str| {
        Gateway::with().upstream(up.address).config(config).file("ca.pem", pem).start().await
    };
    let token = |n: u8| key.token(&issuer.claims_with(json!({"iss": url, "jti": n})));
    let status = async |gateway: &Gateway, token: String| {
        let asked = Ask::message(MESSAGE).header("authorization", &format!("Bearer {token}"));
        asked.send(gateway.address).await.status
    };
    let trusting = start(config(", ca_file: ca.pem"), &authority.pem).await;
    assert_eq!(status(&trusting, token(1)).await, 200);
    assert_eq!((issuer.fetches(DISCOVERY), issuer.fetches(KEYS)), (1, 1));
    let system = start(config(""), &authority.pem).await;
    assert_eq!(status(&system, token(2)).await, 503);
    let other = start(config(", ca_file: ca.pem"), &Authority::new("http/1.1").pem).await;
    assert_eq!(status(&other, token(3)).await, 503);
    assert_eq!(issuer.fetches(DISCOVERY), 1);
    // the reload notices the right authority in the same file
    std::fs::write(other.folder().join("ca.pem"), &authority.pem).unwrap();
    other.reload_now().await;
    assert_eq!(status(&other, token(4)).await, 200);
}
