//! The mistakes of others when they check tokens, each with the right outcome.
use serde_json::{Value, json};

use super::{Fixture, SHOW, said};
use crate::support::client::Ask;
use crate::support::gateway::Gateway;
use crate::support::issuer::{DISCOVERY, Issuer, KEYS, Key, by_secret, now, unsigned};
use crate::support::upstream::Behaviour;
use crate::support::{MESSAGE, logs, until, upstream};

#[tokio::test]
async fn a1_the_header_of_a_token_chooses_no_algorithm() {
    let (rsa, ec) = (Key::rsa("rsa"), Key::ec("ec"));
    let issuer = Issuer::with(&[&rsa, &ec]).await;
    let fixture = Fixture::of(&issuer, "").await;
    fixture.accepts(&rsa.token(&issuer.claims())).await;
    fixture.accepts(&ec.token(&issuer.claims())).await;
    for algorithm in ["none", "None", "NONE", "nOnE"] {
        fixture
            .refuses(&unsigned(&json!({"alg": algorithm, "kid": "rsa"}), &issuer.claims()))
            .await;
    }
    // the public key is no shared secret
    let secrets = [&rsa, &ec].into_iter().flat_map(|key| {
        let headers = [json!({"alg": "HS256", "kid": key.id}), json!({"alg": "HS256"})];
        let pairs = |secret: Vec<u8>| headers.clone().map(|header| (header, secret.clone()));
        key.public_bytes().into_iter().flat_map(pairs).collect::<Vec<_>>()
    });
    for (header, secret) in secrets {
        fixture.refuses(&by_secret(&header, &issuer.claims(), &secret)).await;
    }
    // the right key, by an algorithm that the config does not have
    let header = json!({"alg": "RS384", "kid": "rsa"});
    let message = fixture.refuses(&rsa.token_with(&header, &issuer.claims())).await;
    assert!(message.contains("algorithm"), "{message}");
    // the name of one kind, the signature of the other
    fixture.refuses(&ec.token_with(&json!({"alg": "RS256", "kid": "rsa"}), &issuer.claims())).await;
    fixture.refuses(&ec.token_with(&json!({"alg": "RS256", "kid": "ec"}), &issuer.claims())).await;
    // no signature at all
    let token = rsa.token(&issuer.claims());
    fixture.refuses(&token[..=token.rfind('.').unwrap()]).await;
}

#[tokio::test]
async fn a2_only_the_key_that_a_token_names_is_tried() {
    let (old, new) = (Key::ec("old"), Key::ec("new"));
    let issuer = Issuer::with(&[&old, &new]).await;
    let fixture = Fixture::of(&issuer, "").await;
    let forged = old.token_with(&json!({"alg": "ES256", "kid": "new"}), &issuer.claims());
    assert!(fixture.refuses(&forged).await.contains("signature"));
    fixture.accepts(&old.token(&issuer.claims())).await;
    fixture.accepts(&new.token(&issuer.claims())).await;
}

#[tokio::test]
async fn a3_issuers_share_no_keys() {
    let (one_key, other_key) = (Key::ec("k"), Key::ec("k"));
    let (one, other) = (Issuer::with(&[&one_key]).await, Issuer::with(&[&other_key]).await);
    let fixture = Fixture::with(&format!(
        "jwt: [{{ issuer: \"{}\", audience: tidegate }}, {{ issuer: \"{}\", audience: tidegate }}]",
        one.url(),
        other.url()
    ))
    .await;
    fixture.accepts(&one_key.token(&one.claims())).await;
    assert!(fixture.refuses(&one_key.token(&other.claims())).await.contains("signature"));
    assert!(fixture.refuses(&other_key.token(&one.claims())).await.contains("signature"));
    fixture.accepts(&other_key.token(&other.claims())).await;
    let stranger = Issuer::with(&[&one_key]).await;
    assert!(fixture.refuses(&one_key.token(&stranger.claims())).await.contains("`iss`"));
    assert_eq!(stranger.fetches(KEYS), 0);
}

#[tokio::test]
async fn a4_a_token_that_names_no_key_counts_if_one_key_fits() {
    let (rsa, ec) = (Key::rsa(""), Key::ec("named"));
    let issuer = Issuer::with(&[&rsa, &ec]).await;
    let fixture = Fixture::of(&issuer, "").await;
    for key in [&rsa, &ec] {
        let header = json!({"alg": key.algorithm()});
        fixture.accepts(&key.token_with(&header, &issuer.claims())).await;
    }
    let second = Key::ec("second");
    let several = Issuer::with(&[&ec, &second]).await;
    let fixture = Fixture::of(&several, "").await;
    for key in [&ec, &second] {
        let token = key.token_with(&json!({"alg": "ES256"}), &several.claims());
        assert!(fixture.refuses(&token).await.contains("several keys"));
    }
}

#[tokio::test]
async fn a5_a_new_key_counts_at_once_and_a_failed_fetch_loses_none() {
    let (old, new) = (Key::ec("old"), Key::ec("new"));
    let issuer = Issuer::with(&[&old]).await;
    let fixture = Fixture::of(&issuer, "").await;
    fixture.accepts(&old.token(&issuer.claims())).await;
    issuer.behave(KEYS, Behaviour::Answer(upstream::json(500, "{}")));
    // the issuer cannot be asked for this key now
    let answer = fixture.ask(&new.token(&issuer.claims())).await;
    answer.refusal(503, "overloaded_error");
    assert!(answer.header("retry-after").is_some());
    fixture.accepts(&old.token(&issuer.claims_with(json!({"jti": 1})))).await;
    // another gateway, since a further fetch has to wait
    issuer.publish(&[&old]);
    let fixture = Fixture::of(&issuer, "").await;
    fixture.accepts(&old.token(&issuer.claims())).await;
    issuer.publish(&[&old, &new]);
    fixture.accepts(&new.token(&issuer.claims())).await;
    // and a token that names no key
    let (first, second) = (Key::ec(""), Key::ec(""));
    let issuer = Issuer::with(&[&first]).await;
    let fixture = Fixture::of(&issuer, "").await;
    fixture.accepts(&first.token(&issuer.claims())).await;
    issuer.publish(&[&second]);
    fixture.accepts(&second.token(&issuer.claims())).await;
    // a key that is gone takes its tokens along, also those that were checked
    assert!(fixture.refuses(&first.token(&issuer.claims())).await.contains("signature"));
}

#[tokio::test]
async fn a6_unknown_keys_cause_one_fetch_only() {
    let key = Key::ec("k");
    let issuer = Issuer::with(&[&key]).await;
    let fixture = Fixture::of(&issuer, "").await;
    fixture.accepts(&key.token(&issuer.claims())).await;
    assert_eq!((issuer.fetches(DISCOVERY), issuer.fetches(KEYS)), (1, 1));
    let tokens: Vec<String> = (0..40)
        .map(|n| key.token_with(&json!({"alg": "ES256", "kid": format!("x{n}")}), &issuer.claims()))
        .collect();
    let asked = futures_util::future::join_all(tokens.iter().map(|token| fixture.refuses(token)));
    assert!(asked.await.iter().all(|message| message.contains("`kid`")));
    assert_eq!(issuer.fetches(KEYS), 2);
    // neither does a wrong signature of a token that names its key, nor one that names none
    let other = Key::ec("k");
    for _ in 0..3 {
        fixture.refuses(&other.token(&issuer.claims())).await;
        fixture.refuses(&other.token_with(&json!({"alg": "ES256"}), &issuer.claims())).await;
    }
    assert_eq!(issuer.fetches(KEYS), 2);
}

#[tokio::test]
async fn a7_a_time_of_a_wrong_type_never_counts_as_absent() {
    let key = Key::ec("k");
    let issuer = Issuer::with(&[&key]).await;
    let fixture = Fixture::of(&issuer, "").await;
    let later = now() + 3600;
    let odd = [
        json!(later.to_string()),
        json!(later as f64 + 0.5),
        json!(true),
        json!([later]),
        json!(-1),
        json!(null),
    ];
    for value in &odd {
        for name in ["exp", "nbf", "iat"] {
            let token = key.token(&issuer.claims_with(json!({name: value})));
            let message = fixture.refuses(&token).await;
            let is_named = message.contains(&format!("`{name}`"));
            assert!(is_named || message.contains("cannot be read"), "{name}: {value}: {message}");
        }
    }
    for name in ["exp", "iss", "aud", "sub"] {
        let message = fixture.refuses(&key.token(&issuer.claims_without(name))).await;
        assert!(message.contains(&format!("`{name}`")) || name == "iss", "{message}");
    }
    for value in [json!(5), json!(["ada"]), json!(""), json!(null)] {
        fixture.refuses(&key.token(&issuer.claims_with(json!({"sub": value})))).await;
    }
    assert!(
        fixture
            .refuses(&key.token(&issuer.claims_with(json!({"exp": now() - 1}))))
            .await
            .contains("expired")
    );
    assert!(
        fixture
            .refuses(&key.token(&issuer.claims_with(json!({"nbf": later}))))
            .await
            .contains("not valid yet")
    );
    fixture.accepts(&key.token(&issuer.claims_with(json!({"nbf": now()})))).await;
    fixture.accepts(&key.token(&issuer.claims_without("iat"))).await;
}

#[tokio::test]
async fn a8_one_audience_of_several_is_enough_and_none_is_too_few() {
    let key = Key::ec("k");
    let issuer = Issuer::with(&[&key]).await;
    let fixture = Fixture::of(&issuer, "").await;
    for aud in [json!("tidegate"), json!(["tidegate"]), json!(["other", "tidegate"])] {
        fixture.accepts(&key.token(&issuer.claims_with(json!({"aud": aud})))).await;
    }
    for aud in [
        json!("other"),
        json!("Tidegate"),
        json!("tidegate "),
        json!([]),
        json!(["other"]),
        json!([["tidegate"]]),
        json!(["tidegate", 5]),
        json!({"tidegate": true}),
        json!(null),
    ] {
        let message = fixture.refuses(&key.token(&issuer.claims_with(json!({"aud": aud})))).await;
        assert!(message.contains("`aud`"), "{aud}: {message}");
    }
}

#[tokio::test]
async fn a9_an_issuer_is_compared_byte_for_byte() {
    let key = Key::ec("k");
    let issuer = Issuer::with(&[&key]).await;
    let fixture = Fixture::of(&issuer, "").await;
    fixture.accepts(&key.token(&issuer.claims())).await;
    let url = issuer.url();
    for iss in
        [format!("{url}/"), url.replace("http", "HTTP"), format!(" {url}"), format!("{url}#")]
    {
        fixture.refuses(&key.token(&issuer.claims_with(json!({"iss": iss})))).await;
    }
    for iss in [json!([url]), json!(5)] {
        fixture.refuses(&key.token(&issuer.claims_with(json!({"iss": iss})))).await;
    }
    // the document of another issuer
    let second = Issuer::with(&[&key]).await;
    second.serve(DISCOVERY, &json!({"issuer": format!("{}/", second.url()), "jwks_uri": format!("{}{KEYS}", second.url())}));
    let fixture = Fixture::of(&second, "").await;
    fixture.ask(&key.token(&second.claims())).await.refusal(503, "overloaded_error");
    assert_eq!(second.fetches(KEYS), 0);
    // a path belongs to the issuer
    let third = Issuer::with(&[&key]).await;
    let own = format!("{}/realms/a", third.url());
    third.serve(
        "/realms/a/.well-known/openid-configuration",
        &json!({"issuer": own, "jwks_uri": format!("{}{KEYS}", third.url())}),
    );
    let fixture =
        Fixture::with(&format!("jwt: [{{ issuer: \"{own}\", audience: tidegate }}]")).await;
    fixture.accepts(&key.token(&third.claims_with(json!({"iss": own})))).await;
    fixture.refuses(&key.token(&third.claims())).await;
}

#[tokio::test]
async fn a10_clocks_may_differ_by_the_leeway_only() {
    let key = Key::ec("k");
    let issuer = Issuer::with(&[&key]).await;
    let (strict, lenient) =
        (Fixture::of(&issuer, "").await, Fixture::of(&issuer, "leeway: 60s").await);
    for (other, is_near) in [
        (json!({"exp": now() - 20}), true),
        (json!({"nbf": now() + 20}), true),
        (json!({"iat": now() + 20}), true),
        (json!({"exp": now() - 90}), false),
        (json!({"nbf": now() + 600}), false),
        (json!({"iat": now() + 600}), false),
    ] {
        let token = key.token(&issuer.claims_with(other.clone()));
        strict.refuses(&token).await;
        match is_near {
            true => lenient.accepts(&token).await,
            false => drop(lenient.refuses(&token).await),
        }
    }
}

#[tokio::test]
async fn a11_a_client_is_its_issuer_and_subject_whatever_its_name() {
    let (key, other_key) = (Key::ec("k"), Key::ec("k"));
    let (issuer, other) = (Issuer::with(&[&key]).await, Issuer::with(&[&other_key]).await);
    let entry = |issuer: &Issuer| {
        format!("{{ issuer: \"{}\", audience: tidegate, name: email }}", issuer.url())
    };
    let fixture = Fixture::with(&format!(
        "jwt: [{}, {}]\nkeys: [{{ name: a@b.c, key: tg-own }}]\nlimits: {{ rules: [{{ per: key, requests: 1/1h }}] }}",
        entry(&issuer),
        entry(&other)
    ))
    .await;
    let named = |issuer: &Issuer, sub: &str, email: &str| {
        issuer.claims_with(json!({"sub": sub, "email": email}))
    };
    fixture.accepts(&key.token(&named(&issuer, "1", "a@b.c"))).await;
    // the same client under a new name
    let answer = fixture.ask(&key.token(&named(&issuer, "1", "new@b.c"))).await;
    answer.refusal(429, "rate_limit_error");
    // other clients of the same name: by subject, by issuer, by key
    fixture.accepts(&key.token(&named(&issuer, "2", "a@b.c"))).await;
    fixture.accepts(&other_key.token(&named(&other, "1", "a@b.c"))).await;
    fixture.accepts("tg-own").await;
    // an address that the issuer did not check is no name
    for verified in [json!(false), json!("false"), json!(null), json!(0)] {
        let claims =
            issuer.claims_with(json!({"sub": "3", "email": "x@b.c", "email_verified": verified}));
        assert!(fixture.refuses(&key.token(&claims)).await.contains("`email_verified`"));
    }
    fixture
        .accepts(&key.token(
            &issuer.claims_with(json!({"sub": "4", "email": "x@b.c", "email_verified": true})),
        ))
        .await;
    fixture.refuses(&key.token(&issuer.claims())).await;
}

#[tokio::test]
async fn a12_groups_are_compared_exactly_and_found_by_a_pointer() {
    let key = Key::ec("k");
    let issuer = Issuer::with(&[&key]).await;
    let config = format!(
        "jwt: [{{ issuer: \"{}\", audience: tidegate, tags: {{ team: /groups/0, role: /realm/roles~1x/1 }} }}]
policies: {{ dir: policies }}
pipeline: [{{ policy: show, when: {{ tags: {{ team: ml }} }} }}]",
        issuer.url()
    );
    let up =
        upstream::Upstream::always(Behaviour::Answer(upstream::json(200, crate::support::ANSWER)))
            .await;
    let gateway =
        Gateway::with().upstream(up.address).policy("show", SHOW).config(config).start().await;
    let ask = async |other: Value| {
        let token = key.token(&issuer.claims_with(other));
        let asked = Ask::message(MESSAGE).header("x-api-key", &token);
        asked.send(gateway.address).await
    };
    let answer = ask(json!({"groups": ["ml", "x"], "realm": {"roles/x": ["a", 5]}})).await;
    assert_eq!(said(&answer), "ada role=5 team=ml");
    for groups in [
        json!(["ML"]),
        json!(["ml-admins"]),
        json!([" ml"]),
        json!(["x", "ml"]),
        json!([]),
        json!(null),
    ] {
        let answer = ask(json!({"groups": groups})).await;
        assert!(answer.status == 200 && !said(&answer).starts_with("ada"), "{groups}");
    }
    // the issuer sends a link instead of the groups, or something that is no text
    for other in [
        json!({"_claim_names": {"groups": "src1"}, "_claim_sources": {"src1": {"endpoint": "https://graph.example"}}}),
        json!({"hasgroups": true}),
    ] {
        let message = ask(other).await.refusal(401, "authentication_error");
        assert!(message.contains("`groups`") && message.contains("too many"), "{message}");
    }
    for groups in [json!([["ml"]]), json!([{"name": "ml"}]), json!(["a\nb"]), json!([""])] {
        ask(json!({"groups": groups})).await.refusal(401, "authentication_error");
    }
}

#[tokio::test]
async fn a13_a_token_for_another_application_does_not_count() {
    let key = Key::ec("k");
    let issuer = Issuer::with(&[&key]).await;
    let fixture = Fixture::of(&issuer, "clients: [cli, web]").await;
    for other in [json!({"azp": "cli"}), json!({"client_id": "web"})] {
        fixture.accepts(&key.token(&issuer.claims_with(other))).await;
    }
    for other in [
        json!({"azp": "mail"}),
        json!({"client_id": "mail"}),
        json!({"azp": "mail", "client_id": "cli"}),
        json!({"azp": ["cli"]}),
        json!({"azp": ""}),
        json!({}),
    ] {
        assert!(fixture.refuses(&key.token(&issuer.claims_with(other))).await.contains("`azp`"));
    }
    // of another API
    fixture.refuses(&key.token(&issuer.claims_with(json!({"azp": "cli", "aud": "mail"})))).await;
}

#[tokio::test]
async fn a14_extensions_that_must_be_understood_and_empty_secrets_are_refused() {
    let key = Key::ec("k");
    let issuer = Issuer::with(&[&key]).await;
    for secret in ["", "AA"] {
        issuer.serve(
            KEYS,
            &json!({"keys": [key.jwk(), {"kty": "oct", "kid": "s", "k": secret, "alg": "HS256"}]}),
        );
        let fixture = Fixture::of(&issuer, "").await;
        for crit in
            [json!(["exp"]), json!(["b64"]), json!([]), json!("exp"), json!(["http://x.example/y"])]
        {
            let mut header =
                json!({"alg": "ES256", "kid": "k", "crit": crit, "b64": true, "exp": 1});
            fixture.refuses(&key.token_with(&header, &issuer.claims())).await;
            header["b64"] = json!(false);
            fixture.refuses(&key.token_with(&header, &issuer.claims())).await;
        }
        for bytes in [&b""[..], &b"\0"[..]] {
            let header = json!({"alg": "HS256", "kid": "s"});
            fixture.refuses(&by_secret(&header, &issuer.claims(), bytes)).await;
        }
        fixture.accepts(&key.token(&issuer.claims())).await;
    }
}

#[tokio::test]
async fn a15_white_space_around_a_value_is_a_problem_of_the_config_and_a_key_with_it_is_none() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tidegate.yaml");
    for (field, entry) in [
        ("issuer", "issuer: \" https://id.example.com\", audience: a"),
        ("issuer", "issuer: \"https://id.example.com\\n\", audience: a"),
        ("issuer", "issuer: http://id.example.com, audience: a"),
        ("issuer", "issuer: id.example.com, audience: a"),
        ("audience", "issuer: https://id.example.com, audience: \"a \""),
        ("audience", "issuer: https://id.example.com, audience: \"\""),
        (
            "jwks_uri",
            "issuer: https://id.example.com, audience: a, jwks_uri: \"https://id.example.com/k \"",
        ),
        (
            "jwks_uri",
            "issuer: https://id.example.com, audience: a, jwks_uri: \"http://id.example.com/k\"",
        ),
        ("algorithms[0]", "issuer: https://id.example.com, audience: a, algorithms: [HS256]"),
        ("algorithms[0]", "issuer: https://id.example.com, audience: a, algorithms: [none]"),
        ("algorithms", "issuer: https://id.example.com, audience: a, algorithms: []"),
        ("leeway", "issuer: https://id.example.com, audience: a, leeway: 61s"),
        ("tags.team", "issuer: https://id.example.com, audience: a, tags: { team: groups }"),
        (
            "allow_private[0]",
            "issuer: https://id.example.com, audience: a, allow_private: [10.0.0.1]",
        ),
    ] {
        let config = format!(
            "providers: {{ s: {{ type: simulator }} }}\nmodels: {{ m: {{ provider: s }} }}\njwt: [{{ {entry} }}]\n"
        );
        std::fs::write(&file, config).unwrap();
        let output = crate::commands::tidegate(&file, &["check"]);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(
            said.starts_with(&format!("jwt[0].{field}: ")) && said.lines().count() == 1,
            "{entry}: {said}"
        );
    }
    // a key whose value is not Base64 is left out
    let key = Key::rsa("k");
    let issuer = Issuer::with(&[]).await;
    let mut jwk = key.jwk();
    jwk["n"] = format!(" {}\n", jwk["n"].as_str().unwrap()).into();
    let good = Key::ec("good");
    issuer.serve(KEYS, &json!({"keys": [jwk, "no key", {"kty": "new", "kid": "x"}, good.jwk()]}));
    let fixture = Fixture::of(&issuer, "").await;
    fixture.refuses(&key.token(&issuer.claims())).await;
    fixture.accepts(&good.token(&issuer.claims())).await;
}

#[tokio::test]
async fn a16_no_token_reaches_a_log_or_an_upstream() {
    logs::start();
    let key = Key::ec("key-of-a16");
    let issuer = Issuer::with(&[&key]).await;
    let fixture = Fixture::of(&issuer, "").await;
    let good = key.token(&issuer.claims_with(json!({"secret": "good-a16"})));
    let wrong = key.token(&issuer.claims_with(json!({"secret": "wrong-a16", "aud": "other-a16"})));
    let odd = format!("{}x", key.token(&issuer.claims_with(json!({"secret": "odd-a16"}))));
    fixture.accepts(&good).await;
    fixture.refuses(&wrong).await;
    fixture.refuses(&odd).await;
    // beside a key as well, whether or not the token counts
    for token in [&good, &wrong, &odd] {
        let asked = Ask::message(MESSAGE).header("x-tidegate-key", &good);
        let asked = asked.header("authorization", &format!("Bearer {token}"));
        assert_eq!(asked.send(fixture.gateway.address).await.status, 200);
    }
    for text in ["does not count: it is for another audience", "key-of-a16", &issuer.url()] {
        until("the refusal in the log", async || logs::has(text)).await;
    }
    for token in [&good, &wrong, &odd] {
        for part in token.split('.') {
            assert!(!logs::has(part), "{part} is in the log");
            let reached =
                fixture.up.seen().iter().any(|(head, _)| format!("{head:?}").contains(part));
            assert!(!reached, "{part} reached the upstream");
        }
    }
    for text in ["good-a16", "wrong-a16", "other-a16", "odd-a16"] {
        assert!(!logs::has(text), "{text}");
    }
    assert_eq!(fixture.up.count(), 4);
}
