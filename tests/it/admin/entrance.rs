//! The entrance of the admin API: token, host, origin, methods, bounds.
use crate::support::client::Ask;
use crate::support::gateway::Gateway;

use super::Api;

const CONFIG: &str = "providers: { up: { type: anthropic } }
models: { m: { provider: up } }
";

#[tokio::test]
async fn only_probes_are_open_if_there_is_a_token() {
    let config = format!("{CONFIG}admin: {{ listen: 127.0.0.1:0, token: secret }}\n");
    let gateway = Gateway::start(&config).await;
    let api = Api::with_token(&gateway, "secret").await;
    let paths = api.document["paths"].as_object().unwrap().keys();
    for path in paths.filter(|path| path.starts_with("/api/")) {
        let path = path.replace("{id}", "x");
        for token in [None, Some("Bearer wrong"), Some("Bearer "), Some("Basic secret")] {
            let ask = Ask::get(&path).admin();
            let ask = token.iter().fold(ask, |ask, token| ask.header("authorization", token));
            let answer = ask.send(gateway.admin).await;
            // a few wrong tokens are a 401, many are a 429
            assert!(matches!(answer.status, 401 | 429), "{path} {token:?}: {}", answer.status);
            assert!(!answer.text().contains("secret"));
        }
    }
    for path in ["/healthz", "/readyz"] {
        assert_eq!(Ask::get(path).send(gateway.admin).await.status, 200, "{path}");
    }
}

#[tokio::test]
async fn an_unknown_route_and_a_wrong_method_are_errors_in_the_same_form() {
    let gateway = Gateway::start(CONFIG).await;
    let api = Api::of(&gateway).await;
    let error = api.get_error("/api/nothing", 404).await;
    assert_eq!(error["type"], "not_found_error");
    assert!(error["message"].as_str().unwrap().contains("/api/openapi.json"), "{error}");
    let answer = api.send(api.ask("DELETE", "/api/generation")).await;
    assert_eq!((answer.status, answer.header("allow")), (405, Some("GET")));
    let error = &answer.json()["error"];
    assert_eq!((&error["field"], &error["expected"]), (&"method".into(), &"GET".into()));
    let error = api.get_error("/api/audit", 404).await;
    assert!(error["message"].as_str().unwrap().contains("ledger"), "{error}");
}

#[tokio::test]
async fn a_page_of_another_site_reads_and_writes_nothing() {
    let gateway = Gateway::start(CONFIG).await;
    let reload = || Ask::new("POST", "/api/generation/reload").header("if-match", "*");
    // its own name resolves to loopback
    for ask in [Ask::get("/api/status"), Ask::get("/metrics"), reload()] {
        let answer = ask.header("host", "evil.example:4001").send(gateway.admin).await;
        assert_eq!(answer.status, 403);
        assert_eq!(answer.json()["error"]["field"], "host");
    }
    let cross = reload().admin().header("origin", "https://evil.example");
    let answer = cross.send(gateway.admin).await;
    assert_eq!((answer.status, answer.json()["error"]["field"].clone()), (403, "origin".into()));
    let own = reload().admin().header("origin", "http://localhost");
    assert_eq!(own.send(gateway.admin).await.status, 200);
}

#[tokio::test]
async fn a_name_of_a_proxy_can_be_added() {
    let config = format!("{CONFIG}admin: {{ listen: 127.0.0.1:0, hosts: [ops.example.com] }}\n");
    let gateway = Gateway::start(&config).await;
    let ask = |host: &str| Ask::get("/api/status").header("host", host).send(gateway.admin);
    assert_eq!(ask("ops.example.com").await.status, 200);
    assert_eq!(ask("other.example.com").await.status, 403);
}

#[tokio::test]
async fn a_body_is_bounded() {
    let gateway = Gateway::start(CONFIG).await;
    let api = Api::of(&gateway).await;
    let large = format!("{{\"x\":\"{}\"}}", "x".repeat(1024 * 1024));
    let ask = api.ask("POST", "/api/drain").header("if-match", "*");
    let answer = api.send(ask.clone().with_body(large)).await;
    assert_eq!(answer.status, 413);
    for (body, field) in [(r#"{"stop":"x"}"#, "stop"), (r#"{"x":1}"#, "x"), ("{", "body")] {
        let answer = api.send(ask.clone().with_body(body)).await;
        assert_eq!((answer.status, answer.json()["error"]["field"].clone()), (400, field.into()));
    }
    assert_eq!(api.get("/api/drain").await["state"], "ready");
}
