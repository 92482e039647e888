//! Anthropic's own platform behind AWS and Google Cloud, and settings that cannot work.
use serde_json::json;

use crate::support::client::Ask;
use crate::support::gateway::Gateway;
use crate::support::upstream::{self, Behaviour, Call, Upstream};
use crate::support::{ANSWER, MESSAGE};

#[tokio::test]
async fn claude_platform_on_aws_is_signed_for_its_own_service() {
    let up = Upstream::always(Behaviour::Answer(upstream::json(200, ANSWER))).await;
    let config = format!(
        "{{ type: anthropic, base_url: \"http://{}\", aws: {{ region: us-west-2, workspace: wrkspc_1, credentials: {{ access_key_id: AKID, secret_access_key: s, session_token: t }} }} }}",
        up.address
    );
    let gateway = Gateway::with().provider("aws", &config).start().await;
    assert_eq!(Ask::message(MESSAGE).send(gateway.address).await.text(), ANSWER);
    let (head, body) = up.seen().remove(0);
    assert_eq!((head.target(), body.as_slice()), ("/v1/messages", MESSAGE.as_bytes()));
    assert_eq!(head.header("anthropic-workspace-id"), Some("wrkspc_1"));
    assert_eq!(head.header("x-amz-security-token"), Some("t"));
    let signed = head.header("authorization").unwrap();
    assert!(signed.contains("/us-west-2/aws-external-anthropic/aws4_request, SignedHeaders=anthropic-version;anthropic-workspace-id;content-type;host;x-amz-date;x-amz-security-token,"), "{signed}");
}

#[tokio::test]
async fn claude_on_google_cloud_takes_a_token_and_every_route() {
    let up = Upstream::by(|call: &Call| {
        Behaviour::Answer(match call.head.target() {
            "/token" => upstream::json(200, r#"{"access_token":"ya29.x","expires_in":3599}"#),
            "/invoke/v1/messages" => upstream::json(200, ANSWER),
            _ => upstream::json(200, r#"{"data":[]}"#),
        })
    })
    .await;
    let user = json!({"type": "authorized_user", "client_id": "c", "client_secret": "s", "refresh_token": "r", "token_uri": format!("http://{}/token", up.address)});
    let config = format!(
        "{{ type: anthropic, base_url: \"http://{}/invoke\", google: {{ project: p, workspace: ws, credentials: user.json }} }}",
        up.address
    );
    let builder = Gateway::with().provider("gcp", &config).config("passthrough: gcp");
    let gateway = builder.file("user.json", user.to_string()).start().await;
    assert_eq!(Ask::message(MESSAGE).send(gateway.address).await.text(), ANSWER);
    assert_eq!(Ask::get("/v1/files").send(gateway.address).await.text(), r#"{"data":[]}"#);
    let seen = up.seen();
    assert_eq!(seen.len(), 3);
    for (head, _) in &seen[1..] {
        assert_eq!(head.header("authorization"), Some("Bearer ya29.x"));
    }
    assert_eq!(seen[2].0.target(), "/invoke/v1/files");
}

#[test]
fn settings_that_cannot_work_are_problems_with_their_path() {
    let table = [
        ("{ type: bedrock, region: US }", "region", "expected one such as `us-east-1`"),
        (
            "{ type: bedrock, region: us-east-1, api_key: k, credentials: default }",
            "api_key",
            "together with `credentials`",
        ),
        (
            "{ type: bedrock, region: us-east-1, credentials: none }",
            "credentials",
            "`credentials` must be `default`",
        ),
        ("{ type: bedrock, region: us-east-1, api: mantle, profile: us }", "profile", "no effect"),
        ("{ type: bedrock, region: us-east-1, betas: { \"a b\": keep } }", "betas", "`a b`"),
        (
            "{ type: bedrock, region: us-east-1, headers: { host: x } }",
            "headers",
            "`host` is the gateway's own",
        ),
        (
            "{ type: bedrock, region: us-east-1, proxy: \"http://u:secret@p/x\" }",
            "proxy",
            "has no effect",
        ),
        ("{ type: vertex, project: \"a/b\" }", "project", "is no id"),
        (
            "{ type: vertex, project: p, base_url: \"ftp://x\" }",
            "base_url",
            "`http://` or `https://`",
        ),
        ("{ type: foundry, api_key: k }", "resource", "is missing"),
        ("{ type: foundry, resource: r }", "api_key", "is missing"),
        (
            "{ type: foundry, resource: r, base_url: \"https://x\", api_key: k }",
            "base_url",
            "together with `resource`",
        ),
        (
            "{ type: anthropic, google: { project: p, workspace: w }, aws: { region: r, workspace: w } }",
            "google",
            "together with `aws`",
        ),
        (
            "{ type: anthropic, google: { project: p, workspace: w }, api_key: k }",
            "api_key",
            "together with `google`",
        ),
    ];
    for (config, key, part) in table {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("tidegate.yaml");
        std::fs::write(&file, format!("listen: 127.0.0.1:0\nproviders:\n  p: {config}\nmodels:\n  \"*\": {{ provider: p }}\n")).unwrap();
        let problems = tidegate::config::Config::load(&file).err().unwrap();
        let place = format!("providers.p.{key}");
        let found = problems.iter().find(|problem| problem.path.ends_with(&place));
        let found = found.unwrap_or_else(|| panic!("{problems:?} for {config}"));
        assert!(found.message.contains(part), "{found} for {config}");
    }
}
