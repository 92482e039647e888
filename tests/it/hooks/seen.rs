//! `on_text` sees every text of an answer, in order, and the same one whether the answer streams or not.
use serde_json::{Value, json};

use super::{delta, frame, gateway};
use crate::support::client::Ask;
use crate::support::events::Event;
use crate::support::gateway::{Gateway, to};
use crate::support::turn;
use crate::support::upstream::{self, Behaviour, Upstream};
use crate::support::{FRAMES, MESSAGE, STREAM, grammar};

/// Masks, and shows in order all that it has seen, with a sign after each text.
const LOOK: &str = r#"
fn on_text(text, ctx) { ctx.state.seen = (ctx.state.seen ?? "") + text; text.replace("secret-key", "[gone]"); text }
fn on_response(message, ctx) { log("info", "seen: " + (ctx.state.seen ?? "").replaced("\n", "|")); }
"#;

/// The events of a stream of these frames, after a policy.
async fn through(frames: &[String], policy: &str) -> Vec<Event> {
    let up = Upstream::always(Behaviour::Answer(upstream::stream(frames))).await;
    let gateway = gateway(&up, policy).await;
    let answer = Ask::message(STREAM).send(gateway.address).await;
    answer.events()
}

/// The text of each block of a stream, as clients put it together.
fn blocks(events: &[Event]) -> Vec<String> {
    let mut blocks: Vec<String> = Vec::new();
    for data in events.iter().map(Event::json) {
        for text in [&data["content_block"]["text"], &data["delta"]["text"]] {
            let index = data["index"].as_u64().unwrap_or_default() as usize;
            blocks.resize(
                blocks.len().max(index + usize::from(!data["index"].is_null())),
                String::new(),
            );
            blocks.get_mut(index).into_iter().for_each(|block| {
                *block += text.as_str().unwrap_or_default();
            });
        }
    }
    blocks
}

/// The bytes of a stream.
fn sent(events: &[Event]) -> String {
    events.iter().map(|event| String::from_utf8_lossy(event.frame()).into_owned()).collect()
}

fn start(index: u64, block: Value) -> String {
    frame(&json!({"type": "content_block_start", "index": index, "content_block": block}))
}

fn stop(index: u64) -> String {
    frame(&json!({"type": "content_block_stop", "index": index}))
}

/// The frames of a whole stream with these frames of blocks.
fn stream(blocks: &[String]) -> Vec<String> {
    let (head, tail) = (&FRAMES[..1], &FRAMES[4..]);
    let own = |frames: &[&str]| frames.iter().map(|frame| (*frame).to_owned()).collect::<Vec<_>>();
    [own(head), blocks.to_vec(), own(tail)].concat()
}

#[tokio::test]
async fn a_policy_sees_the_text_of_a_block_start_together_with_the_deltas_after_it() {
    for pieces in [
        &["my secret-key."][..],
        &["my sec", "ret-key."],
        &["my secret-", "key", "."],
        &["", "my secret-key."],
        &["my secret-key. And ", "the secret-key."],
    ] {
        let mut frames = vec![start(0, json!({"type": "text", "text": pieces[0]}))];
        frames.extend(pieces[1..].iter().map(|piece| delta(0, piece)));
        frames.push(stop(0));
        let events = through(&stream(&frames), LOOK).await;
        grammar::check(&events).unwrap();
        assert_eq!(
            blocks(&events),
            [pieces.concat().replace("secret-key", "[gone]")],
            "{pieces:?}"
        );
    }
}

#[tokio::test]
async fn a_start_without_a_match_keeps_its_bytes() {
    let frames = stream(&[
        start(0, json!({"type": "text", "text": "One line.\n", "citations": null})),
        delta(0, "Two.\n"),
        stop(0),
    ]);
    let events = through(&frames, LOOK).await;
    assert_eq!(sent(&events), frames.concat());
}

#[tokio::test]
async fn every_text_block_is_a_text_of_its_own() {
    let frames = stream(&[
        start(0, json!({"type": "text", "text": "A sec"})),
        stop(0),
        start(1, json!({"type": "tool_use", "id": "t", "name": "n", "input": {}})),
        frame(
            &json!({"type": "content_block_delta", "index": 1, "delta": {"type": "input_json_delta", "partial_json": "{\"text\":\"secret-key\"}"}}),
        ),
        stop(1),
        start(2, json!({"type": "text", "text": ""})),
        delta(2, "ret-key and a secret"),
        delta(2, "-key"),
        stop(2),
    ]);
    let events = through(&frames, LOOK).await;
    grammar::check(&events).unwrap();
    assert_eq!(blocks(&events), ["A sec", "", "ret-key and a [gone]"]);
    // the input of a tool is no text of the answer
    assert!(sent(&events).contains("secret-key"));
}

#[tokio::test]
async fn a_citation_does_not_cut_a_text() {
    let citation = frame(
        &json!({"type": "content_block_delta", "index": 0, "delta": {"type": "citations_delta", "citation": {"type": "char_location", "cited_text": "secret-key"}}}),
    );
    let frames = stream(&[
        start(0, json!({"type": "text", "text": "", "citations": []})),
        delta(0, "First. A sec"),
        citation.clone(),
        delta(0, "ret-key. Last"),
        citation.clone(),
        stop(0),
    ]);
    let events = through(&frames, LOOK).await;
    grammar::check(&events).unwrap();
    assert_eq!(blocks(&events), ["First. A [gone]. Last"]);
    let order: Vec<String> = events
        .iter()
        .map(|event| event.json()["delta"]["type"].as_str().unwrap_or("-").to_owned())
        .collect();
    let deltas: Vec<&str> = order.iter().map(String::as_str).filter(|kind| *kind != "-").collect();
    assert_eq!(
        deltas,
        ["text_delta", "text_delta", "citations_delta", "text_delta", "citations_delta"]
    );
    // quotes of sources stay as they are: see the page
    assert!(sent(&events).contains(&citation));
}

#[tokio::test]
async fn deltas_of_two_blocks_are_not_joined() {
    let frames = stream(&[
        start(0, json!({"type": "text", "text": ""})),
        delta(0, "A sec"),
        stop(0),
        start(1, json!({"type": "text", "text": "ret-"})),
        delta(1, "key"),
        stop(1),
    ]);
    let events = through(&frames, LOOK).await;
    assert_eq!(blocks(&events), ["A sec", "ret-key"]);
}

#[tokio::test]
async fn texts_that_a_message_starts_with_are_seen() {
    let first = FRAMES[0].replace(
        "\"content\":[]",
        "\"content\":[{\"type\":\"text\",\"text\":\"a secret-key\"},{\"type\":\"thinking\",\"thinking\":\"secret-key\"}]",
    );
    let mut frames = stream(&[]);
    frames[0] = first;
    let events = through(&frames, LOOK).await;
    let content = events[0].json()["message"]["content"].clone();
    assert_eq!(content[0]["text"], "a [gone]");
    assert_eq!(content[1]["thinking"], "secret-key");
    let denies = "fn on_text(text, ctx) { if \"secret-key\" in text { deny(403, \"no\"); } }";
    let events = through(&frames, denies).await;
    assert_eq!(events[0].json()["error"]["message"], "no");
}

#[tokio::test]
async fn a_start_that_cannot_be_read_does_not_pass_unseen() {
    for broken in [
        r#"{"type":"text","text":"secret-key \ud83d"}"#,
        r#"{"type":"text","text":"a","text":"secret-key"}"#,
        r#"{"type":"other","type":"text","text":"secret-key"}"#,
    ] {
        let frame = start(0, json!("BLOCK")).replace("\"BLOCK\"", broken);
        let frames = stream(&[frame, stop(0)]);
        let up = Upstream::always(Behaviour::Answer(upstream::stream(&frames))).await;
        let gateway = gateway(&up, LOOK).await;
        let text = Ask::message(STREAM).send(gateway.address).await.text();
        assert!(text.contains("event: error") && !text.contains("secret-key"), "{text}");
        // the upstream is at fault, so a stage that may be skipped is not
        let config = to(up.address) + "pipeline:\n  - { policy: p, on_error: skip }\n";
        let files = [("policies/p.rhai", "fn on_text(text, ctx) { text }")];
        let gateway = Gateway::with().config(&config).files(&files).start().await;
        let text = Ask::message(STREAM).send(gateway.address).await.text();
        assert!(text.contains("event: error") && !text.contains("secret-key"), "{text}");
    }
}

#[tokio::test]
async fn an_answer_is_seen_the_same_whether_it_streams_or_not() {
    let content = json!([
        turn::thinking("secret-key in thought"),
        {"type": "text", "text": "One secret-key. Two\nthree", "citations": [{"type": "char_location", "cited_text": "x"}]},
        turn::call("toolu_1", "shell", json!({"text": "secret-key"})),
        turn::text("The end: secret-key"),
    ]);
    let message = turn::message(content.clone(), "tool_use");
    let seen = r#"fn on_text(text, ctx) { ctx.state.seen = (ctx.state.seen ?? "") + text; text.replace("secret-key", "[gone]"); if "end" in text { count(ctx.state.seen.replaced(" ", "_").replaced("\n", "-").replaced(":", "").trimmed()); } text }"#;
    let name = "tidegate_policy_counts_total{name=\"One_secret-key._Two-threeThe_end_secret-key\"}";
    let up = Upstream::always(Behaviour::Answer(upstream::stream(&turn::frames(&message)))).await;
    let gateway = gateway(&up, seen).await;
    let events = Ask::message(STREAM).send(gateway.address).await.events();
    let texts: Vec<String> = blocks(&events).into_iter().filter(|text| !text.is_empty()).collect();
    assert_eq!(texts, ["One [gone]. Two\nthree", "The end: [gone]"]);
    gateway.until_metric(name, 1.0).await;
    let up = Upstream::always(Behaviour::Answer(upstream::json(200, &message.to_string()))).await;
    let gateway = self::gateway(&up, seen).await;
    let answer = Ask::message(MESSAGE).send(gateway.address).await.json();
    let texts: Vec<&str> = answer["content"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|block| block["text"].as_str())
        .collect();
    assert_eq!(texts, ["One [gone]. Two\nthree", "The end: [gone]"]);
    gateway.until_metric(name, 1.0).await;
}

#[tokio::test]
async fn a_text_is_one_however_its_type_and_its_content_are_written() {
    let answer = turn::message(json!("a secret-key"), "end_turn").to_string();
    let escaped = turn::message(json!([turn::text("a secret-key")]), "end_turn").to_string();
    let escaped = escaped.replace("\"type\":\"text\"", "\"type\":\"te\\u0078t\"");
    for answer in [answer, escaped] {
        let up = Upstream::always(Behaviour::Answer(upstream::json(200, &answer))).await;
        let gateway = gateway(&up, LOOK).await;
        let text = Ask::message(MESSAGE).send(gateway.address).await.text();
        assert_eq!(text, answer.replace("secret-key", "[gone]"));
    }
}

#[tokio::test]
async fn an_answer_of_a_policy_is_seen() {
    let policy = format!("fn on_request(request, ctx) {{ respond(\"a secret-key\"); }}\n{LOOK}");
    let up = Upstream::always(Behaviour::Answer(upstream::json(500, "{}"))).await;
    let gateway = gateway(&up, &policy).await;
    let answer = Ask::message(MESSAGE).send(gateway.address).await.json();
    assert_eq!(answer["content"][0]["text"], "a [gone]");
    let events = Ask::message(STREAM).send(gateway.address).await.events();
    assert_eq!(blocks(&events), ["a [gone]"]);
}
