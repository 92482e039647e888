//! The chain: the order of the places, and each place with a server on loopback.
use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::*;
use crate::testing::head::Head;
use crate::testing::upstream::{self, Auto, Behaviour, Call, Upstream};

const KEYS: &str = r#"{"Code":"Success","AccessKeyId":"ASIA1","SecretAccessKey":"secret","Token":"token","Expiration":"2099-01-01T00:00:00Z"}"#;
const ROLE: &str = r#"{"roleCredentials":{"accessKeyId":"ASIA4","secretAccessKey":"secret","sessionToken":"token","expiration":4070908800000}}"#;
const XML: &str = "<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>ASIA2</AccessKeyId><SecretAccessKey>secret</SecretAccessKey><SessionToken>token</SessionToken><Expiration>2099-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>";

/// A server of all places: instance, container, and the Security Token Service.
async fn server() -> Auto {
    Upstream::by(|call: &Call| {
        let answer = |body: &str| Behaviour::Answer(upstream::answer(200, "", body));
        match call.head.line.as_str() {
            "PUT /latest/api/token HTTP/1.1" => answer("imds-token"),
            "GET /latest/meta-data/iam/security-credentials/ HTTP/1.1" => answer("my-role\n"),
            "GET /latest/meta-data/iam/security-credentials/my-role HTTP/1.1" => answer(KEYS),
            "GET /federation/credentials?role_name=my+role&account_id=123 HTTP/1.1"
                if call.head.header("x-amz-sso_bearer_token") == Some("signed-on") =>
            {
                answer(ROLE)
            }
            "GET /creds HTTP/1.1" => answer(&KEYS.replace("ASIA1", "ASIA3")),
            "POST / HTTP/1.1" => answer(XML),
            _ => Behaviour::Answer(upstream::answer(404, "", "<Code>NoSuchThing</Code>")),
        }
    })
    .await
}

/// The environment of a test, with every server at one address and a home folder of its own.
struct Place {
    home: tempfile::TempDir,
    address: SocketAddr,
    variables: BTreeMap<&'static str, String>,
}

impl Place {
    fn new(address: SocketAddr) -> Self {
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir(home.path().join(".aws")).unwrap();
        let variables = BTreeMap::from([
            ("HOME", home.path().to_str().unwrap().to_owned()),
            ("AWS_ENDPOINT_URL_STS", format!("http://{address}")),
            ("AWS_EC2_METADATA_SERVICE_ENDPOINT", format!("http://{address}")),
        ]);
        Self { home, address, variables }
    }

    fn with(mut self, name: &'static str, value: &str) -> Self {
        self.variables.insert(name, value.replace("ADDRESS", &self.address.to_string()));
        self
    }

    fn file(self, name: &str, text: &str) -> Self {
        std::fs::write(self.home.path().join(name), text).unwrap();
        self
    }

    async fn keys(&self, config: &Config) -> Result<String, String> {
        let environment = Environment::Table(self.variables.clone());
        let source = Source::new(config, "us-east-1", environment, None, &Client::new(1));
        let keys = source.get().await.map_err(|Missing(why)| why.to_string())?;
        assert_eq!(
            source.get().await.map_err(|missing| missing.0.to_string())?.access_key_id(),
            keys.access_key_id()
        );
        Ok(keys.access_key_id().to_owned())
    }

    async fn default_keys(&self) -> Result<String, String> {
        self.keys(&Config::Default).await
    }
}

fn form(body: &[u8]) -> BTreeMap<String, String> {
    url::form_urlencoded::parse(body).into_owned().collect()
}

fn last(server: &Auto) -> (Head, Vec<u8>) {
    server.seen().pop().unwrap()
}

#[tokio::test]
async fn the_first_place_that_is_configured_has_the_keys() {
    let server = server().await;
    let place = Place::new(server.address);
    assert_eq!(place.default_keys().await.unwrap(), "ASIA1");
    assert_eq!(server.count(), 3, "the keys are kept");
    assert_eq!(last(&server).0.header("x-aws-ec2-metadata-token"), Some("imds-token"));
    let place = place
        .with("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://ADDRESS/creds")
        .with("AWS_CONTAINER_AUTHORIZATION_TOKEN", "pod");
    assert_eq!(place.default_keys().await.unwrap(), "ASIA3");
    assert_eq!(last(&server).0.header("authorization"), Some("pod"));
    let file = place.home.path().join("token").to_str().unwrap().to_owned();
    let place = place
        .file("token", "jwt\n")
        .with("AWS_WEB_IDENTITY_TOKEN_FILE", &file)
        .with("AWS_ROLE_ARN", "arn:role");
    assert_eq!(place.default_keys().await.unwrap(), "ASIA2");
    let sent = form(&last(&server).1);
    assert_eq!(
        (
            &*sent["Action"],
            &*sent["RoleArn"],
            &*sent["WebIdentityToken"],
            &*sent["RoleSessionName"]
        ),
        ("AssumeRoleWithWebIdentity", "arn:role", "jwt", "tidegate")
    );
    let place = place.file(
        ".aws/credentials",
        "[default]\naws_access_key_id = AKIAF\naws_secret_access_key = s\n",
    );
    assert_eq!(place.default_keys().await.unwrap(), "AKIAF");
    let place = place.with("AWS_ACCESS_KEY_ID", "AKIAE").with("AWS_SECRET_ACCESS_KEY", "s");
    assert_eq!(place.default_keys().await.unwrap(), "AKIAE");
}

#[tokio::test]
async fn a_profile_may_assume_a_role() {
    let server = server().await;
    let config = "[profile work]\nrole_arn = arn:role\nexternal_id = e1\nsource_profile = base\n[profile base]\naws_access_key_id = AKIAB\naws_secret_access_key = s\n[profile on-ec2]\nrole_arn = arn:role\ncredential_source = Ec2InstanceMetadata\n";
    let place = Place::new(server.address).file(".aws/config", config);
    let profile = |name: &str| Config::Profile(config::Profile { profile: name.to_owned() });
    assert_eq!(place.keys(&profile("work")).await.unwrap(), "ASIA2");
    let (head, body) = last(&server);
    let signed = head.header("authorization").unwrap().to_owned();
    assert!(signed.starts_with("AWS4-HMAC-SHA256 Credential=AKIAB/"), "{signed}");
    assert!(signed.contains("/us-east-1/sts/aws4_request"), "{signed}");
    let sent = form(&body);
    assert_eq!((&*sent["Action"], &*sent["ExternalId"]), ("AssumeRole", "e1"));
    assert_eq!(place.keys(&profile("on-ec2")).await.unwrap(), "ASIA2");
    assert!(last(&server).0.header("authorization").unwrap().contains("Credential=ASIA1/"));
    let place = place.with("AWS_PROFILE", "base");
    assert_eq!(place.default_keys().await.unwrap(), "AKIAB");
}

#[tokio::test]
async fn a_place_that_is_configured_and_fails_ends_the_search() {
    let server = server().await;
    let place = || Place::new(server.address);
    let sso = place().file(".aws/config", "[default]\nsso_session = x\n");
    let login = place().file(".aws/config", "[default]\nlogin_session = x\n");
    let process = |command: &str| {
        place().file(".aws/config", &format!("[default]\ncredential_process = {command}\n"))
    };
    let table = [
        (place().with("AWS_PROFILE", "none"), "the AWS profile `none` is not in the files"),
        (sso, "has no `sso_region`"),
        (login, "uses `login_session`"),
        (process("/nowhere/at-all"), "cannot be started"),
        (process("sh -c 'exit 3'"), "failed: exit status: 3"),
        (process("echo no-json-secret"), "answered without keys"),
        (process("sh 'open"), "has an open quote"),
        (
            place().with("AWS_WEB_IDENTITY_TOKEN_FILE", "/nowhere/t").with("AWS_ROLE_ARN", "r"),
            "`/nowhere/t` cannot be read",
        ),
        (
            place().with("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://ADDRESS/other"),
            "the container's server of credentials answered 404",
        ),
        (
            place().with("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://example.com/c"),
            "must be `https://`",
        ),
        (place().with("AWS_EC2_METADATA_DISABLED", "true"), "no AWS credentials"),
        (
            place().with("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:1"),
            "no AWS credentials",
        ),
        (place().file(".aws/config", "[default]\nrole_arn = r\n"), "no `source_profile`"),
        (
            place().file(
                ".aws/config",
                "[default]\nrole_arn = r\nsource_profile = b\n[profile b]\nrole_arn = r\nsource_profile = c\ncredential_process = echo no\n",
            ),
            "does not support chains of roles",
        ),
        (process("sh -c \"true ; exit 4\""), "failed: exit status: 4"),
        (process("sh -c 'exit 5' ; a comment"), "failed: exit status: 5"),
    ];
    for (place, part) in table {
        let message = place.default_keys().await.unwrap_err();
        assert!(message.contains(part), "{message}");
    }
}

#[tokio::test]
async fn a_refusal_of_the_token_service_is_named_by_its_code() {
    let refusal = "<ErrorResponse><Error><Code>AccessDenied</Code><Message>secret words</Message></Error></ErrorResponse>";
    let server = Upstream::always(Behaviour::Answer(upstream::answer(403, "", refusal))).await;
    let place = Place::new(server.address);
    let file = place.home.path().join("token").to_str().unwrap().to_owned();
    let place = place
        .file("token", "jwt")
        .with("AWS_WEB_IDENTITY_TOKEN_FILE", &file)
        .with("AWS_ROLE_ARN", "r");
    assert_eq!(
        place.default_keys().await.unwrap_err(),
        "the Security Token Service answered 403: AccessDenied"
    );
}

#[test]
fn credentials_are_read_in_three_forms() {
    let read = |text: &str| serde_json::from_str::<Config>(text);
    assert!(matches!(read(r#""default""#), Ok(Config::Default)));
    assert!(matches!(read(r#"{"profile":"p"}"#), Ok(Config::Profile(_))));
    assert!(matches!(
        read(r#"{"access_key_id":"a","secret_access_key":"b"}"#),
        Ok(Config::Keys(_))
    ));
    for (text, part) in [
        (r#""other""#, "must be `default`"),
        ("5", "must be `default`"),
        (r#"{"access_key_id":"a"}"#, "secret_access_key"),
        (r#"{"profile":"p","x":1}"#, "unknown field `x`"),
    ] {
        let message = read(text).unwrap_err().to_string();
        assert!(message.contains(part), "{message}");
    }
}

#[tokio::test]
async fn a_profile_may_sign_on_by_the_token_of_its_session() {
    let server = server().await;
    let session = "[default]\nsso_session = corp\nsso_account_id = 123\nsso_role_name = my role\n[sso-session corp]\nsso_region = eu-west-1\nsso_start_url = https://corp.awsapps.com/start\n";
    let older = "[default]\nsso_start_url = https://corp.awsapps.com/start\nsso_region = eu-west-1\nsso_account_id = 123\nsso_role_name = my role\n";
    // the names are the SHA-1 of the session and of the start URL
    for (config, file) in [
        (session, "ee0bfd2552fbd840c02cc48b6e823320543c450f"),
        (older, "a51746d4aa793ae07b25e90c3a5db96fc7832bd7"),
    ] {
        let place = Place::new(server.address).with("AWS_ENDPOINT_URL_SSO", "http://ADDRESS");
        std::fs::create_dir_all(place.home.path().join(".aws/sso/cache")).unwrap();
        let token = format!(".aws/sso/cache/{file}.json");
        let place = place.file(".aws/config", config);
        let message = place.default_keys().await.unwrap_err();
        assert!(message.contains("run `aws sso login`"), "{message}");
        let place =
            place.file(&token, r#"{"accessToken":"old","expiresAt":"2001-01-01T00:00:00Z"}"#);
        let message = place.default_keys().await.unwrap_err();
        assert_eq!(message, "the sign-on ended at 2001-01-01T00:00:00Z: run `aws sso login`");
        let place = place
            .file(&token, r#"{"accessToken":"signed-on","expiresAt":"2099-01-01T00:00:00UTC"}"#);
        assert_eq!(place.default_keys().await.unwrap(), "ASIA4");
    }
}

#[tokio::test]
async fn a_profile_may_name_a_program_that_prints_keys() {
    let server = server().await;
    let keys = r#"{"Version":1,"AccessKeyId":"ASIA5","SecretAccessKey":"secret","SessionToken":"token","Expiration":"2099-01-01T00:00:00Z"}"#;
    let place = Place::new(server.address).file("keys.json", keys);
    let file = place.home.path().join("keys.json");
    let config = format!(
        "[default]\ncredential_process = cat \"{}\"\n[profile role]\nrole_arn = arn:role\nsource_profile = default\n",
        file.display()
    );
    let place = place.file(".aws/config", &config);
    assert_eq!(place.default_keys().await.unwrap(), "ASIA5");
    let role = Config::Profile(config::Profile { profile: "role".to_owned() });
    assert_eq!(place.keys(&role).await.unwrap(), "ASIA2");
    assert!(last(&server).0.header("authorization").unwrap().contains("Credential=ASIA5/"));
}
