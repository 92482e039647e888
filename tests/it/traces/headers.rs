//! The headers that carry a trace from the client to upstreams, and the sampling that they decide.
use super::{CLIENT, PARENT, of_kind, traced};
use crate::support::client::Ask;
use crate::support::gateway::Gateway;
use crate::support::otlp::Collector;
use crate::support::upstream::{self, Behaviour, Upstream};
use crate::support::{ANSWER, MESSAGE};

#[tokio::test]
async fn an_upstream_continues_the_clients_trace_without_its_baggage() {
    let up = Upstream::always(Behaviour::Answer(upstream::json(200, ANSWER))).await;
    let collector = Collector::start().await;
    let provider = format!(
        "{{ type: anthropic, api_key: k, base_url: \"http://{}\", forward_headers: [\"*a*\"] }}",
        up.address
    );
    let gateway = Gateway::with()
        .provider("up", &provider)
        .config(collector.config())
        .config("passthrough: up\n");
    let gateway = gateway.start().await;
    for target in ["/v1/messages", "/v1/messages/count_tokens", "/v1/files"] {
        let ask = Ask::post(target, MESSAGE).header("traceparent", PARENT);
        let ask = ask.header("tracestate", "a=1,b=2").header("baggage", "user=secret");
        ask.send(gateway.address).await;
    }
    gateway.stop().await;
    let spans = collector.spans();
    let clients = of_kind(&spans, CLIENT);
    assert_eq!((clients.len(), up.count()), (3, 3));
    for ((head, _), span) in up.seen().iter().zip(clients) {
        let expected = format!("00-0af7651916cd43dd8448eb211c80319c-{}-01", span.id);
        assert_eq!(head.header("traceparent"), Some(&*expected));
        assert_eq!(head.header("tracestate"), Some("a=1,b=2"));
        assert_eq!(head.header("baggage"), None);
    }
}

#[tokio::test]
async fn a_policy_that_edits_headers_does_not_break_the_trace() {
    let up = Upstream::always(Behaviour::Answer(upstream::json(200, ANSWER))).await;
    let collector = Collector::start().await;
    let policy = "fn on_upstream_request(request, target, ctx) { set_header(\"x-mine\", \"1\"); }";
    let gateway = traced(up.address, &collector).policy("p", policy).start().await;
    let ask = Ask::message(MESSAGE).header("traceparent", PARENT);
    assert_eq!(ask.send(gateway.address).await.status, 200);
    gateway.stop().await;
    let spans = collector.spans();
    let (head, _) = &up.seen()[0];
    assert_eq!(head.header("x-mine"), Some("1"));
    let sent = head.header("traceparent").unwrap();
    assert!(sent.contains(&of_kind(&spans, CLIENT)[0].id), "{sent}");
}

#[tokio::test]
async fn without_a_collector_the_clients_headers_pass_as_they_are() {
    let up = Upstream::always(Behaviour::Answer(upstream::json(200, ANSWER))).await;
    let gateway = Gateway::with().upstream(up.address).start().await;
    let ask = Ask::message(MESSAGE).header("traceparent", PARENT).header("tracestate", "a=1");
    ask.send(gateway.address).await;
    Ask::message(MESSAGE).send(gateway.address).await;
    let seen = up.seen();
    assert_eq!(seen[0].0.header("traceparent"), Some(PARENT));
    assert_eq!(seen[0].0.header("tracestate"), Some("a=1"));
    assert_eq!(seen[1].0.header("traceparent"), None);
}

#[tokio::test]
async fn the_clients_flag_decides_about_its_trace_and_the_ratio_about_others() {
    let up = Upstream::always(Behaviour::Answer(upstream::json(200, ANSWER))).await;
    let collector = Collector::start().await;
    let config =
        format!("otlp: {{ endpoint: \"http://{}\", sample: 0 }}", collector.upstream.address);
    let gateway = Gateway::with().upstream(up.address).config(config).start().await;
    let unsampled = format!("{}00", PARENT.strip_suffix("01").unwrap());
    Ask::message(MESSAGE).header("traceparent", &unsampled).send(gateway.address).await;
    Ask::message(MESSAGE).send(gateway.address).await;
    Ask::message(MESSAGE).header("traceparent", PARENT).send(gateway.address).await;
    gateway.stop().await;
    let sent: Vec<_> =
        up.seen().iter().map(|(head, _)| head.header("traceparent").unwrap().to_owned()).collect();
    assert!(
        sent[0].starts_with("00-0af7651916cd43dd8448eb211c80319c-") && sent[0].ends_with("-00")
    );
    assert!(sent[1].ends_with("-00") && !sent[1].contains("0af7651916cd43dd8448eb211c80319c"));
    assert!(sent[2].ends_with("-01"));
    // the third exchange only
    assert_eq!(collector.spans().len(), 2);
}
