//! Limits and budgets in a real Redis: shared by gateways, exact, and served without it as `away` says.
use serde_json::json;

use crate::limit_rules::{KEYS, answering, ask, remaining, statuses};
use crate::support::client::{Answer, Ask, Incoming};
use crate::support::gateway::{Builder, Gateway};
use crate::support::redis::{Fault, Redis};
use crate::support::upstream::{Auto, Behaviour, Call, Upstream, json};
use crate::support::{ANSWER, FRAMES, MESSAGE, STREAM, until};

/// A gateway with limits in a server.
fn sharing(up: &Auto, redis: &Redis, away: &str, rules: &str) -> Builder {
    let limits = format!("{KEYS}limits: {{ {}, rules: [{rules}] }}", redis.store(away));
    Gateway::with().upstream(up.address).config(limits)
}

async fn mode(gateway: &Gateway, mode: &str) -> f64 {
    gateway.metric(&format!("tidegate_limiter_mode{{mode=\"{mode}\"}}")).await
}

async fn until_mode(gateway: &Gateway, name: &str) {
    until(&format!("the mode {name}"), async || mode(gateway, name).await == 1.0).await;
}

/// Asks until Redis has decided: without an answer in time a gateway with `away: closed` says 503.
async fn decided(gateway: &Gateway, key: &str) -> Answer {
    loop {
        let found = ask(gateway, key).await;
        if found.status != 503 {
            return found;
        }
    }
}

/// The amounts of all windows.
fn windows(redis: &Redis) -> Vec<u64> {
    let keys: Vec<String> = redis.run(&["KEYS", "*Window*"]);
    let values = keys.iter().filter(|key| !key.ends_with(":holds"));
    let values = values.map(|key| redis.run::<Vec<String>>(&["HVALS", key]));
    let amount = |slot: &String| slot.split_once(' ').unwrap().0.parse::<u64>().unwrap();
    values.map(|slots| slots.iter().map(amount).sum()).collect()
}

#[tokio::test]
async fn gateways_that_share_a_store_share_the_limit() {
    let Some(redis) = Redis::start(&[]).await else { return };
    let up = answering().await;
    let rules = "{ per: key, requests: 10/1h, tokens: 100000/1h, concurrent: 50 }";
    let start = || sharing(&up, &redis, "closed", rules).start();
    let (first, second) = tokio::join!(start(), start());
    let asks = (0..30).map(|n| decided(if n % 2 == 0 { &first } else { &second }, "k-ci"));
    let found = futures_util::future::join_all(asks).await;
    assert_eq!(found.iter().filter(|answer| answer.status == 200).count(), 10);
    assert_eq!(up.count(), 10);
    let refused = decided(&second, "k-ci").await;
    let message = refused.refusal(429, "rate_limit_error");
    assert!(message.contains("10 requests in 1h for the key `ci`"), "{message}");
    let wait: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((3000..=3600).contains(&wait), "{wait}");
    assert_eq!(remaining(&refused, "requests"), Some("0"));
    // another key has counters of its own, and refusals charged nothing: 5 tokens for each answer
    assert_eq!(decided(&second, "k-ops").await.status, 200);
    until("the tokens to be settled", async || {
        let mut found = windows(&redis);
        found.sort_unstable();
        found == [1, 5, 10, 50]
    })
    .await;
    until_mode(&first, "shared").await;
    assert_eq!(mode(&first, "memory").await, 0.0);
}

#[tokio::test]
async fn a_place_at_the_same_time_is_shared_and_free_when_the_caller_leaves() {
    let Some(redis) = Redis::start(&[]).await else { return };
    let mut up = Upstream::start().await;
    let quick = answering().await;
    let rules = "{ per: key, concurrent: 1 }";
    let limits = format!("{KEYS}limits: {{ {}, rules: [{rules}] }}", redis.store("closed"));
    let first = Gateway::with().upstream(up.address).config(limits).start().await;
    let second = sharing(&quick, &redis, "closed", rules).start().await;
    for _ in 0..2 {
        let (mut stream, _call) = streaming(&first, &mut up).await;
        assert!(stream.frame().await.is_some());
        decided(&second, "k-ci").await.refusal(429, "rate_limit_error");
        drop(stream);
        until("the place to be free", async || decided(&second, "k-ci").await.status == 200).await;
    }
}

/// Opens a stream, as soon as Redis has a place for it.
async fn streaming(gateway: &Gateway, up: &mut Upstream) -> (Incoming, Call) {
    loop {
        let opening = Ask::message(STREAM).header("x-api-key", "k-ci").open(gateway.address);
        let mut opening = Box::pin(opening);
        tokio::select! {
            mut call = up.call() => {
                call.begin_stream().await;
                call.chunk(FRAMES[0]).await;
                return (opening.await, call);
            }
            // a refusal, of which the upstream knows nothing
            _refused = &mut opening => {}
        }
    }
}

#[tokio::test]
async fn a_place_of_a_gateway_that_is_gone_is_free_when_its_time_is_over() {
    let Some(redis) = Redis::start(&[]).await else { return };
    let up = answering().await;
    let gateway = sharing(&up, &redis, "closed", "{ per: key, concurrent: 1 }").start().await;
    let holds = "{tidegate}:key|None|None|{}|concurrent|Concurrent:ci:holds";
    // the end of the time of another gateway's request, in milliseconds
    let () = redis.run(&["ZADD", holds, "99999999999999", "other"]);
    decided(&gateway, "k-ci").await.refusal(429, "rate_limit_error");
    let () = redis.run(&["ZADD", holds, "1", "other"]);
    assert_eq!(decided(&gateway, "k-ci").await.status, 200);
}

#[tokio::test]
async fn gateways_that_share_a_store_share_the_budget() {
    let Some(redis) = Redis::start(&[]).await else { return };
    let answer = ANSWER.replace("\"input_tokens\":3", "\"input_tokens\":1000");
    let up = Upstream::always(Behaviour::Answer(json(200, &answer))).await;
    let config = format!(
        "{KEYS}limits: {{ {} }}\nbudgets: {{ rules: [{{ per: key, usd: 0.005, every: month, warn_at: 0.5 }}] }}",
        redis.store("closed")
    );
    let start = || Gateway::with().upstream(up.address).config(&config).start();
    let (first, second) = tokio::join!(start(), start());
    let body = json!({"model": "claude-opus-5-5", "max_tokens": 10, "messages": [{"role": "user", "content": "hi"}]});
    let pay = async |gateway: &Gateway| loop {
        let ask = Ask::message(body.to_string()).header("x-api-key", "k-ci");
        let found = ask.send(gateway.address).await;
        if found.status != 503 {
            return found;
        }
    };
    // 4 dollars a million: two answers cost more than the budget
    assert_eq!(pay(&first).await.status, 200);
    assert_eq!(pay(&second).await.status, 200);
    until("the second payment to be known", async || pay(&first).await.status == 429).await;
    let found = pay(&second).await;
    found.refusal(429, "billing_error");
    assert_eq!(found.header("x-should-retry"), Some("false"));
    assert_eq!(up.count(), 2);
    let labels = "{per=\"key\",every=\"month\"}";
    let mut warnings = 0.0;
    for gateway in [&first, &second] {
        warnings += gateway.metric(&format!("tidegate_budget_warnings_total{labels}")).await;
    }
    assert!(warnings <= 1.0, "{warnings}");
}

#[tokio::test]
async fn a_store_that_lost_its_scripts_or_is_a_cluster_is_used_as_before() {
    let Some(redis) = Redis::start(&["--cluster-enabled", "yes"]).await else { return };
    let () = redis.run(&["CLUSTER", "ADDSLOTSRANGE", "0", "16383"]);
    until("the cluster to be ready", async || {
        redis.run::<String>(&["CLUSTER", "INFO"]).contains("cluster_state:ok")
    })
    .await;
    let up = answering().await;
    let rules = "{ per: key, requests: 3/1h, concurrent: 9 }, { per: model, tokens: 9999/1h }, { per: target, requests: 99/1h }";
    let gateway = sharing(&up, &redis, "closed", rules).start().await;
    for expected in [200, 200, 200, 429] {
        assert_eq!(decided(&gateway, "k-ci").await.status, expected);
        let () = redis.run(&["SCRIPT", "FLUSH"]);
    }
}

#[tokio::test]
async fn without_its_store_a_gateway_serves_as_the_config_says() {
    for (away, expected) in
        [("local", [200, 429, 429]), ("open", [200, 200, 200]), ("closed", [503, 503, 503])]
    {
        let Some(mut redis) = Redis::start(&[]).await else { return };
        let up = answering().await;
        let gateway = sharing(&up, &redis, away, "{ per: key, requests: 2/1h }").start().await;
        until_mode(&gateway, "shared").await;
        // with `local`, the gateway knows the requests that it served before
        let _first = ask(&gateway, "k-ci").await;
        redis.fail(Fault::Killed);
        until_away(&gateway, away).await;
        assert_eq!(statuses(&gateway, "k-ci", 3).await, expected, "{away}");
        assert!(gateway.metric("tidegate_limiter_unreachable_total").await >= 3.0);
        redis.mend(Fault::Killed).await;
        until_mode(&gateway, "shared").await;
    }
}

#[tokio::test]
async fn a_store_that_hangs_or_takes_no_writes_is_away_until_it_is_well() {
    let Some(mut redis) = Redis::start(&[]).await else { return };
    let up = answering().await;
    let gateway = sharing(&up, &redis, "closed", "{ per: key, requests: 100000/1h }").start().await;
    until_mode(&gateway, "shared").await;
    for fault in [Fault::Hung, Fault::Full, Fault::Killed, Fault::Hung] {
        redis.fail(fault);
        until_away(&gateway, "closed").await;
        ask(&gateway, "k-ci").await.refusal(503, "overloaded_error");
        redis.mend(fault).await;
        until_mode(&gateway, "shared").await;
        assert_eq!(decided(&gateway, "k-ci").await.status, 200, "{fault:?}");
    }
}

/// Asks until the gateway knows that it is without its store.
async fn until_away(gateway: &Gateway, away: &str) {
    until("the gateway to be without its store", async || {
        ask(gateway, "k-ops").await;
        mode(gateway, away).await == 1.0
    })
    .await;
}

#[tokio::test]
async fn a_reservation_that_comes_too_late_is_given_back() {
    let Some(mut redis) = Redis::start(&[]).await else { return };
    let up = answering().await;
    let gateway = sharing(&up, &redis, "open", "{ per: key, requests: 10/1h }").start().await;
    assert_eq!(ask(&gateway, "k-ci").await.status, 200);
    let before = windows(&redis);
    redis.fail(Fault::Hung);
    // the gateway does not wait for an answer, and does without it
    assert_eq!(statuses(&gateway, "k-ci", 4).await, [200; 4]);
    assert_eq!(mode(&gateway, "open").await, 1.0);
    redis.mend(Fault::Hung).await;
    until_mode(&gateway, "shared").await;
    until("late reservations to be given back", async || windows(&redis) == before).await;
    assert_eq!(gateway.metric("tidegate_limiter_unsettled_total").await, 0.0);
}

#[tokio::test]
async fn a_store_that_is_away_at_the_start_is_used_when_it_comes() {
    let Some(mut redis) = Redis::start(&[]).await else { return };
    redis.fail(Fault::Killed);
    let up = answering().await;
    let gateway = sharing(&up, &redis, "closed", "{ per: key, requests: 1/1h }").start().await;
    let found = ask(&gateway, "k-ci").await;
    let message = found.refusal(503, "overloaded_error");
    assert!(message.contains("the store of the limits does not answer"), "{message}");
    assert_eq!(found.header("retry-after"), Some("5"));
    // what has no limit is served, and the gateway is ready
    let count = Ask::post("/v1/messages/count_tokens", MESSAGE);
    assert_ne!(count.header("x-api-key", "k-ci").send(gateway.address).await.status, 503);
    assert_eq!(Ask::get("/readyz").send(gateway.admin).await.status, 200);
    redis.mend(Fault::Killed).await;
    until_mode(&gateway, "shared").await;
    assert_eq!(decided(&gateway, "k-ci").await.status, 200);
    assert_eq!(decided(&gateway, "k-ci").await.status, 429);
}

#[tokio::test]
async fn a_reload_changes_the_store() {
    let Some(redis) = Redis::start(&[]).await else { return };
    let up = answering().await;
    let gateway = sharing(&up, &redis, "closed", "{ per: key, requests: 1/1h }").start().await;
    assert_eq!(decided(&gateway, "k-ci").await.status, 200);
    let text = std::fs::read_to_string(gateway.file()).unwrap();
    let memory = text.replace(&redis.store("closed"), "store: memory");
    for (config, expected, name) in [(memory, 429, "memory"), (text, 429, "shared")] {
        gateway.reload(&config).await;
        until_mode(&gateway, name).await;
        // the memory has what this gateway used
        assert_eq!(decided(&gateway, "k-ci").await.status, expected, "{name}");
    }
}
