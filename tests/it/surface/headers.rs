//! Which headers cross, in either direction.
use crate::support::client::Ask;
use crate::support::gateway::Gateway;
use crate::support::upstream::{self, Behaviour, Upstream};
use crate::support::{ANSWER, MESSAGE};

#[tokio::test]
async fn client_headers_for_the_api_reach_the_upstream_unchanged() {
    let up = Upstream::always(Behaviour::Answer(upstream::json(200, ANSWER))).await;
    let gateway = Gateway::with().upstream(up.address).start().await;
    let passing = [
        ("anthropic-version", "2023-06-01"),
        ("anthropic-beta", "a-2025-01-01,b-of-tomorrow"),
        ("anthropic-dangerous-direct-browser-access", "true"),
        ("user-agent", "Anthropic/Python 0.125.0"),
        ("x-stainless-retry-count", "0"),
        ("x-app", "cli"),
        ("x-claude-code-session-id", "s-1"),
        ("accept", "application/json"),
        ("idempotency-key", "i-1"),
    ];
    let ask =
        passing.iter().fold(Ask::message(MESSAGE), |ask, (name, value)| ask.header(name, value));
    assert_eq!(ask.send(gateway.address).await.status, 200);
    let (head, _) = up.seen().remove(0);
    for (name, value) in passing {
        assert_eq!(head.header(name), Some(value), "{name}");
    }
    assert_eq!(head.header("content-type"), Some("application/json"));
    assert_eq!(head.header("host"), Some(up.address.to_string().as_str()));
}

#[tokio::test]
async fn beta_headers_on_several_lines_all_arrive() {
    let up = Upstream::always(Behaviour::Answer(upstream::json(200, ANSWER))).await;
    let gateway = Gateway::with().upstream(up.address).start().await;
    let ask = Ask::message(MESSAGE).header("anthropic-beta", "a").header("anthropic-beta", "b");
    ask.send(gateway.address).await;
    let (head, _) = up.seen().remove(0);
    let betas = head.headers.iter().filter(|(name, _)| name == "anthropic-beta");
    assert_eq!(betas.map(|(_, value)| value.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    // curl without a version gets the one that the API has
    assert_eq!(head.header("anthropic-version"), Some("2023-06-01"));
}

#[tokio::test]
async fn hop_by_hop_and_gateway_headers_are_not_sent_to_the_upstream() {
    let up = Upstream::always(Behaviour::Answer(upstream::json(200, ANSWER))).await;
    let gateway = Gateway::with().upstream(up.address).start().await;
    let staying = [
        ("connection", "keep-alive, x-mine"),
        ("x-mine", "1"),
        ("keep-alive", "timeout=5"),
        ("te", "trailers"),
        ("proxy-authorization", "Basic x"),
        ("proxy-connection", "keep-alive"),
        ("upgrade", "h2c"),
        ("accept-encoding", "gzip, br"),
        ("x-tidegate-strictness", "warn"),
        ("x-tidegate-anything", "1"),
    ];
    let ask =
        staying.iter().fold(Ask::message(MESSAGE), |ask, (name, value)| ask.header(name, value));
    assert_eq!(ask.send(gateway.address).await.status, 200);
    let (head, _) = up.seen().remove(0);
    for (name, value) in staying {
        let found = head.header(name);
        assert!(found != Some(value), "{name}: {found:?}");
    }
    assert_eq!(head.header("accept-encoding"), Some("identity"));
    assert!(!format!("{head:?}").contains("gateway.test"));
}

#[tokio::test]
async fn response_headers_of_the_api_reach_the_client_and_others_are_dropped() {
    let passing = [
        ("request-id", "req_of_the_upstream"),
        ("retry-after", "7"),
        ("retry-after-ms", "7000"),
        ("x-should-retry", "true"),
        ("anthropic-ratelimit-requests-remaining", "3"),
        ("anthropic-organization-id", "org"),
    ];
    let staying =
        [("server", "secret/1"), ("set-cookie", "a=b"), ("via", "1.1 inside"), ("cf-ray", "x")];
    let lines: String =
        passing.iter().chain(&staying).map(|(n, v)| format!("{n}: {v}\r\n")).collect();
    for (status, body) in [(200, ANSWER), (400, "{\"type\":\"error\"}")] {
        let answer =
            upstream::answer(status, &format!("{lines}content-type: application/json\r\n"), body);
        let up = Upstream::always(Behaviour::Answer(answer)).await;
        let gateway = Gateway::with().upstream(up.address).start().await;
        let answer = Ask::message(MESSAGE).send(gateway.address).await;
        assert_eq!((answer.status, answer.text().as_str()), (status, body));
        for (name, value) in passing {
            assert_eq!(answer.header(name), Some(value), "{name}");
        }
        for (name, _) in staying {
            assert_eq!(answer.header(name), None, "{name}");
        }
        assert_eq!(answer.header("x-tidegate-target"), Some("up/m"));
        assert_eq!(answer.header("x-tidegate-attempts"), Some("1"));
    }
}

#[tokio::test]
async fn an_answer_without_a_request_id_gets_one() {
    let answer = upstream::answer(200, "content-type: application/json\r\n", ANSWER);
    let up = Upstream::always(Behaviour::Answer(answer)).await;
    let gateway = Gateway::with().upstream(up.address).start().await;
    let answer = Ask::message(MESSAGE).send(gateway.address).await;
    assert!(answer.header("request-id").unwrap().starts_with("req_"));
}

#[tokio::test]
async fn headers_of_browsers_proxies_and_sign_on_stay_at_the_gateway() {
    let up = Upstream::always(Behaviour::Answer(upstream::json(200, ANSWER))).await;
    let gateway = Gateway::with().upstream(up.address).config("passthrough: up\n").start().await;
    let staying = [
        "origin",
        "referer",
        "sec-fetch-mode",
        "sec-ch-ua",
        "x-forwarded-for",
        "x-original-forwarded-for",
        "x-client-ip",
        "x-amzn-oidc-data",
        "x-amzn-trace-id",
        "x-auth-request-email",
        "x-auth-request-access-token",
        "x-goog-iap-jwt-assertion",
        "x-goog-authenticated-user-email",
        "cf-access-jwt-assertion",
        "x-ms-token-aad-access-token",
        "x-ms-client-principal",
        "dnt",
        "priority",
        "baggage",
        "x-mine-team",
    ];
    let ask = |target: &str| {
        let ask = Ask::post(target, MESSAGE).header("x-claude-code-session-id", "s");
        staying.iter().fold(ask, |ask, name| ask.header(name, "secret-of-the-client"))
    };
    for target in ["/v1/messages", "/v1/messages/count_tokens", "/v1/files"] {
        ask(target).send(gateway.address).await;
    }
    let seen = up.seen();
    assert_eq!(seen.len(), 3);
    for (head, _) in seen {
        assert!(!format!("{head:?}").contains("secret-of-the-client"), "{head:?}");
        assert_eq!(head.header("x-claude-code-session-id"), Some("s"));
    }
}

#[tokio::test]
async fn the_config_of_a_provider_lets_more_headers_through_but_no_credential() {
    let up = Upstream::always(Behaviour::Answer(upstream::json(200, ANSWER))).await;
    let provider = format!(
        "{{ type: anthropic, api_key: k, base_url: \"http://{}\", forward_headers: [\"X-Mine-*\", x-team, \"x-a*\", \"co*\"] }}",
        up.address
    );
    let gateway = Gateway::with().provider("up", &provider).model("m", "{ provider: up }");
    let gateway = gateway
        .config("passthrough: up\n")
        .policy("p", "fn on_upstream_request(request, target, ctx) { }");
    let gateway = gateway.start().await;
    for target in ["/v1/messages", "/v1/files"] {
        let ask = Ask::post(target, MESSAGE).header("x-mine-a", "1").header("X-Team", "2");
        let ask = ask
            .header("x-other", "3")
            .header("cookie", "c=1")
            .header("x-auth-request-access-token", "t");
        ask.header("x-api-key", "tg-x").send(gateway.address).await;
    }
    for (head, _) in up.seen() {
        assert_eq!((head.header("x-mine-a"), head.header("x-team")), (Some("1"), Some("2")));
        for name in ["x-other", "cookie", "x-auth-request-access-token"] {
            assert_eq!(head.header(name), None, "{name}");
        }
        assert_eq!(head.header("x-api-key"), Some("k"));
    }
}

#[tokio::test]
async fn a_model_with_a_long_name_does_not_make_the_head_of_the_answer_long() {
    let up = Upstream::always(Behaviour::Answer(upstream::json(200, ANSWER))).await;
    let gateway = Gateway::with().upstream(up.address).start().await;
    let body = MESSAGE.replacen("\"model\":\"", &format!("\"model\":\"{}", "é".repeat(400_000)), 1);
    assert!(body.len() > 800_000, "{}", body.len());
    let answer = Ask::message(&*body).header("x-tidegate-trace", "1").send(gateway.address).await;
    assert_eq!(answer.status, 200);
    for (name, value) in &answer.head.headers {
        assert!(value.len() <= 4096, "{name}: {} bytes", value.len());
    }
}
