//! Budgets: money per calendar period, refusals, other models, warnings, and sums that survive a restart.
use std::fs;

use serde_json::{Value, json};

use crate::limit_rules::assert_problem;
use crate::support::client::{Answer, Ask};
use crate::support::gateway::{self, Builder, Gateway};
use crate::support::upstream::{Auto, Behaviour, Upstream, json, stream};
use crate::support::{ANSWER, FRAMES, until};

const KEYS: &str =
    "keys:\n  - { name: ci, key: k-ci, tags: { team: ml } }\n  - { name: web, key: k-web }\n";

/// An upstream whose answers cost 0.006 dollars on claude-opus-5-5.
async fn selling() -> Auto {
    let message = json!({"id": "msg_1", "type": "message", "role": "assistant", "model": "up",
        "content": [{"type": "text", "text": "hello"}], "stop_reason": "end_turn", "stop_sequence": null,
        "usage": {"input_tokens": 1000, "output_tokens": 100}});
    Upstream::always(Behaviour::Answer(json(200, &message.to_string()))).await
}

fn budgeted(up: &Auto, budgets: &str) -> Builder {
    Gateway::with().upstream(up.address).config(format!("{KEYS}budgets: {budgets}"))
}

async fn ask(gateway: &Gateway, key: &str, model: &str) -> Answer {
    let body =
        json!({"model": model, "max_tokens": 16, "messages": [{"role": "user", "content": "hi"}]});
    Ask::message(body.to_string()).header("x-api-key", key).send(gateway.address).await
}

#[tokio::test]
async fn a_budget_that_is_used_up_refuses_to_the_end_of_its_period() {
    let up = selling().await;
    let gateway = budgeted(&up, "{ rules: [{ per: key, usd: 0.01, every: day }] }").start().await;
    for _ in 0..2 {
        assert_eq!(ask(&gateway, "k-ci", "claude-opus-5-5").await.status, 200);
    }
    let found = ask(&gateway, "k-ci", "claude-opus-5-5").await;
    let message = found.refusal(429, "billing_error");
    let expected =
        "the budget of 0.01 USD every day for the key `ci` is used up: it starts again at ";
    let end = message.strip_prefix(expected).unwrap_or_else(|| panic!("{message}"));
    assert!(end.ends_with("T00:00:00Z"), "{end}");
    assert_eq!(found.header("x-should-retry"), Some("false"));
    let wait: i64 = found.header("retry-after").unwrap().parse().unwrap();
    let left =
        end.parse::<jiff::Timestamp>().unwrap().as_second() - jiff::Timestamp::now().as_second();
    assert!((left..=left + 5).contains(&wait), "{wait} {left}");
    assert_eq!(up.count(), 2);
    assert_eq!(ask(&gateway, "k-web", "claude-opus-5-5").await.status, 200);
    let refusals = "tidegate_budget_refusals_total{per=\"key\",every=\"day\"}";
    gateway.until_metric(refusals, 1.0).await;
}

/// A request whose estimate is more than any budget here.
fn large() -> Ask {
    let body = json!({"model": "claude-opus-5-5", "max_tokens": 30_000, "messages": [{"role": "user", "content": "hi"}]});
    Ask::message(body.to_string()).header("x-api-key", "k-ci")
}

#[tokio::test]
async fn a_large_estimate_is_served_until_the_budget_is_really_used_up() {
    let up = selling().await;
    let gateway = budgeted(&up, "{ rules: [{ per: key, usd: 0.02, every: month }] }").start().await;
    for _ in 0..4 {
        let found = large().send(gateway.address).await;
        assert_eq!(found.status, 200, "{}", found.text());
    }
    let message = large().send(gateway.address).await.refusal(429, "billing_error");
    assert!(message.contains("is used up"), "{message}");
    assert_eq!(up.count(), 4);
}

#[tokio::test]
async fn money_that_running_requests_hold_is_refused_for_seconds_only() {
    let mut up = Upstream::start().await;
    let budgets = format!("{KEYS}budgets: {{ rules: [{{ per: key, usd: 0.01, every: month }}] }}");
    let gateway = Gateway::with().upstream(up.address).config(budgets).start().await;
    let running = tokio::spawn(large().send(gateway.address));
    let call = up.call().await;
    let found = large().send(gateway.address).await;
    let message = found.refusal(429, "rate_limit_error");
    let expected = "running requests may need the rest of the budget of 0.01 USD every month for the key `ci`: try again in 5 s";
    assert_eq!(message, expected);
    assert_eq!((found.header("retry-after"), found.header("x-should-retry")), (Some("5"), None));
    call.finish(json(200, ANSWER)).await;
    assert_eq!(running.await.unwrap().status, 200);
    let answered = async { up.call().await.finish(json(200, ANSWER)).await };
    let (found, ()) = tokio::join!(large().send(gateway.address), answered);
    assert_eq!(found.status, 200, "{}", found.text());
}

#[tokio::test]
async fn a_model_that_budgets_send_requests_to_has_its_own_budget() {
    let up = selling().await;
    let budgets =
        "{ rules: [{ per: model, usd: 0.005, every: day, then: { route: claude-haiku-4-5 } }] }";
    let gateway = budgeted(&up, budgets)
        .model("claude-opus-5-5", "{ provider: up }")
        .model("claude-haiku-4-5", "{ provider: up }");
    let gateway = gateway.start().await;
    let mut found = Vec::new();
    for _ in 0..6 {
        found.push(ask(&gateway, "k-ci", "claude-opus-5-5").await.status);
    }
    // once on opus for 0.006 dollars, then on haiku for 0.0015 each
    assert_eq!(found, [200, 200, 200, 200, 200, 429]);
    let message = ask(&gateway, "k-web", "claude-haiku-4-5").await.refusal(429, "billing_error");
    assert!(message.contains("for the model `claude-haiku-4-5` is used up"), "{message}");
}

#[tokio::test]
async fn a_budget_that_is_used_up_can_send_requests_to_another_model() {
    let up = selling().await;
    let budgets =
        "{ rules: [{ per: key, usd: 0.005, every: day, then: { route: claude-haiku-4-5 } }] }";
    let gateway = budgeted(&up, budgets).start().await;
    let models: Vec<Value> = {
        for _ in 0..3 {
            assert_eq!(ask(&gateway, "k-ci", "claude-opus-5-5").await.status, 200);
        }
        up.requests().iter().map(|request| request["model"].clone()).collect()
    };
    assert_eq!(models, ["claude-opus-5-5", "claude-haiku-4-5", "claude-haiku-4-5"]);
    let reroutes = "tidegate_budget_reroutes_total{per=\"key\",every=\"day\"}";
    gateway.until_metric(reroutes, 2.0).await;
    // the client's own fallback does not lead back
    let body = json!({"model": "claude-opus-5-5", "max_tokens": 16, "messages": [{"role": "user", "content": "hi"}]});
    let ask = Ask::message(body.to_string()).header("x-api-key", "k-ci");
    let ask = ask.header("x-tidegate-models", "claude-opus-4-6").send(gateway.address).await;
    assert_eq!(ask.header("x-tidegate-target"), Some("up/claude-haiku-4-5"));
}

#[tokio::test]
async fn a_budget_that_denies_comes_before_one_that_routes() {
    let up = selling().await;
    let budgets = "{ rules: [{ per: key, usd: 0.005, every: day, then: { route: claude-haiku-4-5 } }, { per: \"tag:team\", usd: 0.005, every: month }] }";
    let gateway = budgeted(&up, budgets).start().await;
    assert_eq!(ask(&gateway, "k-ci", "claude-opus-5-5").await.status, 200);
    let message = ask(&gateway, "k-ci", "claude-opus-5-5").await.refusal(429, "billing_error");
    assert!(message.contains("for the tag `team: ml`"), "{message}");
}

#[tokio::test]
async fn a_budget_warns_once_a_period() {
    let up = selling().await;
    let budgets = "{ rules: [{ per: key, usd: 0.02, every: week, warn_at: 0.5 }] }";
    let gateway = budgeted(&up, budgets).start().await;
    let warnings = "tidegate_budget_warnings_total{per=\"key\",every=\"week\"}";
    for expected in [0.0, 1.0, 1.0] {
        assert_eq!(ask(&gateway, "k-ci", "claude-opus-5-5").await.status, 200);
        assert_eq!(gateway.metric(warnings).await, expected);
    }
}

#[tokio::test]
async fn tokens_without_a_price_cost_the_unpriced_rates() {
    for (budgets, expected) in [
        // 1000 × 5 + 100 × 25 dollars a million: 0.0075
        ("{ rules: [{ per: key, usd: 0.01, every: day }] }", [200, 200, 429]),
        (
            "{ unpriced: { input: 20, output: 0 }, rules: [{ per: key, usd: 0.01, every: day }] }",
            [200, 429, 429],
        ),
        ("{ unpriced: free, rules: [{ per: key, usd: 0.01, every: day }] }", [200, 200, 200]),
    ] {
        let up = selling().await;
        let gateway = budgeted(&up, budgets).start().await;
        let mut found = Vec::new();
        for _ in 0..3 {
            found.push(ask(&gateway, "k-ci", "of-nobody").await.status);
        }
        assert_eq!(found, expected, "{budgets}");
    }
}

#[tokio::test]
async fn a_forwarded_route_that_may_cost_money_asks_the_budget() {
    let up = selling().await;
    let budgets = "{ rules: [{ per: key, usd: 0.005, every: day }] }\npassthrough: up";
    let gateway = budgeted(&up, budgets).start().await;
    let batch = async || {
        let ask = Ask::post("/v1/messages/batches", "{}").header("x-api-key", "k-ci");
        ask.send(gateway.address).await
    };
    assert_eq!(batch().await.status, 200);
    assert_eq!(ask(&gateway, "k-ci", "claude-opus-5-5").await.status, 200);
    let found = batch().await;
    let message = found.refusal(429, "billing_error");
    assert!(message.contains("is used up"), "{message}");
    assert_eq!(found.header("x-should-retry"), Some("false"));
    // a running batch can be cancelled
    let cancel = Ask::post("/v1/messages/batches/msgbatch_1/cancel", "");
    assert_eq!(cancel.header("x-api-key", "k-ci").send(gateway.address).await.status, 200);
    // results can still be read
    let read = Ask::get("/v1/messages/batches/x").header("x-api-key", "k-ci");
    assert_eq!(read.send(gateway.address).await.status, 200);
    assert_eq!(up.count(), 4);
}

#[tokio::test]
async fn a_route_that_does_not_exist_is_not_found_whatever_the_budget_says() {
    let up = selling().await;
    let budgets = "{ rules: [{ per: key, usd: 0.005, every: day }] }";
    let gateway = budgeted(&up, budgets).start().await;
    assert_eq!(ask(&gateway, "k-ci", "claude-opus-5-5").await.status, 200);
    let batch = Ask::post("/v1/messages/batches", "{}").header("x-api-key", "k-ci");
    batch.send(gateway.address).await.refusal(404, "not_found_error");
}

#[tokio::test]
async fn sums_survive_a_restart_and_a_reload() {
    let up = selling().await;
    let budgets = "{ rules: [{ per: key, usd: 0.005, every: month }] }";
    let gateway = budgeted(&up, budgets).start().await;
    assert_eq!(ask(&gateway, "k-ci", "claude-opus-5-5").await.status, 200);
    let config = format!("{}{KEYS}budgets: {budgets}\n", gateway::to(up.address));
    gateway.reload(&config).await;
    ask(&gateway, "k-ci", "claude-opus-5-5").await.refusal(429, "billing_error");
    let file = gateway.folder().join(".tidegate/budgets.json");
    let saved = async || fs::read_to_string(&file).is_ok_and(|text| text.contains("6000000"));
    until("the sums to be on the disk", saved).await;
    let saved = fs::read(&file).unwrap();
    gateway.stop().await;
    let gateway = budgeted(&up, budgets).file(".tidegate/budgets.json", saved).start().await;
    ask(&gateway, "k-ci", "claude-opus-5-5").await.refusal(429, "billing_error");
    assert_eq!(ask(&gateway, "k-web", "claude-opus-5-5").await.status, 200);
}

#[tokio::test]
async fn a_file_of_sums_that_cannot_be_read_is_set_aside() {
    let up = selling().await;
    let budgets = "{ rules: [{ per: key, usd: 0.005, every: month }] }";
    for content in ["", "{", "[{\"rule\":1}]", "\u{0}\u{0}"] {
        let gateway = budgeted(&up, budgets).file(".tidegate/budgets.json", content).start().await;
        assert_eq!(ask(&gateway, "k-ci", "claude-opus-5-5").await.status, 200);
        let aside = gateway.folder().join(".tidegate/budgets.json.unreadable");
        assert_eq!(fs::read_to_string(aside).unwrap(), content);
        ask(&gateway, "k-ci", "claude-opus-5-5").await.refusal(429, "billing_error");
    }
}

#[tokio::test]
async fn a_policy_reads_the_money_that_is_left() {
    let up = selling().await;
    let policy = "fn on_request(request, ctx) { if ctx.budget.left < 0.005 { deny(451, `${ctx.budget.left} of ${ctx.budget.usd} every ${ctx.budget.every}`); } }";
    let budgets = "{ rules: [{ per: key, usd: 0.01, every: hour }] }";
    let gateway = budgeted(&up, budgets).policy("left", policy).start().await;
    assert_eq!(ask(&gateway, "k-ci", "claude-opus-5-5").await.status, 200);
    let found = ask(&gateway, "k-ci", "claude-opus-5-5").await;
    assert_eq!(found.error(451), "0.004 of 0.01 every hour");
}

#[test]
fn wrong_budgets_are_problems_with_their_place() {
    for (budgets, expected) in [
        ("{ timezone: Mars/Base }", "budgets.timezone: no time zone is named `Mars/Base`"),
        ("{ unpriced: cheap }", "budgets.unpriced: expected `free`, or a mapping"),
        ("{ unpriced: { input: -1, output: 0 } }", "budgets.unpriced.input: expected dollars"),
        (
            "{ rules: [{ per: target, usd: 1, every: day }] }",
            "budgets.rules[0].per: expected `key`, `model` or `tag:`",
        ),
        (
            "{ rules: [{ per: key, usd: 0, every: day }] }",
            "budgets.rules[0].usd: expected dollars above 0, found `0`",
        ),
        (
            "{ rules: [{ per: key, usd: -3, every: day }] }",
            "budgets.rules[0].usd: expected dollars above 0",
        ),
        ("{ rules: [{ per: key, usd: 1, every: year }] }", "budgets.rules[0].every: "),
        (
            "{ rules: [{ per: key, usd: 1, every: day, warn_at: 80 }] }",
            "budgets.rules[0].warn_at: expected a part",
        ),
        ("{ rules: [{ per: key, usd: 1, every: day, then: stop }] }", "budgets.rules[0].then: "),
        (
            "{ rules: [{ per: key, usd: 1, every: day, then: { route: gpt } }] }",
            "budgets.rules[0].then.route: no model is named `gpt`",
        ),
        (
            "{ rules: [{ per: key, usd: 1, every: day, when: { model: claude-x }, then: { route: claude-x } }] }",
            "budgets.rules[0].then.route: `claude-x` is the only model of the rule",
        ),
        (
            "{ rules: [{ per: key, usd: 1, every: day, when: { model: gpt } }] }",
            "budgets.rules[0].when.model: no alias",
        ),
        (
            "{ rules: [{ per: key, usd: 1, every: day, resets: never }] }",
            "budgets.rules[0].resets: unknown key",
        ),
        (
            "{ rules: [{ per: key, usd: 1, every: day }, { per: key, usd: 2, every: day }] }",
            "budgets.rules[1]: budgets.rules[0] counts the same",
        ),
    ] {
        assert_problem(&format!("budgets: {budgets}"), expected);
    }
}

/// The part of a unified header's name after the prefix, and the values of an answer.
fn standing<'a>(found: &'a Answer, names: &[&str]) -> Vec<Option<&'a str>> {
    let name = |name: &&str| format!("anthropic-ratelimit-unified-{name}");
    names.iter().map(|part| found.header(&name(part))).collect()
}

#[tokio::test]
async fn answers_say_which_part_of_the_fullest_budget_is_spent() {
    const NAMES: [&str; 7] = [
        "status",
        "representative-claim",
        "overage-status",
        "overage-utilization",
        "overage-surpassed-threshold",
        "overage-period",
        "overage-disabled-reason",
    ];
    let usage = json!({"input_tokens": 1000, "output_tokens": 100});
    let message = json!({"id": "msg_1", "type": "message", "role": "assistant", "model": "up",
        "content": [], "stop_reason": "end_turn", "stop_sequence": null, "usage": usage});
    // an answer costs 0.006 dollars
    let up = Upstream::by(move |call| {
        Behaviour::Answer(match call.json()["stream"] == true {
            true => stream(&FRAMES),
            false => json(200, &message.to_string()),
        })
    })
    .await;
    let rules = "{ rules: [{ per: key, usd: 0.0078, every: day }, { per: model, usd: 9, every: month }, \
                 { per: key, usd: 0.000001, every: day, then: { route: claude-haiku-4-5 }, when: { model: \"claude-x\" } }] }";
    let gateway = budgeted(&up, rules).start().await;
    let body = json!({"model": "claude-opus-5-5", "max_tokens": 16, "stream": true,
        "messages": [{"role": "user", "content": "hi"}]});
    let streamed = Ask::message(body.to_string()).header("x-api-key", "k-web");
    // the estimate of a stream that runs is not spent
    let found = streamed.send(gateway.address).await;
    let expected = [Some("allowed"), Some("0.00")];
    assert_eq!(standing(&found, &["status", "overage-utilization"]), expected);
    for (part, passed) in [("0.76", "0.75"), ("0.99", "0.95")] {
        let found = ask(&gateway, "k-ci", "claude-opus-5-5").await;
        assert_eq!(found.status, 200);
        let warned = Some("allowed_warning");
        let expected = [warned, Some("overage"), warned, Some(part), Some(passed), None, None];
        assert_eq!(standing(&found, &NAMES), expected);
    }
    let found = ask(&gateway, "k-ci", "claude-opus-5-5").await;
    found.refusal(429, "billing_error");
    let expected = [
        Some("rejected"),
        None,
        None,
        Some("1"),
        Some("1"),
        Some("daily"),
        Some("org_spend_cap_reached"),
    ];
    assert_eq!(standing(&found, &NAMES), expected);
    let resets = standing(&found, &["reset", "overage-reset", "overage-scope"]);
    let midnight: i64 = resets[0].unwrap().parse().unwrap();
    assert_eq!((midnight % 86_400, resets[1], resets[2]), (0, resets[0], None));
    let wait: i64 = found.header("retry-after").unwrap().parse().unwrap();
    let left = midnight - jiff::Timestamp::now().as_second();
    assert!((left..=left + 5).contains(&wait), "{wait} {left}");
}

#[tokio::test]
async fn a_budget_of_a_team_says_that_it_is_shared_and_other_errors_have_no_standing() {
    let up = selling().await;
    let rules = "{ rules: [{ per: \"tag:team\", usd: 0.006, every: month }, { per: key, usd: 0.006, every: week }] }";
    let gateway = budgeted(&up, rules).start().await;
    assert_eq!(ask(&gateway, "k-ci", "claude-opus-5-5").await.status, 200);
    let found = ask(&gateway, "k-ci", "claude-opus-5-5").await;
    let message = found.refusal(429, "billing_error");
    // the one that starts again last
    let [period, scope] =
        [standing(&found, &["overage-period"])[0], standing(&found, &["overage-scope"])[0]];
    match message.contains("every month") {
        true => assert_eq!((period, scope), (Some("monthly"), Some("group_pool"))),
        false => assert_eq!((period, scope), (Some("weekly"), None)),
    }
    let wrong = Ask::message("{").header("x-api-key", "k-web").send(gateway.address).await;
    assert_eq!((wrong.status, standing(&wrong, &["status"])), (400, vec![None]));
    // a limit is no budget
    let limits = "limits: { rules: [{ per: key, requests: 1/1m }] }";
    let rules = "{ rules: [{ per: key, usd: 9, every: week }] }";
    let gateway = budgeted(&up, rules).config(limits).start().await;
    let found = ask(&gateway, "k-ci", "claude-opus-5-5").await;
    assert_eq!(
        standing(&found, &["status", "overage-utilization"]),
        [Some("allowed"), Some("0.00")]
    );
    let found = ask(&gateway, "k-ci", "claude-opus-5-5").await;
    found.refusal(429, "rate_limit_error");
    assert_eq!(standing(&found, &["status", "reset"]), [None, None]);
}
