//! `sort` puts the cheapest or the fastest target first.
use crate::requested::target;
use crate::support::client::{Answer, Ask};
use crate::support::gateway::Gateway;
use crate::support::upstream::{self, Auto, Behaviour, Upstream};
use crate::support::{ANSWER, FRAMES, MESSAGE, STREAM, streaming};

async fn fine() -> Auto {
    Upstream::by(|call| {
        let is_stream = memchr::memmem::find(&call.body, b"\"stream\":true").is_some();
        Behaviour::Answer(match is_stream {
            true => upstream::stream(&FRAMES),
            false => upstream::json(200, ANSWER),
        })
    })
    .await
}

fn config(up: &Auto, more: &str) -> String {
    format!(
        "providers:
  a: {{ type: anthropic, base_url: \"http://{address}\" }}
  b: {{ type: anthropic, base_url: \"http://{address}\" }}
  c: {{ type: anthropic, base_url: \"http://{address}\" }}
models:
  m:
    {more}
    targets:
      - {{ provider: a, model: unpriced }}
      - {{ provider: b, model: claude-opus-5 }}
      - {{ provider: c, model: claude-haiku-4-5 }}
",
        address = up.address
    )
}

async fn asked(gateway: &Gateway, body: &str, headers: &[(&str, &str)]) -> Answer {
    let ask = headers.iter().fold(Ask::message(body), |ask, (name, value)| ask.header(name, value));
    let answer = ask.send(gateway.address).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer
}

#[tokio::test]
async fn a_request_or_an_alias_chooses_the_cheapest_target() {
    let up = fine().await;
    let plain = Gateway::start(&config(&up, "strategy: failover")).await;
    assert_eq!(target(&asked(&plain, MESSAGE, &[]).await), "a/unpriced");
    let cheapest = "c/claude-haiku-4-5";
    for body in [MESSAGE, STREAM] {
        let by_header = asked(&plain, body, &[("x-tidegate-sort", "cost")]).await;
        assert_eq!(target(&by_header), cheapest);
        let by_body = body.replace("\"m\"", "\"m\",\"gateway\":{\"sort\":\"cost\"}");
        assert_eq!(target(&asked(&plain, &by_body, &[]).await), cheapest);
    }
    // the request's own order comes first
    let ordered = [("x-tidegate-sort", "cost"), ("x-tidegate-order", "b")];
    assert_eq!(target(&asked(&plain, MESSAGE, &ordered).await), "b/claude-opus-5");
    let not = [("x-tidegate-sort", "cost"), ("x-tidegate-ignore", "c")];
    assert_eq!(target(&asked(&plain, MESSAGE, &not).await), "b/claude-opus-5");
    let sorting = Gateway::start(&config(&up, "sort: cost")).await;
    assert_eq!(target(&asked(&sorting, MESSAGE, &[]).await), cheapest);
    for request in up.requests() {
        assert!(request.get("gateway").is_none());
    }
}

#[tokio::test]
async fn an_alias_may_not_sort_and_weigh() {
    let up = fine().await;
    let gateway = Gateway::start(&config(&up, "sort: cost")).await;
    let tidegate::gateway::reload::Reloaded::Refused(problems) =
        gateway.reload(&config(&up, "sort: cost\n    strategy: weighted")).await
    else {
        panic!("refused")
    };
    let expected = "models.m.sort: both `sort` and `strategy: weighted`: give one of them";
    assert_eq!(problems[0].to_string(), expected);
}

#[tokio::test]
async fn an_unknown_order_is_a_400_that_names_the_known_ones() {
    let up = fine().await;
    let gateway = Gateway::start(&config(&up, "sort: cost")).await;
    let answer =
        Ask::message(MESSAGE).header("x-tidegate-sort", "price").send(gateway.address).await;
    let expected = "`x-tidegate-sort` is `price`: it must be `cost`, `latency` or `throughput`";
    assert_eq!(answer.refusal(400, "invalid_request_error"), expected);
}

#[tokio::test]
async fn each_target_is_measured_once_and_then_the_fastest_comes_first() {
    let (mut slow, quick) = (Upstream::start().await, fine().await);
    let yaml = format!(
        "providers:
  slow: {{ type: anthropic, base_url: \"http://{}\" }}
  quick: {{ type: anthropic, base_url: \"http://{}\" }}
models:
  m: {{ sort: latency, targets: [{{ provider: slow }}, {{ provider: quick }}] }}
",
        slow.address, quick.address
    );
    let gateway = Gateway::start(&yaml).await;
    // the first request measures the first target, and the others do not wait for its first content
    let (incoming, mut call) = streaming(&gateway, &mut slow).await;
    for _ in 0..3 {
        assert_eq!(target(&asked(&gateway, STREAM, &[]).await), "quick/m");
    }
    // content now, later than any of the others
    for frame in &FRAMES[1..] {
        call.chunk(frame).await;
    }
    call.end_stream().await;
    assert!(incoming.finish().await.is_whole);
    for body in [STREAM, MESSAGE] {
        assert_eq!(target(&asked(&gateway, body, &[]).await), "quick/m");
    }
    // what was measured outlives a reload
    gateway.reload(&yaml.replace("sort: latency", "cooldown: 1s, sort: latency")).await;
    assert_eq!(target(&asked(&gateway, STREAM, &[]).await), "quick/m");
    assert!(slow.is_idle());
}
