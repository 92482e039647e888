//! `on_event`: each event of a stream.
use serde_json::{Value, json};

use super::{delta, frame, gateway, said, saying};
use crate::support::client::Ask;
use crate::support::events::Event;
use crate::support::gateway::{Gateway, to};
use crate::support::upstream::{self, Behaviour, Upstream};
use crate::support::{FRAMES, STREAM, grammar};

/// What a caller gets of a stream that runs through a policy.
async fn through(frames: &[String], policy: &str) -> String {
    let frames: Vec<&str> = frames.iter().map(String::as_str).collect();
    let up = Upstream::always(Behaviour::Answer(upstream::stream(&frames))).await;
    let gateway = gateway(&up, policy).await;
    let answer = Ask::message(STREAM).send(gateway.address).await;
    assert!(answer.is_whole);
    answer.text()
}

#[tokio::test]
async fn events_that_a_policy_only_reads_pass_byte_for_byte() {
    let policy = r#"fn on_event(event, ctx) { if event.type == "content_block_delta" { count("deltas"); } }"#;
    let up = saying(&["a", "b"]).await;
    let gateway = gateway(&up, policy).await;
    let answer = Ask::message(STREAM).send(gateway.address).await;
    assert_eq!(answer.text(), said(&["a", "b"]).concat());
    gateway.until_metric("tidegate_policy_counts_total{name=\"deltas\"}", 2.0).await;
}

#[tokio::test]
async fn a_text_is_rewritten_and_the_rest_stays_as_it_came() {
    let policy = r#"fn on_event(event, ctx) {
        if event.type == "content_block_delta" && event.delta.type == "text_delta" {
            event.delta.text = event.delta.text.to_upper();
        }
    }"#;
    let text = through(&said(&["one ", "2 "]), policy).await;
    let expect = said(&["one ", "2 "]).concat().replace("\"one \"", "\"ONE \"");
    assert_eq!(text, expect);
}

#[tokio::test]
async fn a_dropped_block_goes_whole_and_later_ones_move_up() {
    let block = |index: u64, kind: Value| {
        [
            frame(&json!({"type": "content_block_start", "index": index, "content_block": kind})),
            delta(index, "x"),
            frame(&json!({"type": "content_block_stop", "index": index})),
        ]
    };
    let (text, other) =
        (json!({"type": "text", "text": ""}), json!({"type": "text", "text": "", "n": 1}));
    let mut frames = vec![FRAMES[0].to_owned(), FRAMES[1].to_owned(), FRAMES[3].to_owned()];
    frames.extend(block(1, other));
    frames.extend(block(2, text));
    frames.extend([FRAMES[4].to_owned(), FRAMES[5].to_owned()]);
    let policy = r#"fn on_event(event, ctx) {
        if event.type == "content_block_start" && event.content_block.n == 1 { drop_event(); }
    }"#;
    let text = through(&frames, policy).await;
    assert!(!text.contains("\"n\":1") && text.contains("\"index\":1"), "{text}");
    assert!(!text.contains("\"index\":2"), "{text}");
    let answer = upstream_events(&text);
    grammar::check(&answer).unwrap();
}

fn upstream_events(text: &str) -> Vec<Event> {
    let frames = text.split_inclusive("\n\n");
    frames.map(|frame| Event::from_frame(frame.to_owned())).collect()
}

#[tokio::test]
async fn a_policy_ends_a_stream_with_an_error() {
    let policy = r#"fn on_event(event, ctx) {
        if event.type == "content_block_delta" && event.delta.text == "bad" { deny(403, "enough"); }
    }"#;
    let up = saying(&["good", "bad", "never"]).await;
    let gateway = gateway(&up, policy).await;
    let answer = Ask::message(STREAM).send(gateway.address).await;
    let events = answer.events();
    grammar::check(&events).unwrap();
    let last = events.last().unwrap().json();
    assert_eq!(last["error"], json!({"type": "permission_error", "message": "enough"}));
    assert!(answer.text().contains("good") && !answer.text().contains("never"));
}

#[tokio::test]
async fn a_stream_cannot_be_put_out_of_order() {
    for (edit, wrong) in [
        ("event.index = 7", "changed `index`"),
        ("event.type = \"ping\"", "changed `type`"),
        ("if event.type == \"message_delta\" { drop_event() }", "dropped a `message_delta`"),
        (
            "if event.type == \"content_block_stop\" { drop_event() }",
            "dropped a `content_block_stop`",
        ),
    ] {
        let policy = format!("fn on_event(event, ctx) {{ {edit}; }}");
        let text = through(&said(&["a"]), &policy).await;
        assert!(text.contains(&format!("stage `p` {wrong}")), "{text}");
        assert!(text.contains("event: error"), "{text}");
    }
}

#[tokio::test]
async fn a_policy_that_edits_or_drops_signed_thinking_fails() {
    let thinking = frame(
        &json!({"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "hm"}}),
    );
    let frames = [
        FRAMES[0].to_owned(),
        frame(
            &json!({"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": "", "signature": ""}}),
        ),
        thinking,
    ];
    for edit in ["event.delta.thinking = \"I think\"", "drop_event()"] {
        let policy = format!(
            "fn on_event(event, ctx) {{ if event.type == \"content_block_delta\" {{ {edit}; }} }}"
        );
        let text = through(&frames, &policy).await;
        assert!(text.contains("stage `p`") && text.contains("event: error"), "{text}");
    }
}

#[tokio::test]
async fn a_broken_hook_is_skipped_for_the_rest_of_the_stream_where_the_operator_says_so() {
    let up = saying(&["a", "b", "c"]).await;
    let config = to(up.address) + "pipeline:\n  - { policy: p, on_error: skip }\n";
    let policy = "fn on_event(event, ctx) {\n  count(\"seen\");\n  event.nothing.at.all\n}";
    let gateway = Gateway::with().config(&config).policy("p", policy).start().await;
    let answer = Ask::message(STREAM).send(gateway.address).await;
    assert_eq!(answer.text(), said(&["a", "b", "c"]).concat());
    let failures = "tidegate_stage_failures_total{stage=\"p\",hook=\"on_event\"}";
    gateway.until_metric(failures, 1.0).await;
    // what a hook that broke has asked for is not done
    assert_eq!(gateway.metric("tidegate_policy_counts_total{name=\"seen\"}").await, 0.0);
}

#[tokio::test]
async fn events_that_a_stage_dropped_stay_dropped_after_it_fails() {
    let frames = [
        FRAMES[0].to_owned(),
        FRAMES[1].to_owned(),
        delta(0, "gone"),
        frame(&json!({"type": "ping"})),
        delta(0, "gone too"),
        FRAMES[3].to_owned(),
        frame(
            &json!({"type": "content_block_start", "index": 1, "content_block": {"type": "text", "text": ""}}),
        ),
        delta(1, "stays"),
        frame(&json!({"type": "content_block_stop", "index": 1})),
        FRAMES[4].to_owned(),
        FRAMES[5].to_owned(),
    ];
    let frames: Vec<&str> = frames.iter().map(String::as_str).collect();
    let up = Upstream::always(Behaviour::Answer(upstream::stream(&frames))).await;
    let config = to(up.address) + "pipeline:\n  - { policy: p, on_error: skip }\n";
    let policy = r#"fn on_event(event, ctx) {
        if event.type == "ping" { event.a.b }
        if event.type == "content_block_start" { drop_event(); }
    }"#;
    let files = [("policies/p.rhai", policy)];
    let gateway = Gateway::with().config(&config).files(&files).start().await;
    let answer = Ask::message(STREAM).send(gateway.address).await;
    grammar::check(&answer.events()).unwrap();
    assert!(
        !answer.text().contains("gone") && answer.text().contains("stays"),
        "{}",
        answer.text()
    );
}

#[tokio::test]
async fn passed_text_is_sent_before_a_later_stage_ends_the_stream() {
    // the end of the block makes the first stage give its text and the end in one step
    let first = ("policies/a.rhai", "fn on_text(text, ctx) { }");
    let ends =
        r#"fn on_event(event, ctx) { if event.type == "content_block_stop" { deny("enough"); } }"#;
    let up = saying(&["a word", " and more"]).await;
    for files in [
        &[first, ("policies/b.rhai", ends)][..],
        // what a stage behind the one that ends it still holds has passed that one
        &[first, ("policies/b.rhai", ends), ("policies/c.rhai", "fn on_text(text, ctx) { }")],
    ] {
        let gateway = Gateway::with().upstream(up.address).files(files).start().await;
        let text = Ask::message(STREAM).send(gateway.address).await.text();
        assert!(text.contains("a word and more"), "{text}");
        assert!(text.contains("event: error") && text.contains("enough"), "{text}");
        assert!(!text.contains("content_block_stop"), "{text}");
    }
    // what the stage itself has not let through stays behind
    let files = [
        ("policies/a.rhai", ends),
        (
            "policies/b.rhai",
            "fn on_text(text, ctx) { if text.contains(\"word\") { deny(\"no words\"); } }",
        ),
    ];
    let gateway = Gateway::with().upstream(up.address).files(&files).start().await;
    let text = Ask::message(STREAM).send(gateway.address).await.text();
    assert!(text.contains("no words") && !text.contains("a word"), "{text}");
}
