//! The key store in PostgreSQL: two gateways share it, and it goes away.
use serde_json::json;
use sha2::{Digest, Sha256};
use sqlx::AssertSqlSafe;

use super::postgres::Server;
use crate::support::client::{Answer, Ask};
use crate::support::gateway::{Builder, Gateway};
use crate::support::issuer::{Issuer, Key};
use crate::support::upstream::{Auto, Behaviour, Upstream, json as whole};
use crate::support::{ANSWER, MESSAGE, until};

async fn upstream() -> Auto {
    Upstream::always(Behaviour::Answer(whole(200, ANSWER))).await
}

fn builder(server: &Server, up: &Auto, stale_for: &str) -> Builder {
    Gateway::with().upstream(up.address).config(format!(
        "ledger: \"{}\"\nkey_store: {{ place: ledger, stale_for: {stale_for} }}\nkeys: [{{ name: own, key: tg-own }}]\n",
        server.url()
    ))
}

async fn gateway(server: &Server, up: &Auto, stale_for: &str) -> Gateway {
    builder(server, up, stale_for).start().await
}

async fn ask(gateway: &Gateway, key: &str) -> Answer {
    Ask::message(MESSAGE).header("x-api-key", key).send(gateway.address).await
}

async fn status(gateway: &Gateway, key: &str) -> u16 {
    ask(gateway, key).await.status
}

/// Changes the store as another gateway does.
async fn change(server: &Server, statement: &str) {
    let text = format!(
        "BEGIN; UPDATE key_generation SET generation = generation + 1; {statement}; COMMIT"
    );
    sqlx::raw_sql(AssertSqlSafe(text)).execute(&mut server.open().await).await.unwrap();
}

async fn add(server: &Server, name: &str) {
    let digest = hex::encode(Sha256::digest(format!("tg-{name}")));
    let settings = json!({"name": name, "tags": {"team": "ml"}});
    change(server, &format!("INSERT INTO client_key VALUES ('id-{name}', '{digest}', '{name}', 'tg-…', '2026-11-29T00:00:00Z', '{settings}', 1)")).await;
}

async fn revoked(gateway: &Gateway, key: &str) {
    until("the revoked key", async || ask(gateway, key).await.text().contains("revoked")).await;
}

async fn state(gateway: &Gateway, state: &str) {
    gateway.until_metric(&format!("tidegate_key_store_state{{state=\"{state}\"}}"), 1.0).await;
}

async fn listeners(server: &Server) -> i64 {
    let count = "SELECT count(*) FROM pg_stat_activity WHERE query ILIKE 'LISTEN%'";
    sqlx::query_scalar(count).fetch_one(&mut server.open().await).await.unwrap()
}

#[tokio::test]
async fn a_key_that_is_made_or_revoked_elsewhere_counts_or_ends_on_every_gateway() {
    let Some(server) = Server::start() else { return };
    let up = upstream().await;
    let (first, second) = tokio::join!(gateway(&server, &up, "5m"), gateway(&server, &up, "5m"));
    until("both to listen", async || listeners(&server).await == 2).await;
    for notify in ["SELECT 1", "SELECT pg_notify('tidegate_keys', '')"] {
        for gateway in [&first, &second] {
            assert_eq!(
                (status(gateway, "tg-own").await, status(gateway, "tg-new").await),
                (200, 401)
            );
        }
        add(&server, "new").await;
        for gateway in [&first, &second] {
            until("the new key", async || status(gateway, "tg-new").await == 200).await;
        }
        change(&server, "UPDATE client_key SET settings = '{\"name\":\"new\",\"disabled\":true}'")
            .await;
        for gateway in [&first, &second] {
            until("the disabled key", async || status(gateway, "tg-new").await == 401).await;
            assert!(ask(gateway, "tg-new").await.text().contains("disabled"));
        }
        change(&server, &format!("DELETE FROM client_key; {notify}")).await;
        for gateway in [&first, &second] {
            revoked(gateway, "tg-new").await;
            let answer = ask(gateway, "tg-new").await;
            answer.refusal(401, "authentication_error");
            assert_eq!(answer.header("x-should-retry"), Some("false"));
        }
    }
    assert_eq!(first.metric("tidegate_key_store_keys").await, 0.0);
}

#[tokio::test]
async fn known_keys_count_while_the_database_is_away_and_changes_are_found_when_it_is_back() {
    let Some(server) = Server::start() else { return };
    let up = upstream().await;
    let gateway = gateway(&server, &up, "5m").await;
    add(&server, "a").await;
    add(&server, "b").await;
    until("the keys", async || gateway.metric("tidegate_key_store_keys").await == 2.0).await;
    server.end();
    state(&gateway, "stale").await;
    assert!(gateway.metric("tidegate_key_store_failures_total").await >= 1.0);
    let ready = Ask::get("/readyz").send(gateway.admin).await;
    assert!(
        ready.status == 200 && ready.text().ends_with(" s, known keys count\n"),
        "{}",
        ready.text()
    );
    for (key, expected) in [("tg-a", 200), ("tg-b", 200), ("tg-own", 200), ("tg-c", 401)] {
        assert_eq!(status(&gateway, key).await, expected, "{key}");
    }
    server.begin();
    change(&server, "DELETE FROM client_key WHERE name = 'b'").await;
    until("the revoked key", async || status(&gateway, "tg-b").await == 401).await;
    assert_eq!(status(&gateway, "tg-a").await, 200);
    state(&gateway, "current").await;
    // notifications come again as well
    until("the gateway to listen", async || listeners(&server).await == 1).await;
}

#[tokio::test]
async fn keys_of_a_store_that_is_away_for_too_long_are_refused_until_it_is_back() {
    let Some(server) = Server::start() else { return };
    let up = upstream().await;
    let signer = Key::ec("k");
    let issuer = Issuer::with(&[&signer]).await;
    let jwt = format!("jwt: [{{ issuer: \"{}\", audience: tidegate }}]", issuer.url());
    let gateway = builder(&server, &up, "1ms").config(jwt).start().await;
    let token = signer.token(&issuer.claims());
    add(&server, "a").await;
    until("the key", async || status(&gateway, "tg-a").await == 200).await;
    server.end();
    state(&gateway, "refusing").await;
    let ready = Ask::get("/readyz").send(gateway.admin).await;
    assert!(
        ready.status == 200 && ready.text().ends_with("its keys are refused\n"),
        "{}",
        ready.text()
    );
    for key in ["tg-a", "tg-b"] {
        let answer = ask(&gateway, key).await;
        answer.refusal(503, "overloaded_error");
        assert!(answer.header("retry-after").is_some());
    }
    // the keys of the config and tokens do not need the database
    for credential in ["tg-own", &token] {
        assert_eq!(status(&gateway, credential).await, 200, "{credential}");
    }
    let foreign = signer.token(&issuer.claims_with(json!({"iss": "https://other.example"})));
    assert_eq!(status(&gateway, &foreign).await, 401);
    server.begin();
    until("the key", async || status(&gateway, "tg-a").await == 200).await;
    assert_eq!(status(&gateway, "tg-b").await, 401);
}
