//! Keys that are made, listed, changed and revoked through the admin API.
use serde_json::{Value, json};

use super::Api;
use crate::ledger::postgres::Server;
use crate::support::client::{Answer, Ask};
use crate::support::gateway::Gateway;
use crate::support::upstream::{Behaviour, Upstream, json as whole};
use crate::support::{ANSWER, FRAMES, MESSAGE, STREAM, until};

const CONFIG: &str = "providers: { s: { type: simulator } }
models: { m: { provider: s } }
ledger: sqlite
key_store: ledger
keys: [{ name: own, key: tg-own }]
admin: { listen: 127.0.0.1:0, token: secret }
";

pub(super) async fn ask(gateway: &Gateway, key: &str) -> Answer {
    Ask::message(MESSAGE).header("x-api-key", key).send(gateway.address).await
}

pub(super) async fn create(api: &Api<'_>, body: &Value) -> Answer {
    api.write("POST", "/api/keys", "/api/keys", &body.to_string()).await
}

#[tokio::test]
async fn a_key_is_shown_once_and_counts_until_it_is_revoked() {
    let gateway = Gateway::start(CONFIG).await;
    let api = Api::with_token(&gateway, "secret").await;
    assert_eq!(api.get("/api/keys").await["keys"], json!([]));
    let made = create(
        &api,
        &json!({"name": "ci", "tags": {"team": "ml"}, "models": ["m"], "expires": "2999-01-31"}),
    )
    .await;
    assert_eq!(made.status, 201, "{}", made.text());
    let made = made.json();
    let names: Vec<&str> = made.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!((names, &made["name"]), (vec!["id", "name", "key"], &json!("ci")));
    let (id, key) = (made["id"].as_str().unwrap(), made["key"].as_str().unwrap());
    assert_eq!(ask(&gateway, key).await.status, 200);
    let one = format!("/api/keys/{id}");
    let shown = api.get(&one).await;
    assert_eq!(api.get("/api/keys").await["keys"], json!([shown]));
    let hint = shown["hint"].as_str().unwrap();
    assert!(hint.starts_with(&key[..7]) && hint.ends_with(&key[63..]), "{hint}");
    assert_eq!(
        (&shown["expires"], &shown["tags"], &shown["tools"]),
        (&json!("2999-01-31T00:00:00Z"), &json!({"team": "ml"}), &Value::Null)
    );
    // a change of one setting leaves the others
    let changed = api.write("PATCH", &one, &one, r#"{"disabled":true,"expires":null}"#).await;
    assert_eq!(changed.status, 200, "{}", changed.text());
    let mut expected = shown.clone();
    expected["disabled"] = true.into();
    expected["expires"] = Value::Null;
    assert_eq!(changed.json(), expected);
    assert!(ask(&gateway, key).await.refusal(401, "authentication_error").contains("disabled"));
    let enabled = api.write("PATCH", &one, &one, r#"{"disabled":false,"models":["other"]}"#).await;
    assert_eq!(enabled.json()["models"], json!(["other"]));
    ask(&gateway, key).await.refusal(403, "permission_error");
    let gone = api.write("DELETE", &one, &one, "").await;
    assert_eq!((gone.status, gone.body.len()), (204, 0));
    assert!(ask(&gateway, key).await.refusal(401, "authentication_error").contains("revoked"));
    api.get_error(&one, 404).await;
    assert_eq!(ask(&gateway, "tg-own").await.status, 200);
    // the rows of the audit table have the settings, and no key
    let audit = api.get("/api/audit").await;
    let rows: Vec<Value> = audit["rows"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| json!([row["method"], row["object"], row["status"]]))
        .collect();
    assert_eq!(
        rows,
        [
            json!(["DELETE", id, 204]),
            json!(["PATCH", id, 200]),
            json!(["PATCH", id, 200]),
            json!(["POST", id, 201])
        ]
    );
    let detail: Value = serde_json::from_str(audit["rows"][1]["detail"].as_str().unwrap()).unwrap();
    assert_eq!(
        (&detail["before"]["disabled"], &detail["after"]["models"]),
        (&json!(true), &json!(["other"]))
    );
    assert!(!audit.to_string().contains(&key[10..60]));
}

#[tokio::test]
async fn a_write_needs_the_present_version() {
    let gateway = Gateway::start(CONFIG).await;
    let api = Api::with_token(&gateway, "secret").await;
    let body = r#"{"name":"ci"}"#;
    let post = || api.ask("POST", "/api/keys").with_body(body);
    assert_eq!(api.send(post()).await.status, 428);
    assert_eq!(api.send(post().header("if-match", "\"x\"")).await.status, 412);
    let tag = api.send(api.ask("GET", "/api/keys")).await.header("etag").unwrap().to_owned();
    let made = api.send(post().header("if-match", &tag)).await;
    assert_eq!(made.status, 201);
    let own = made.header("etag").unwrap().to_owned();
    // the list has changed since
    let other = api.ask("POST", "/api/keys").with_body(r#"{"name":"b"}"#).header("if-match", &tag);
    assert_eq!(api.send(other).await.status, 412);
    let one = format!("/api/keys/{}", made.json()["id"].as_str().unwrap());
    for method in ["PATCH", "DELETE"] {
        assert_eq!(api.send(api.ask(method, &one)).await.status, 428);
        assert_eq!(api.send(api.ask(method, &one).header("if-match", &tag)).await.status, 412);
    }
    let changed = api
        .send(api.ask("PATCH", &one).header("if-match", &own).with_body(r#"{"name":"c"}"#))
        .await;
    assert_eq!((changed.status, &changed.json()["name"]), (200, &json!("c")));
    assert_eq!(api.send(api.ask("DELETE", &one).header("if-match", &own)).await.status, 412);
    let now = changed.header("etag").unwrap();
    assert_eq!(api.send(api.ask("DELETE", &one).header("if-match", now)).await.status, 204);
    assert_eq!(api.send(api.ask("DELETE", &one).header("if-match", "*")).await.status, 404);
}

#[tokio::test]
async fn a_wrong_setting_is_named_and_makes_nothing() {
    let gateway = Gateway::start(CONFIG).await;
    let api = Api::with_token(&gateway, "secret").await;
    create(&api, &json!({"name": "taken"})).await;
    for (body, status, field) in [
        (json!({}), 400, "name"),
        (json!({"name": ""}), 400, "name"),
        (json!({"name": "a\nb"}), 400, "name"),
        (json!({"name": "x", "models": "m"}), 400, "models"),
        (json!({"name": "x", "tags": {"a": 1}}), 400, "tags.a"),
        (json!({"name": "x", "expires": "soon"}), 400, "expires"),
        (json!({"name": "x", "limits": {}}), 400, "limits"),
        (json!({"name": "taken"}), 409, "name"),
        // of a key in the config
        (json!({"name": "own"}), 409, "name"),
    ] {
        let answer = create(&api, &body).await;
        assert_eq!(answer.status, status, "{body}: {}", answer.text());
        assert_eq!(answer.json()["error"]["field"], field, "{body}");
    }
    let keys = api.get("/api/keys").await["keys"].clone();
    assert_eq!(keys.as_array().unwrap().len(), 1);
    let one = format!("/api/keys/{}", keys[0]["id"].as_str().unwrap());
    let renamed = api.write("PATCH", &one, &one, r#"{"name":"own"}"#).await;
    assert_eq!((renamed.status, api.get(&one).await), (409, keys[0].clone()));
}

#[tokio::test]
async fn without_a_key_store_there_are_no_keys_to_manage() {
    let gateway = Gateway::start(&CONFIG.replace("key_store: ledger\n", "")).await;
    let api = Api::with_token(&gateway, "secret").await;
    let error = api.get_error("/api/keys", 404).await;
    assert!(error["message"].as_str().unwrap().contains("`key_store`"));
    let asked = api.ask("POST", "/api/keys").with_body(r#"{"name":"a"}"#).header("if-match", "*");
    assert_eq!(api.send(asked).await.status, 404);
}

#[tokio::test]
async fn a_store_without_keys_closes_the_gateway_and_a_restart_finds_its_keys() {
    let config = CONFIG.replace("keys: [{ name: own, key: tg-own }]\n", "");
    let folder = tempfile::tempdir().unwrap();
    let config = config.replace(
        "ledger: sqlite\n",
        &format!("ledger: \"sqlite:{}/l.db\"\n", folder.path().display()),
    );
    let gateway = Gateway::start(&config).await;
    Ask::message(MESSAGE).send(gateway.address).await.refusal(401, "authentication_error");
    let api = Api::with_token(&gateway, "secret").await;
    let made = create(&api, &json!({"name": "ci"})).await.json();
    gateway.stop().await;
    let gateway = Gateway::start(&config).await;
    assert_eq!(ask(&gateway, made["key"].as_str().unwrap()).await.status, 200);
}

#[tokio::test]
async fn gateways_with_one_postgresql_share_their_keys() {
    let Some(server) = Server::start() else { return };
    let up = Upstream::always(Behaviour::Answer(whole(200, ANSWER))).await;
    let start = async || {
        let config = format!(
            "ledger: \"{}\"\nkey_store: ledger\nadmin: {{ listen: 127.0.0.1:0, token: secret }}\n",
            server.url()
        );
        Gateway::with().upstream(up.address).config(config).start().await
    };
    let (first, second) = tokio::join!(start(), start());
    let api = Api::with_token(&first, "secret").await;
    let other = Api::with_token(&second, "secret").await;
    let made = create(&api, &json!({"name": "ci"})).await.json();
    let (id, key) = (made["id"].as_str().unwrap(), made["key"].as_str().unwrap());
    assert_eq!(ask(&first, key).await.status, 200);
    until("the key on the other gateway", async || ask(&second, key).await.status == 200).await;
    let one = format!("/api/keys/{id}");
    assert_eq!(other.write("DELETE", &one, &one, "").await.status, 204);
    assert_eq!(ask(&second, key).await.status, 401);
    until("the end of the key", async || ask(&first, key).await.status == 401).await;
    let audit = api.get("/api/audit").await;
    let rows: Vec<&Value> =
        audit["rows"].as_array().unwrap().iter().map(|row| &row["status"]).collect();
    assert_eq!(rows, [204, 201]);
}

#[tokio::test]
async fn a_stream_that_has_begun_goes_on_when_its_key_is_revoked() {
    let mut up = Upstream::start().await;
    let config =
        "ledger: sqlite\nkey_store: ledger\nadmin: { listen: 127.0.0.1:0, token: secret }\n";
    let gateway = Gateway::with().upstream(up.address).config(config).start().await;
    let api = Api::with_token(&gateway, "secret").await;
    let made = create(&api, &json!({"name": "ci"})).await.json();
    let key = made["key"].as_str().unwrap();
    let asked = Ask::message(STREAM).header("x-api-key", key).open(gateway.address);
    let begin = async {
        let mut call = up.call().await;
        call.begin_stream().await;
        call.chunk(FRAMES[0]).await;
        call
    };
    let (mut answer, mut call) = tokio::join!(asked, begin);
    assert_eq!(answer.frame().await.unwrap(), FRAMES[0]);
    let one = format!("/api/keys/{}", made["id"].as_str().unwrap());
    assert_eq!(api.write("DELETE", &one, &one, "").await.status, 204);
    ask(&gateway, key).await.refusal(401, "authentication_error");
    for frame in &FRAMES[1..] {
        call.chunk(frame).await;
        assert_eq!(answer.frame().await.unwrap(), *frame);
    }
    call.end_stream().await;
    assert_eq!(answer.frame().await, None);
}
