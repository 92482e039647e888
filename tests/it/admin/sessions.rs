//! The dashboard's pages and the sessions of browsers.
use http::Method;

use crate::support::client::{Answer, Ask};
use crate::support::gateway::Gateway;

use super::Api;

const CONFIG: &str = "providers: { up: { type: anthropic } }
models: { m: { provider: up } }
ledger: sqlite
";

async fn with_token() -> Gateway {
    let admin = "admin: { listen: 127.0.0.1:0, token: secret }\n";
    Gateway::start(&format!("{CONFIG}{admin}")).await
}

fn sign_in(token: &str) -> Ask {
    let body = serde_json::json!({ "token": token }).to_string();
    Ask::post("/login", body).admin().header("content-type", "application/json")
}

/// Returns the cookie of an answer as a browser sends it.
fn cookie(answer: &Answer) -> String {
    let set = answer.header("set-cookie").expect("a cookie");
    set.split(';').next().unwrap().to_owned()
}

async fn session(gateway: &Gateway) -> String {
    let answer = sign_in("secret").send(gateway.admin).await;
    assert_eq!((answer.status, answer.text().as_str()), (204, ""));
    cookie(&answer)
}

async fn status(gateway: &Gateway, ask: Ask) -> u16 {
    ask.open(gateway.admin).await.status
}

/// Tries a route without a credential, with a session, and as a page of another site.
async fn is_guarded(gateway: &Gateway, method: &'static str, path: &str, cookie: &str) {
    // no write has an effect: it names no version
    let ask = || Ask::new(method, path).admin();
    let place = format!("{method} {path}");
    assert_eq!(status(gateway, ask()).await, 401, "{place}");
    let wrong = ask().header("cookie", "tidegate_admin=x");
    assert_eq!(status(gateway, wrong).await, 401, "{place}");
    let own = || ask().header("cookie", cookie);
    assert_ne!(status(gateway, own()).await, 401, "{place}");
    for origin in ["https://evil.example", "http://localhost:3000"] {
        let foreign = own().header("origin", origin);
        assert_eq!(status(gateway, foreign).await, 403, "{place} {origin}");
    }
    let host = Ask::new(method, path).header("host", "evil.example");
    assert_eq!(status(gateway, host.header("cookie", cookie)).await, 403, "{place}");
}

#[tokio::test]
async fn every_route_needs_a_credential_and_takes_a_session_for_one() {
    let gateway = with_token().await;
    let api = Api::with_token(&gateway, "secret").await;
    let cookie = session(&gateway).await;
    let mut tried = 0;
    for (path, methods) in api.document["paths"].as_object().unwrap() {
        for method in methods.as_object().unwrap().keys().filter(|_| path.starts_with("/api/")) {
            let method = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
            let method: &'static str = match method.as_str() {
                "GET" => "GET",
                "POST" => "POST",
                "PUT" => "PUT",
                "PATCH" => "PATCH",
                "DELETE" => "DELETE",
                other => panic!("{other}"),
            };
            let path = path.replace("{id}", "x").replace("{name}", "x").replace("{session}", "x");
            is_guarded(&gateway, method, &path, &cookie).await;
            tried += 1;
        }
    }
    assert!(tried > 20, "{tried}");
}

#[tokio::test]
async fn a_session_ends_with_its_owner_and_is_a_row_of_the_audit_table() {
    let gateway = with_token().await;
    let api = Api::with_token(&gateway, "secret").await;
    let (one, two) = (session(&gateway).await, session(&gateway).await);
    assert_ne!(one, two);
    let reload = |cookie: &str| {
        let ask = Ask::new("POST", "/api/generation/reload").admin().header("if-match", "*");
        ask.header("cookie", cookie).send(gateway.admin)
    };
    assert_eq!(reload(&one).await.status, 200);
    let leave = Ask::post("/logout", "").admin().header("cookie", &one).send(gateway.admin).await;
    assert_eq!(leave.status, 204);
    assert!(leave.header("set-cookie").unwrap().contains("Max-Age=0"));
    assert_eq!((reload(&one).await.status, reload(&two).await.status), (401, 200));
    let rows = api.get("/api/audit").await["rows"].clone();
    let rows: Vec<_> = rows.as_array().unwrap().iter().rev().collect();
    let shown = |n: usize| (rows[n]["route"].as_str(), rows[n]["credential"].as_str());
    assert_eq!(shown(0), (Some("/login"), Some("token")));
    assert_eq!(shown(2), (Some("/api/generation/reload"), Some("session")));
    assert_eq!(rows.len(), 4);
}

#[tokio::test]
async fn wrong_tokens_of_the_page_are_counted_with_those_of_programs() {
    let gateway = with_token().await;
    let cookie = session(&gateway).await;
    let wrong = sign_in("wrong");
    for _ in 0..10 {
        let answer = wrong.clone().send(gateway.admin).await;
        assert_eq!((answer.status, answer.header("set-cookie")), (401, None));
        assert_eq!(answer.json()["error"]["type"], "authentication_error");
        let bearer = Ask::get("/api/status").admin().header("authorization", "Bearer wrong");
        assert_eq!(bearer.send(gateway.admin).await.status, 401);
    }
    let answer = sign_in("secret").send(gateway.admin).await;
    assert_eq!(answer.status, 429);
    assert!(answer.header("retry-after").is_some());
    // a session goes on
    let own = Ask::get("/api/status").admin().header("cookie", &cookie);
    assert_eq!(own.send(gateway.admin).await.status, 200);
}

#[tokio::test]
async fn a_form_of_another_site_cannot_sign_in_or_out() {
    let gateway = with_token().await;
    for content_type in ["", "text/plain", "application/x-www-form-urlencoded"] {
        let ask = Ask::post("/login", r#"{"token":"secret"}"#).admin();
        let answer = ask.header("content-type", content_type).send(gateway.admin).await;
        assert_eq!((answer.status, answer.header("set-cookie")), (415, None), "{content_type}");
    }
    let origin = ("origin", "https://evil.example");
    for ask in [sign_in("secret"), Ask::post("/logout", "").admin()] {
        assert_eq!(ask.header(origin.0, origin.1).send(gateway.admin).await.status, 403);
    }
    for body in ["", "{", r#"{"token":1}"#, r#"{"token":"secret","x":1}"#] {
        let ask = Ask::post("/login", body).admin().header("content-type", "application/json");
        assert_eq!(ask.send(gateway.admin).await.status, 400, "{body}");
    }
    for (method, path) in
        [("DELETE", "/login"), ("GET", "/logout"), ("POST", "/"), ("PUT", "/assets/app.js")]
    {
        let cookie = session(&gateway).await;
        let ask = Ask::new(method, path).admin().header("cookie", &cookie);
        let answer = ask.header("content-type", "application/json").send(gateway.admin).await;
        assert_eq!(answer.status, 405, "{method} {path}");
    }
}

#[tokio::test]
async fn pages_hold_no_data_and_run_their_own_scripts_only() {
    let gateway = with_token().await;
    let cookie = session(&gateway).await;
    for (path, media_type) in [
        ("/", "text/html; charset=utf-8"),
        ("/login", "text/html; charset=utf-8"),
        ("/assets/app.js", "text/javascript; charset=utf-8"),
        ("/assets/style.css", "text/css; charset=utf-8"),
    ] {
        let ask = || match path {
            "/" => Ask::get(path).admin().header("cookie", &cookie),
            _ => Ask::get(path).admin(),
        };
        let answer = ask().send(gateway.admin).await;
        assert_eq!((answer.status, answer.header("content-type")), (200, Some(media_type)));
        let policy = answer.header("content-security-policy").unwrap();
        for rule in ["default-src 'none'", "script-src 'self'", "trusted-types 'none'"] {
            assert!(policy.split("; ").any(|own| own == rule), "{policy}");
        }
        assert!(!policy.contains("unsafe"), "{policy}");
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
            ("cross-origin-opener-policy", "same-origin"),
            ("cache-control", "no-store"),
        ] {
            assert_eq!(answer.header(name), Some(value), "{path}");
        }
        let tag = answer.header("etag").unwrap();
        let again = ask().header("if-none-match", tag).send(gateway.admin).await;
        assert_eq!((again.status, again.body.len()), (304, 0), "{path}");
        let (_, path) = ask().line();
        let head = Ask::new("HEAD", &path).admin().header("cookie", &cookie);
        let head = head.send(gateway.admin).await;
        let length = answer.body.len().to_string();
        assert_eq!((head.status, head.header("content-length")), (200, Some(length.as_str())));
    }
}

#[tokio::test]
async fn a_person_without_a_session_is_sent_to_sign_in() {
    let gateway = with_token().await;
    let page = Ask::get("/").admin();
    let answer = page.clone().header("accept", "text/html,*/*").send(gateway.admin).await;
    assert_eq!((answer.status, answer.header("location")), (303, Some("/login")));
    assert_eq!(page.send(gateway.admin).await.status, 401);
    for path in [
        "/assets/",
        "/assets/nothing.js",
        "/assets/../index.html",
        "/assets/index.html",
        "/assets/%2e%2e/x",
    ] {
        let answer = Ask::get(path).admin().send(gateway.admin).await;
        assert_eq!(answer.status, 404, "{path}");
    }
    let host = Ask::get("/login").header("host", "evil.example").send(gateway.admin).await;
    assert_eq!(host.status, 403);
}

#[tokio::test]
async fn without_a_token_every_page_is_open_on_loopback() {
    let gateway = Gateway::start(CONFIG).await;
    let page = Ask::get("/").admin().send(gateway.admin).await;
    assert_eq!(page.status, 200);
    let login = Ask::get("/login").admin().send(gateway.admin).await;
    assert_eq!((login.status, login.header("location")), (303, Some("/")));
    let sign_in = sign_in("any").send(gateway.admin).await;
    assert_eq!((sign_in.status, sign_in.header("set-cookie")), (204, None));
    let leave = Ask::post("/logout", "").admin().send(gateway.admin).await;
    assert_eq!(leave.status, 204);
}
