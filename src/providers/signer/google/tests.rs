//! Google's credentials: files, the assertion of an account, and the metadata server.
use std::collections::BTreeMap;
use std::time::Duration;

use ring::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use serde_json::Value;

use super::*;
use crate::testing::upstream::{self, Auto, Behaviour, Upstream};

/// A key that was made for these tests.
const KEY: &str = include_str!("../../../../tests/fixtures/test_account.pem");

fn account(token_uri: &str) -> String {
    json!({
        "type": "service_account",
        "project_id": "p",
        "private_key_id": "kid-1",
        "private_key": KEY,
        "client_email": "gateway@p.iam.gserviceaccount.com",
        "token_uri": token_uri,
    })
    .to_string()
}

fn environment(variables: &[(&'static str, &str)]) -> Environment {
    let table = variables.iter().map(|(name, value)| (*name, (*value).to_owned()));
    Environment::Table(table.collect::<BTreeMap<_, _>>())
}

fn source(credentials: &str, environment: &Environment) -> Result<Source, String> {
    Source::new(
        &Secret::new(credentials),
        Path::new("/nowhere"),
        environment,
        None,
        &Client::new(1),
    )
}

async fn server() -> Auto {
    let token = r#"{"access_token":"ya29.token","expires_in":3599,"token_type":"Bearer"}"#;
    Upstream::always(Behaviour::Answer(upstream::json(200, token))).await
}

#[test]
fn an_assertion_is_signed_by_the_account_for_the_uri_of_its_file() {
    let client = Client::new(1);
    let text = account("http://127.0.0.1:1/token");
    let Ok(Kind::Account(account)) =
        Kind::of_json(&text, "x", Way { proxy: None, client: &client })
    else {
        panic!()
    };
    let at = UNIX_EPOCH + Duration::from_secs(1_795_867_200);
    let assertion = account.assertion(at).unwrap();
    let (signed, signature) = assertion.rsplit_once('.').unwrap();
    let parts: Vec<Value> = signed
        .split('.')
        .map(|part| serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap())
        .collect();
    assert_eq!(parts[0], json!({"alg": "RS256", "typ": "JWT", "kid": "kid-1"}));
    assert_eq!(
        parts[1],
        json!({
            "iss": "gateway@p.iam.gserviceaccount.com",
            "scope": "https://www.googleapis.com/auth/cloud-platform",
            "aud": "http://127.0.0.1:1/token",
            "iat": 1_795_867_200,
            "exp": 1_795_870_800,
        })
    );
    let public = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, account.key.public());
    let signature = BASE64_URL_SAFE_NO_PAD.decode(signature).unwrap();
    public.verify(signed.as_bytes(), &signature).unwrap();
}

#[tokio::test]
async fn a_token_of_an_account_is_fetched_once() {
    let server = server().await;
    let text = account(&format!("http://{}/token", server.address));
    let source = source(&text, &environment(&[])).unwrap();
    for _ in 0..2 {
        assert_eq!(source.get().await.unwrap(), "Bearer ya29.token");
    }
    source.forget();
    source.get().await.unwrap();
    assert_eq!(server.count(), 2);
    let (head, body) = server.seen().remove(0);
    assert_eq!(
        (head.line.as_str(), head.header("content-type")),
        ("POST /token HTTP/1.1", Some("application/x-www-form-urlencoded"))
    );
    let form: BTreeMap<_, _> = url::form_urlencoded::parse(&body).into_owned().collect();
    assert_eq!(form["grant_type"], "urn:ietf:params:oauth:grant-type:jwt-bearer");
    assert_eq!(form["assertion"].split('.').count(), 3);
}

#[tokio::test]
async fn a_users_refresh_token_is_exchanged() {
    let server = server().await;
    let user = json!({"type": "authorized_user", "client_id": "c", "client_secret": "s", "refresh_token": "1//r", "token_uri": format!("http://{}/", server.address)});
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("application_default_credentials.json");
    std::fs::write(&file, user.to_string()).unwrap();
    let gcloud = environment(&[("CLOUDSDK_CONFIG", folder.path().to_str().unwrap())]);
    let named = environment(&[("GOOGLE_APPLICATION_CREDENTIALS", file.to_str().unwrap())]);
    for source in [
        source("default", &gcloud),
        source("", &named),
        source(file.to_str().unwrap(), &environment(&[])),
    ] {
        assert_eq!(source.unwrap().get().await.unwrap(), "Bearer ya29.token");
    }
    let (_, body) = server.seen().remove(2);
    let form: BTreeMap<_, _> = url::form_urlencoded::parse(&body).into_owned().collect();
    assert_eq!(
        (form["grant_type"].as_str(), form["refresh_token"].as_str()),
        ("refresh_token", "1//r")
    );
}

#[tokio::test]
async fn without_a_file_the_metadata_server_has_the_token() {
    let server = server().await;
    let host = server.address.to_string();
    let source = source("default", &environment(&[("GCE_METADATA_HOST", &host)])).unwrap();
    assert_eq!(source.get().await.unwrap(), "Bearer ya29.token");
    let (head, _) = server.seen().remove(0);
    assert_eq!(head.target(), "/computeMetadata/v1/instance/service-accounts/default/token");
    assert_eq!(head.header("metadata-flavor"), Some("Google"));
}

#[test]
fn wrong_files_are_refused_without_their_content() {
    let nothing = environment(&[]);
    let broken = account("https://x").replace("BEGIN PRIVATE", "BEGIN PUBLIC");
    let table = [
        ("{", "`credentials` is no JSON of Google credentials"),
        (
            r#"{"type":"external_account","secret":"s3"}"#,
            "`credentials` has `type: external_account`",
        ),
        (r#"{"type":"service_account","client_email":"s3"}"#, "`credentials` lacks a member"),
        (&broken, "`credentials` has a `private_key` that is no RSA key in PEM"),
        (r#"{"type":"service_account","client_email":"e","private_key":"s3"}"#, "no RSA key"),
        ("missing.json", "`/nowhere/missing.json` cannot be read"),
    ];
    for (credentials, part) in table {
        let message = source(credentials, &nothing).err().unwrap();
        assert!(message.contains(part) && !message.contains("s3"), "{message}");
    }
    let named = environment(&[("GOOGLE_APPLICATION_CREDENTIALS", "/nowhere/else.json")]);
    assert!(source("default", &named).err().unwrap().contains("/nowhere/else.json"));
}
