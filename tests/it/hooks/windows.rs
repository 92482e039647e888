//! The windows of `on_text`: they end where a policy needs it, and silence does not cut a match.
use super::{delta, gateway, said, saying};
use crate::support::client::Ask;
use crate::support::events::Event;
use crate::support::gateway::{Gateway, to};
use crate::support::logs;
use crate::support::upstream::{self, Behaviour, Upstream};
use crate::support::{ANSWER, FRAMES, MESSAGE, STREAM, grammar, streaming};

fn texts(events: &[Event]) -> String {
    let data = events.iter().map(Event::json);
    data.filter_map(|data| data["delta"]["text"].as_str().map(str::to_owned)).collect()
}

/// The text of a whole answer of this text, after a policy.
async fn whole(text: &str, policy: &str) -> String {
    let text = serde_json::to_string(text).unwrap();
    let answer = ANSWER.replace("\"hello\"", &text);
    let up = Upstream::always(Behaviour::Answer(upstream::json(200, &answer))).await;
    let gateway = gateway(&up, policy).await;
    let answer = Ask::message(MESSAGE).send(gateway.address).await;
    answer.json()["content"][0]["text"].as_str().unwrap().to_owned()
}

/// The text of a stream of each of these lists of pieces, after a policy.
async fn streamed(lists: &[Vec<&str>], policy: &str) -> Vec<String> {
    let answers = lists.iter().map(|pieces| Behaviour::Answer(upstream::stream(&said(pieces))));
    let up = Upstream::script(answers.collect()).await;
    let gateway = gateway(&up, policy).await;
    let mut all = Vec::new();
    for _ in lists {
        let events = Ask::message(STREAM).send(gateway.address).await.events();
        grammar::check(&events).unwrap();
        all.push(texts(&events));
    }
    all
}

/// Asserts that a text becomes another one, however it arrives.
async fn becomes(text: &str, policy: &str, expected: &str) {
    assert_eq!(whole(text, policy).await, expected, "{policy}");
    let lists = cuts(text);
    for (pieces, found) in lists.iter().zip(streamed(&lists, policy).await) {
        assert_eq!(found, expected, "{policy} {pieces:?}");
    }
}

/// A policy with these windows that masks matches of a pattern.
fn masking(windows: &str, pattern: &str) -> String {
    format!("{windows}\nfn on_text(text, ctx) {{ regex_replace(text, `{pattern}`, \"[gone]\") }}")
}

/// Each way to cut a text in three.
fn cuts(text: &str) -> Vec<Vec<&str>> {
    let ends: Vec<usize> = text.char_indices().map(|(at, _)| at).step_by(5).collect();
    let pairs = ends.iter().flat_map(|a| ends.iter().filter(move |b| a < b).map(move |b| (*a, *b)));
    let mut all: Vec<Vec<&str>> =
        pairs.step_by(7).map(|(a, b)| vec![&text[..a], &text[a..b], &text[b..]]).collect();
    all.push(text.split_inclusive(' ').collect());
    all.push(text.char_indices().map(|(at, c)| &text[at..at + c.len_utf8()]).collect());
    all
}

#[tokio::test]
async fn a_value_after_its_name_is_found_without_any_declaration() {
    for (text, pattern, expected) in [
        ("The password: hunter2 is his", r"password: \S+", "The [gone] is his"),
        ("db:\n  password: hunter2\n  user: me\n", r"password: \S+", "db:\n  [gone]\n  user: me\n"),
        (
            "{\"key\": \"x\", \"password\": \"hunter2\"}",
            r#""password": "[^"]+""#,
            "{\"key\": \"x\", [gone]}",
        ),
        ("Authorization: Basic aGVsbG8=; path=/", r"Authorization: Basic \S+", "[gone] path=/"),
        ("The code: red; the other: blue.", r"code: \w+", "The [gone]; the other: blue."),
        ("Ask Dr. Smith now. Or not.", r"Dr\. \w+", "Ask [gone] now. Or not."),
        ("Give some, e.g. apples, or not.", r"e\.g\. \w+", "Give some, [gone], or not."),
        ("It was J. R. Smith who did it.", r"J\. R\. \w+", "It was [gone] who did it."),
    ] {
        becomes(text, &masking("", pattern), expected).await;
    }
}

#[tokio::test]
async fn a_match_over_the_end_of_a_window_is_found_with_an_overlap() {
    let text =
        "One line.\nThe password:\n  hunter2\nand more.\nA last line that is a bit longer.\nEnd";
    let pattern = r"password:\s+\S+";
    let expected = text.replace("password:\n  hunter2", "[gone]");
    for windows in [
        "const TEXT = #{ window: \"line\", overlap: 24 };",
        "const TEXT = #{ overlap: 24 };",
        "const TEXT = #{ window: \"sentence\" };",
        "const TEXT = #{ window: \"sentence\", overlap: 24 };",
        "const TEXT = #{ window: \"block\" };",
        "const TEXT = #{ window: \"block\", overlap: 24 };",
    ] {
        becomes(text, &masking(windows, pattern), &expected).await;
    }
}

#[tokio::test]
async fn a_mask_that_looks_like_its_match_hides_all_of_it() {
    let text = "First.\nkey: abc\ndef end.\nThe rest of it is longer than the overlap.\nEnd";
    for mask in ["key: ***", "key: abc", "", "key: abc\\nde", "k"] {
        let policy = format!(
            "const TEXT = #{{ window: \"line\", overlap: 20 }};\nfn on_text(text, ctx) {{ text.replace(\"key: abc\\ndef\", \"{mask}\"); text }}"
        );
        let expected = text.replace("key: abc\ndef", &mask.replace("\\n", "\n"));
        becomes(text, &policy, &expected).await;
    }
}

#[tokio::test]
async fn each_text_has_its_side_effects_once() {
    let text = "one 1.\ntwo 2.\nthree 3.\nfour 4.\nfive 5.\nsix 6.\nseven 7.\n";
    let policy = "const TEXT = #{ window: \"line\", overlap: 10 };
        fn on_text(text, ctx) {
            count(\"digits\", regex_find_all(text, \"[0-9]\").len());
            ctx.state.seen = (ctx.state.seen ?? \"\") + text;
            if \"7\" in text { count(\"seen\", ctx.state.seen.len()); }
            if \"3\" in text { text.replace(\"3\", \"three\"); text }
        }";
    let pieces: Vec<&str> = text.split_inclusive(' ').collect();
    let up = saying(&pieces).await;
    let gateway = gateway(&up, policy).await;
    let events = Ask::message(STREAM).send(gateway.address).await.events();
    assert_eq!(texts(&events), text.replace('3', "three"));
    gateway.until_metric("tidegate_policy_counts_total{name=\"digits\"}", 7.0).await;
    let length = text.len() as f64;
    gateway.until_metric("tidegate_policy_counts_total{name=\"seen\"}", length).await;
}

#[tokio::test]
async fn a_denied_match_over_the_end_of_a_window_is_not_sent_in_part() {
    let policy = "const TEXT = #{ window: \"line\", overlap: 12 };
        fn on_text(text, ctx) { if regex_match(text, \"big\\\\s+bomb\") { deny(403, \"no\"); } }";
    let text = "First line is long.\nSecond line.\nA big\nbomb here.\nMore of it.\n";
    for sent in streamed(&cuts(text), policy).await {
        assert!(text.starts_with(&sent) && !sent.contains("big"), "{sent}");
    }
}

#[tokio::test]
async fn a_stream_stays_live_line_by_line() {
    let mut up = Upstream::start().await;
    let policy = masking("", "hunter2");
    let gateway = Gateway::with().upstream(up.address).policy("p", &policy).start().await;
    let (mut answer, mut call) = streaming(&gateway, &mut up).await;
    call.chunk(FRAMES[1]).await;
    answer.frame().await.unwrap();
    for (piece, sent) in
        [("A first line\nand", "A first line\n"), (" then. Now", "and then. "), ("! Go", "Now! ")]
    {
        call.chunk(delta(0, piece)).await;
        let event = answer.event().await.unwrap().json();
        assert_eq!(event["delta"]["text"], sent);
    }
    drop(answer);
    call.closed().await;
}

#[tokio::test]
async fn silence_does_not_release_an_unfinished_text_before_the_operators_limit() {
    logs::start();
    let mut up = Upstream::start().await;
    let config = to(up.address) + "policies: { text_timeout: 107ms }\n";
    let policy = masking("", r"password: \S+");
    let files = [("policies/p.rhai", policy.as_str())];
    let gateway = Gateway::with().config(&config).files(&files).start().await;
    let (mut answer, mut call) = streaming(&gateway, &mut up).await;
    call.chunk(FRAMES[1]).await;
    answer.frame().await.unwrap();
    call.chunk(delta(0, "all whole wor")).await;
    // nothing more comes: the limit releases all of it at once
    let event = answer.event().await.unwrap().json();
    assert_eq!(event["delta"]["text"], "all whole wor");
    // pings are silence, too
    call.chunk(delta(0, "ds and password: hun")).await;
    call.chunk("event: ping\ndata: {\"type\": \"ping\"}\n\n").await;
    let mut events = [answer.event().await.unwrap(), answer.event().await.unwrap()];
    events.sort_by_key(|event| event.json()["type"] == "ping");
    assert_eq!(events[0].json()["delta"]["text"], "ds and [gone]");
    assert_eq!(events[1].json()["type"], "ping");
    let line = logs::line_with("silence", "107ms", "no new text within").await;
    assert_eq!(line["level"], "WARN");
    assert!(line["request_id"].as_str().unwrap().starts_with("req_"));
    // once a stream
    assert_eq!(logs::count("silence", "107ms", "no new text within"), 1);
    drop(answer);
    call.closed().await;
}
