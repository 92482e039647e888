//! A stage that is skipped leaves nothing: what its failed run did is undone, `ctx.state` included.
use super::{delta, said, saying};
use crate::support::client::Ask;
use crate::support::gateway::{Gateway, to};
use crate::support::upstream::{self, Auto, Behaviour, Upstream};
use crate::support::{ANSWER, MESSAGE, STREAM, grammar};

/// A gateway whose first stage is skipped where it breaks; the second one looks at what is left.
async fn gateway(up: &Auto, breaks: &str, looks: &str) -> Gateway {
    let order = "pipeline:\n  - { policy: breaks, on_error: skip }\n  - { policy: looks }\n";
    let gateway = Gateway::with().config(to(up.address) + order);
    gateway.policy("breaks", breaks).policy("looks", looks).start().await
}

/// Everything that a stage may do, then the end of it.
const ALL: &str = "ctx.state.seen = 1; ctx.state.list = [1]; ctx.state.gone = (); count(\"c\"); tag(\"t\", 1); let x = (); x.a.b;";

#[tokio::test]
async fn a_request_goes_on_as_if_the_stage_were_not_there() {
    let up = Upstream::always(Behaviour::Answer(upstream::json(200, ANSWER))).await;
    let breaks = format!(
        "fn on_request(request, ctx) {{ set_response_header(\"x-r\", \"1\"); request.max_tokens = 1; request.tools = []; route(\"other\"); add_tool(#{{ type: \"x\" }}); set_header(\"x-u\", \"1\"); {ALL} }}"
    );
    let looks = "fn on_request(request, ctx) {
        if ctx.state.seen != () || ctx.state.list != () { deny(`${ctx.state.seen}`); }
    }";
    let gateway = gateway(&up, &breaks, looks).await;
    let answer = Ask::message(MESSAGE).send(gateway.address).await;
    assert_eq!((answer.text(), answer.header("x-r")), (ANSWER.to_owned(), None));
    let (head, body) = up.seen().pop().unwrap();
    assert_eq!((&*body, head.header("x-u")), (MESSAGE.as_bytes(), None));
    assert_eq!(gateway.metric("tidegate_policy_counts_total{name=\"c\"}").await, 0.0);
    assert_eq!(gateway.metric("tidegate_tagged_requests_total{tag=\"t\",value=\"1\"}").await, 0.0);
}

#[tokio::test]
async fn state_from_earlier_hooks_is_kept_when_a_later_hook_fails() {
    let up = Upstream::always(Behaviour::Answer(upstream::json(200, ANSWER))).await;
    let breaks = format!(
        "fn on_request(request, ctx) {{ ctx.state.seen = 7; ctx.state.gone = 8; }}
        fn on_upstream_request(request, target, ctx) {{ request.max_tokens = 1; set_header(\"x-u\", \"1\"); {ALL} }}
        fn on_text(text, ctx) {{ {ALL} }}
        fn on_response(message, ctx) {{ message.model = \"x\"; set_response_header(\"x-r\", \"1\"); {ALL} }}"
    );
    let looks = "fn on_upstream_request(request, target, ctx) { set_header(\"x-seen\", `${ctx.state.seen} ${ctx.state.gone} ${ctx.state.list}`); }
        fn on_text(text, ctx) { `${ctx.state.seen} ${ctx.state.gone} ${ctx.state.list}` }
        fn on_response(message, ctx) { set_response_header(\"x-seen\", `${ctx.state.seen} ${ctx.state.gone} ${ctx.state.list}`); }";
    let gateway = gateway(&up, &breaks, looks).await;
    let answer = Ask::message(MESSAGE).send(gateway.address).await;
    assert_eq!(answer.text(), ANSWER.replace("hello", "7 8 "));
    assert_eq!((answer.header("x-seen"), answer.header("x-r")), (Some("7 8 ".trim()), None));
    let (head, body) = up.seen().pop().unwrap();
    assert_eq!((&*body, head.header("x-u")), (MESSAGE.as_bytes(), None));
    assert_eq!(head.header("x-seen"), Some("7 8"));
}

#[tokio::test]
async fn an_error_is_reworded_by_the_next_stage_with_the_state_of_before() {
    let up = Upstream::always(Behaviour::Answer(upstream::json(200, ANSWER))).await;
    let breaks = format!("fn on_error(error, ctx) {{ error.message = \"wrong\"; {ALL} }}");
    let looks = "fn on_request(request, ctx) { deny(\"no\"); }
        fn on_error(error, ctx) { error.message = `${error.message} ${ctx.state.seen == ()}`; }";
    let gateway = gateway(&up, &breaks, looks).await;
    let answer = Ask::message(MESSAGE).send(gateway.address).await;
    assert_eq!(answer.refusal(400, "invalid_request_error"), "no true");
}

#[tokio::test]
async fn a_state_that_grows_with_each_event_lasts_for_a_long_answer() {
    let pieces: Vec<String> = (0..500).map(|n| format!("word{n} ")).collect();
    let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
    let up = saying(&pieces).await;
    let policy = "fn on_event(event, ctx) {
        if event.delta?.text == () { return; }
        ctx.state.text = (ctx.state.text ?? ``) + event.delta.text;
        ctx.state[event.delta.text] = true;
        if `word499` in event.delta.text { count(`seen`, ctx.state.text.len()); }
    }";
    let gateway = Gateway::with().upstream(up.address).policy("p", policy).start().await;
    let answer = Ask::message(STREAM).send(gateway.address).await;
    assert_eq!(answer.text(), said(&pieces).concat());
    let length: usize = pieces.iter().map(|piece| piece.len()).sum();
    gateway.until_metric("tidegate_policy_counts_total{name=\"seen\"}", length as f64).await;
}

#[tokio::test]
async fn a_state_that_grows_beyond_its_limit_ends_the_stage_at_the_write() {
    let long = "x".repeat(10_000);
    let pieces = vec![long.as_str(); 10];
    let policy = "fn on_event(event, ctx) {
        if event.delta?.text == () { return; }
        try { ctx.state.text = (ctx.state.text ?? ``) + event.delta.text; } catch { }
    }";
    let up = saying(&pieces).await;
    let gateway = Gateway::with().upstream(up.address).policy("p", policy).start().await;
    let answer = Ask::message(STREAM).send(gateway.address).await;
    grammar::check(&answer.events()).unwrap();
    let says = "p.rhai:3:24: `ctx.state.text` takes 70010 bytes and the other entries take 0: `ctx.state` holds at most 65536 bytes";
    assert!(answer.text().contains(says), "{}", answer.text());
    assert_eq!(answer.text().matches(&delta(0, &long)).count(), 6);
    // where it is skipped, the stream goes on
    let gateway = self::gateway(&up, policy, "fn on_event(event, ctx) { }").await;
    let answer = Ask::message(STREAM).send(gateway.address).await;
    assert_eq!(answer.text(), said(&pieces).concat());
}
