//! The dialects of other gateways, by the shipped policies `compat/*`, through the whole gateway.
use crate::requested::{Three, target, three_with, trace};
use crate::support::MESSAGE;
use crate::support::client::Ask;
use crate::support::gateway::Gateway;

/// Upstreams `a`, `b` and `c`, those of these names failing, behind one of the policies.
async fn speaking(dialect: &str, failing: &str) -> Three {
    three_with(failing, &format!("pipeline: [{{ policy: compat/{dialect} }}]\n")).await
}

/// A body with one more member.
fn plus(member: &str) -> String {
    format!("{},{member}}}", MESSAGE.strip_suffix('}').unwrap())
}

#[tokio::test]
async fn a_portkey_config_falls_back_from_target_to_target() {
    let three = speaking("portkey", "c").await;
    let config = r#"{"strategy":{"mode":"fallback","on_status_codes":[429,529]},
        "targets":[{"provider":"c","api_key":"sk-x"},{"provider":"@b","override_params":{"model":"spare"}}]}"#
        .replace('\n', "");
    let answer = three.ask(MESSAGE, &[("x-portkey-config", &config)]).await;
    assert_eq!((answer.status, target(&answer)), (200, "b/m"), "{}", answer.text());
    assert_eq!(three.counts(), [0, 1, 1]);
    let other = config.replace("[429,529]", "[429]");
    let three = speaking("portkey", "c").await;
    let answer = three.ask(MESSAGE, &[("x-portkey-config", &other)]).await;
    assert_eq!((answer.status, target(&answer)), (529, "c/x/y"));
    let retried = r#"{"provider":"c","retry":{"attempts":1}}"#;
    let fresh = speaking("portkey", "c").await;
    let answer = fresh.ask(MESSAGE, &[("x-portkey-config", retried)]).await;
    assert_eq!((answer.status, fresh.counts()), (529, [0, 0, 2]));
}

#[tokio::test]
async fn a_portkey_config_opens_no_model_that_the_key_may_not_use() {
    let three = speaking("portkey", "").await;
    let config = r#"{"provider":"b","override_params":{"model":"spare"}}"#;
    let headers = [("x-portkey-config", config)];
    let answer = three.ask_as("all", MESSAGE, &headers).await;
    assert_eq!((answer.status, target(&answer)), (200, "b/spare"));
    let unknown = [("x-portkey-config", r#"{"override_params":{"model":"nope"}}"#)];
    three.ask_as("all", MESSAGE, &unknown).await.refusal(404, "not_found_error");
    let answer = three.ask_as("few", MESSAGE, &headers).await;
    let message = answer.refusal(403, "permission_error");
    assert!(message.starts_with("`gateway.models[0]`"), "{message}");
    assert_eq!(three.counts(), [0, 1, 0]);
}

#[tokio::test]
async fn vercel_options_order_the_targets_and_fall_back_to_models() {
    let three = speaking("vercel", "b").await;
    let body = plus(r#""providerOptions":{"gateway":{"order":["b","c"],"sort":"newest"}}"#);
    let answer = three.ask(&body, &[]).await;
    assert_eq!((answer.status, target(&answer)), (200, "c/x/y"));
    assert_eq!(answer.header("x-tidegate-ignored"), Some("sort"));
    let models = r#""providerOptions":{"gateway":{"only":["b","c"],"models":["m","spare"]}}"#;
    let lone = speaking("vercel", "ab").await;
    let answer = lone.ask(&plus(models), &[]).await;
    assert_eq!((target(&answer), lone.counts()), ("c/x/y", [0, 1, 1]));
    let sent = String::from_utf8(lone.ups[2].seen().remove(0).1).unwrap();
    assert_eq!(sent, MESSAGE.replace("\"m\"", "\"x/y\""));
}

#[tokio::test]
async fn ai_stats_fields_choose_the_targets_and_trace() {
    let three = speaking("ai-stats", "b").await;
    let body = plus(r#""provider":{"order":["b"],"ignore":["a"]},"debug":true,"session_id":"s""#);
    let answer = three.ask(&body, &[]).await;
    assert_eq!((answer.status, target(&answer)), (200, "c/x/y"));
    let trace = trace(&answer);
    assert_eq!(trace["attempts"].as_array().unwrap().len(), 2);
    assert_eq!(trace["edited_by"], serde_json::json!(["compat/ai-stats"]));
    let sent = String::from_utf8(three.ups[2].seen().remove(0).1).unwrap();
    assert_eq!(sent, MESSAGE.replace("\"m\"", "\"x/y\""));
    let answer = three.ask(MESSAGE, &[("x-tidegate-debug", "trace")]).await;
    assert_eq!(self::trace(&answer)["edited_by"], serde_json::Value::Null);
}

#[tokio::test]
async fn headers_for_other_gateways_are_not_sent_to_upstreams() {
    const SAID: [&str; 9] = [
        "x-portkey-config",
        "x-portkey-provider",
        "x-portkey-api-key",
        "x-portkey-virtual-key",
        "x-aistats-user-id",
        "x-phaseo-strictness",
        "x-ai-gateway-api-key",
        "x-vercel-oidc-token",
        "helicone-auth",
    ];
    let policy = "fn on_request(request, ctx) {
    let names = ctx.headers.keys().filter(|name| name.contains(\"-\") && name != \"anthropic-version\");
    names.sort();
    set_response_header(\"x-seen\", join(names, \" \"));
}";
    let three = three_with("", "passthrough: a\n").await;
    let open = Gateway::with()
        .config(crate::requested::config([0, 1, 2].map(|n| three.ups[n].address)))
        .policy("tell", policy)
        .start()
        .await;
    for (gateway, path) in
        [(&three.gateway, "/v1/messages"), (&three.gateway, "/v1/files"), (&open, "/v1/messages")]
    {
        let ask = Ask::post(path, MESSAGE).header("x-api-key", "all").header("x-app", "cli");
        let ask = SAID.iter().fold(ask, |ask, name| ask.header(name, "{}"));
        let answer = ask.send(gateway.address).await;
        assert_eq!(answer.status, 200);
        let (head, _) = three.ups[0].seen().pop().unwrap();
        assert_eq!(head.header("x-app"), Some("cli"));
        let leaked: Vec<&str> =
            SAID.into_iter().filter(|name| head.header(name).is_some()).collect();
        assert!(leaked.is_empty(), "{path}: {leaked:?}");
        if let Some(seen) = answer.header("x-seen") {
            assert!(seen.contains("x-portkey-config x-portkey-provider"), "{seen}");
            assert!(!seen.contains("key x") && !seen.contains("auth"), "{seen}");
        }
    }
}
