//! `order`, `only`, `models` and `session_id`: which targets are asked.
use super::{Three, asked, target, three, trace, with};
use crate::support::client::Ask;
use crate::support::gateway::{Gateway, simulated_upstream};
use crate::support::{ANSWER, MESSAGE};

#[tokio::test]
async fn the_object_does_not_reach_the_upstream() {
    let three = three("").await;
    let spaced = r#" { "model" : "ma", "n":1.0e0 , "gateway": {"order":["a"]}, "max_tokens":16, "messages" : [ {"role":"user","content":"hi"} ] } "#;
    let sent = spaced.replace("\"ma\"", "\"m\"");
    let headers = [("x-tidegate-order", "a"), ("x-aistats-strictness", "warn"), ("x-app", "cli")];
    assert_eq!(three.ask(&sent, &headers).await.text(), ANSWER);
    let (head, body) = three.ups[0].seen().remove(0);
    let expected = spaced.replace(r#" "gateway": {"order":["a"]},"#, "");
    assert_eq!(String::from_utf8(body).unwrap().trim(), expected.trim());
    assert_eq!(head.header("x-app"), Some("cli"));
    let ours = head.headers.iter().filter(|(name, _)| {
        name.to_lowercase().starts_with("x-tidegate") || name.to_lowercase().starts_with("x-ai")
    });
    assert_eq!(ours.count(), 0);
}

#[tokio::test]
async fn counting_tokens_takes_the_object_too() {
    let three = three("").await;
    let body = r#"{"model":"m","messages":[],"gateway":{"only":["b"]}}"#;
    let ask = Ask::post("/v1/messages/count_tokens", body);
    let answer = ask.header("x-api-key", "all").send(three.gateway.address).await;
    assert_eq!((answer.status, target(&answer)), (200, "b/m"));
    assert_eq!(three.ups[1].seen()[0].1, br#"{"model":"m","messages":[]}"#);
}

#[tokio::test]
async fn targets_named_in_order_come_first() {
    let all = three("").await;
    for (json, header, expected) in [
        (r#"["b"]"#, "b", "b/m"),
        (r#"["c/x/y","b"]"#, "c/x/y, b", "c/x/y"),
        (r#"["b/m"]"#, " b/m ,", "b/m"),
        ("[]", ",", "a/ma"),
    ] {
        for answer in asked(&all, "order", json, header).await {
            assert_eq!((answer.status, target(&answer)), (200, expected), "{json}");
        }
    }
    let failing = three("c").await;
    // those not named follow
    for answer in asked(&failing, "order", r#"["c"]"#, "c").await {
        assert_eq!(target(&answer), "a/ma");
    }
}

#[tokio::test]
async fn the_gateway_sends_requests_only_to_named_targets() {
    let three = three("b").await;
    for answer in asked(&three, "only", r#"["c","b"]"#, "c,b").await {
        assert_eq!(target(&answer), "c/x/y");
    }
    let lone = asked(&three, "only", r#"["b"]"#, "b").await;
    assert!(lone.iter().all(|answer| answer.status == 529));
    assert_eq!(three.counts()[0], 0);
}

#[tokio::test]
async fn fallbacks_follow_when_all_targets_of_the_model_have_failed() {
    let one = three("a").await;
    let body = MESSAGE.replace("\"m\"", "\"lone\"");
    let wish = r#"{"models":["spare-1","m"]}"#;
    let answer = one.ask(&with(&body, wish), &[]).await;
    assert_eq!((target(&answer), answer.header("x-tidegate-attempts")), ("b/spare-1", Some("2")));
    let sent = String::from_utf8(one.ups[1].seen().remove(0).1).unwrap();
    assert_eq!(sent, MESSAGE.replace("\"m\"", "\"spare-1\""));
    let answer = one.ask(&body, &[("x-tidegate-models", "spare-1")]).await;
    assert_eq!(target(&answer), "b/spare-1");
    let two = three("ab").await;
    assert_eq!(target(&two.ask(&with(&body, wish), &[]).await), "c/spare-1");
    let all = three("abc").await;
    let answer = all.ask(&with(&body, wish), &[]).await;
    assert_eq!((answer.status, answer.header("x-tidegate-attempts")), (529, Some("6")));
}

#[tokio::test]
async fn order_and_only_hold_for_fallbacks_too() {
    let three = three("a").await;
    let body = MESSAGE.replace("\"m\"", "\"lone\"");
    let ask = |wish: &str| with(&body, wish);
    let answer = three.ask(&ask(r#"{"models":["spare"],"order":["c"]}"#), &[]).await;
    assert_eq!(target(&answer), "c/spare");
    let answer = three.ask(&ask(r#"{"models":["spare"],"only":["b/spare"]}"#), &[]).await;
    assert_eq!((target(&answer), answer.header("x-tidegate-attempts")), ("b/spare", Some("1")));
}

#[tokio::test]
async fn a_failure_that_failover_cannot_mend_reaches_no_fallback_model() {
    use crate::support::upstream::Upstream;
    let a = Upstream::always(super::refusal(400)).await;
    let b = Upstream::by(|call| super::fine(&call.body)).await;
    let gateway = Gateway::start(&super::config([a.address, b.address, b.address])).await;
    let three = Three { ups: [a, b, three("").await.ups.into_iter().next().unwrap()], gateway };
    let answer = three.ask(&with(MESSAGE, r#"{"models":["spare"]}"#), &[]).await;
    assert_eq!((answer.status, three.counts()[1]), (400, 0));
}

#[tokio::test]
async fn a_thread_may_be_kept_on_one_target() {
    let three = three("").await;
    let body = MESSAGE.replace("16", "16,\"thread\":{\"type\":\"create\"}");
    assert_eq!(three.ask(&body, &[]).await.status, 400);
    assert_eq!(three.ask(&body, &[("x-tidegate-only", "b")]).await.status, 200);
    let lone = body.replace("\"m\"", "\"lone\"");
    assert_eq!(three.ask(&lone, &[]).await.status, 200);
    let answer = three.ask(&lone, &[("x-tidegate-models", "spare")]).await;
    assert_eq!(answer.json()["error"]["details"]["error_code"], "thread_unsupported_request");
}

#[tokio::test]
async fn a_session_of_the_request_decides_about_the_target() {
    let up = three("").await.ups;
    let yaml = super::config([0, 1, 2].map(|n| up[n].address))
        .replace("  m:\n", "  m:\n    strategy: weighted\n");
    let three = Three { gateway: Gateway::start(&yaml).await, ups: up };
    for n in 0..8 {
        let id = format!("s-{n}");
        let by_header = three.ask(MESSAGE, &[("x-tidegate-session-id", id.as_str())]).await;
        let as_known = three.ask(MESSAGE, &[("x-claude-code-session-id", id.as_str())]).await;
        let wish = format!("{{\"session_id\":\"{id}\"}}");
        let other = [("x-tidegate-session-id", "other"), ("x-claude-code-session-id", "x")];
        let by_body = three.ask(&with(MESSAGE, &wish), &other).await;
        assert_eq!(target(&by_header), target(&as_known), "{id}");
        assert_eq!(target(&by_body), target(&as_known), "{id}");
    }
    assert!(three.counts().iter().filter(|count| **count > 0).count() > 1);
}

#[tokio::test]
async fn a_policy_may_write_the_object() {
    let up = three("").await.ups;
    let yaml = super::config([0, 1, 2].map(|n| up[n].address));
    let policy = "fn on_request(request, ctx) {
    if \"x-portkey-provider\" in ctx.headers { request.gateway = #{ order: [ctx.headers[\"x-portkey-provider\"]] }; }
}";
    let gateway = Gateway::with().config(&yaml).policy("dialect", policy).start().await;
    let three = Three { gateway, ups: up };
    let answer = three.ask(MESSAGE, &[("x-portkey-provider", "b")]).await;
    assert_eq!(target(&answer), "b/m");
    assert_eq!(three.ups[1].seen()[0].1, MESSAGE.as_bytes());
    let answer = three.ask(MESSAGE, &[("x-portkey-provider", "nope")]).await;
    assert!(answer.refusal(400, "invalid_request_error").starts_with("`gateway.order[0]`"));
}

#[tokio::test]
async fn a_trace_tells_each_attempt() {
    let failing = three("a").await;
    for (n, answer) in
        asked(&failing, "debug", r#"{"trace":true}"#, "trace").await.iter().enumerate()
    {
        let trace = trace(answer);
        let attempts = trace["attempts"].as_array().unwrap();
        match n {
            0 => {
                assert_eq!(
                    (&attempts[0]["target"], &attempts[0]["status"]),
                    (&"a/ma".into(), &529.into())
                );
                assert_eq!(attempts[0]["error"], "overloaded_error");
                assert!(attempts[0]["ms"].is_u64() && trace["ms"].is_u64());
            }
            _ => assert_eq!(attempts[0]["skipped"], "cooling"),
        }
        assert_eq!((&attempts[1]["target"], &attempts[1]["status"]), (&"b/m".into(), &200.into()));
        assert_eq!(attempts.len(), 2);
        assert!(!answer.header("x-tidegate-trace").unwrap().contains("127.0.0.1"));
    }
    let answer = failing.ask(MESSAGE, &[]).await;
    assert_eq!(answer.header("x-tidegate-trace"), None);
    // a refusal needs it most
    let refused = three("abc").await.ask(&with(MESSAGE, r#"{"debug":{"trace":true}}"#), &[]).await;
    assert_eq!((refused.status, trace(&refused)["attempts"].as_array().unwrap().len()), (529, 3));
}

#[tokio::test]
async fn targets_named_in_order_come_before_those_that_support_more() {
    let up = simulated_upstream().await;
    let config = format!(
        "providers:\n  poor: {{ type: anthropic, base_url: \"http://{0}\", unsupported: [top_k] }}\n  \
         rich: {{ type: anthropic, base_url: \"http://{0}\" }}\n\
         models: {{ m: {{ targets: [{{ provider: poor, model: x }}, {{ provider: rich, model: x }}] }} }}\n",
        up.address
    );
    let gateway = Gateway::start(&config).await;
    let body = MESSAGE.replace("\"max_tokens\":16", "\"max_tokens\":16,\"top_k\":3");
    for (order, target) in
        [("", "rich/x"), ("poor", "poor/x"), ("rich", "rich/x"), ("poor/x,rich", "poor/x")]
    {
        let ask = Ask::message(body.as_str());
        let ask = if order.is_empty() { ask } else { ask.header("x-tidegate-order", order) };
        let answer = ask.send(gateway.address).await;
        assert_eq!(
            (answer.status, answer.header("x-tidegate-target")),
            (200, Some(target)),
            "{order}"
        );
    }
}
