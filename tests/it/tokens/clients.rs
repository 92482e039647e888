//! The client of a token: its name, its rights, and the gateway that tokens close.
use serde_json::json;

use super::{Fixture, SHOW, said};
use crate::support::client::Ask;
use crate::support::gateway::{Gateway, looping, simulated_upstream};
use crate::support::issuer::{Issuer, Key};
use crate::support::upstream::{Behaviour, Upstream, json as whole};
use crate::support::{ANSWER, MESSAGE};

#[tokio::test]
async fn an_issuer_alone_closes_the_gateway() {
    let key = Key::ec("k");
    let issuer = Issuer::with(&[&key]).await;
    let fixture = Fixture::of(&issuer, "").await;
    let address = fixture.gateway.address;
    Ask::message(MESSAGE).send(address).await.refusal(401, "authentication_error");
    for wrong in
        ["tg-key", "eyJ", "eyJ..", "eyJhbGciOiJFUzI1NiJ9.e30.x", "a.b.c", "eyJ.eyJ.eyJ.eyJ.eyJ"]
    {
        fixture.refuses(wrong).await;
    }
    let long = key.token(&issuer.claims_with(json!({"padding": "x".repeat(20_000)})));
    assert!(fixture.refuses(&long).await.contains("16 KiB"));
    assert_eq!((fixture.up.count(), issuer.fetches("/keys")), (0, 0));
    let token = key.token(&issuer.claims());
    for (name, value) in [
        ("x-api-key", token.clone()),
        ("x-tidegate-key", token.clone()),
        ("authorization", format!("Bearer {token}")),
    ] {
        for path in ["/v1/models", "/v1/models/m"] {
            let asked = Ask::get(path).header(name, &value).send(address).await;
            assert_eq!(asked.status, 200, "{name}");
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tidegate.yaml");
    for (jwt, is_right) in
        [("", false), ("jwt: [{ issuer: https://id.example.com, audience: a }]", true)]
    {
        let config = format!(
            "listen: 0.0.0.0:4000\nproviders: {{ s: {{ type: simulator }} }}\nmodels: {{ m: {{ provider: s }} }}\n{jwt}\n"
        );
        std::fs::write(&file, config).unwrap();
        assert_eq!(crate::commands::tidegate(&file, &["check"]).status.success(), is_right);
    }
}

#[tokio::test]
async fn a_client_has_the_models_and_server_tools_of_its_issuers_entry() {
    let key = Key::ec("k");
    let issuer = Issuer::with(&[&key]).await;
    let upstream = simulated_upstream().await;
    let jwt = format!(
        "jwt: [{{ issuer: \"{}\", audience: tidegate, models: [m], tools: [datetime] }}, {{ issuer: \"{0}\", audience: all }}]",
        issuer.url()
    );
    let gateway =
        looping(upstream.address).model("n", "{ provider: up }").config(jwt).start().await;
    let ask = async |aud: &str, model: &str, tool: &str| {
        let body = json!({
            "model": model, "max_tokens": 100, "tools": [{"type": format!("gateway:{tool}")}],
            "messages": [{"role": "user", "content": "[sim: say ok]"}],
        });
        let token = key.token(&issuer.claims_with(json!({"aud": aud})));
        Ask::message(body.to_string()).header("x-api-key", &token).send(gateway.address).await
    };
    for (aud, model, tool, status) in [
        ("tidegate", "m", "datetime", 200),
        ("tidegate", "n", "datetime", 403),
        ("tidegate", "m", "twice", 403),
        ("all", "n", "twice", 200),
    ] {
        assert_eq!(ask(aud, model, tool).await.status, status, "{aud} {model} {tool}");
    }
}

#[tokio::test]
async fn a_name_may_be_a_nested_claim_and_tags_count_in_limits() {
    let key = Key::ec("k");
    let issuer = Issuer::with(&[&key]).await;
    let up = Upstream::always(Behaviour::Answer(whole(200, ANSWER))).await;
    let config = format!(
        "jwt: [{{ issuer: \"{}\", audience: tidegate, name: /person/login, tags: {{ team: /team }} }}]
limits: {{ rules: [{{ per: \"tag:team\", requests: 2/1h }}] }}",
        issuer.url()
    );
    let builder = Gateway::with().upstream(up.address).config(&config);
    let gateway = builder.start().await;
    let ask = async |gateway: &Gateway, login: &str, team: &str| {
        let claims =
            issuer.claims_with(json!({"sub": login, "person": {"login": login}, "team": team}));
        let token = key.token(&claims);
        Ask::message(MESSAGE).header("x-api-key", &token).send(gateway.address).await
    };
    for (login, team, status) in
        [("ada", "ml", 200), ("bob", "ml", 200), ("eve", "ml", 429), ("eve", "web", 200)]
    {
        assert_eq!(ask(&gateway, login, team).await.status, status, "{login}");
    }
    let gateway =
        Gateway::with().upstream(up.address).policy("show", SHOW).config(&config).start().await;
    assert_eq!(said(&ask(&gateway, "ada", "ml").await), "ada team=ml");
    // a name that is missing or no text is no name
    for person in [
        json!({}),
        json!(null),
        json!({"login": ["ada"]}),
        json!({"login": ""}),
        json!({"login": "a\u{7}"}),
    ] {
        let token = key.token(&issuer.claims_with(json!({"person": person})));
        let asked = Ask::message(MESSAGE).header("x-api-key", &token).send(gateway.address).await;
        asked.refusal(401, "authentication_error");
    }
}

#[tokio::test]
async fn an_address_that_the_issuer_did_not_check_is_no_tag() {
    let key = Key::ec("k");
    let issuer = Issuer::with(&[&key]).await;
    let fixture = Fixture::of(&issuer, "tags: { mail: /email }").await;
    for (verified, counts) in
        [(json!(false), false), (json!("no"), false), (json!(true), true), (json!("true"), true)]
    {
        let claims = json!({"email": "x@b.c", "email_verified": verified});
        let token = key.token(&issuer.claims_with(claims));
        match counts {
            true => fixture.accepts(&token).await,
            false => assert!(fixture.refuses(&token).await.contains("`email_verified`")),
        }
    }
    // an issuer that never says whether it checked addresses is taken at its word
    fixture.accepts(&key.token(&issuer.claims_with(json!({"email": "x@b.c"})))).await;
    // without the claim as a name or a tag its state does not matter
    let fixture = Fixture::of(&issuer, "").await;
    let claims = json!({"email": "x@b.c", "email_verified": false});
    fixture.accepts(&key.token(&issuer.claims_with(claims))).await;
}
