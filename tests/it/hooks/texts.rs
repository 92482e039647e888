//! `on_text`: what is said, in windows that no seam between events cuts.
use proptest::prelude::*;

use super::{gateway, said, saying};
use crate::support::client::Ask;
use crate::support::events::Event;
use crate::support::upstream::{self, Behaviour, Upstream};
use crate::support::{ANSWER, FRAMES, MESSAGE, STREAM, grammar};

const REDACT: &str = r#"fn on_text(text, ctx) { text.replace("secret-key", "[gone]"); text }"#;

fn texts(events: &[Event]) -> String {
    let data = events.iter().map(Event::json);
    data.filter_map(|data| data["delta"]["text"].as_str().map(str::to_owned)).collect()
}

#[tokio::test]
async fn a_match_that_straddles_events_is_found() {
    for pieces in [
        &["my secret-key is here. And so on"][..],
        &["my sec", "ret-", "key is here", ". And", " so on"],
        &["m", "y", " ", "s", "e", "c", "r", "e", "t", "-", "k", "e", "y", " is here. And so on"],
    ] {
        let up = saying(pieces).await;
        let gateway = gateway(&up, REDACT).await;
        let events = Ask::message(STREAM).send(gateway.address).await.events();
        grammar::check(&events).unwrap();
        assert_eq!(texts(&events), "my [gone] is here. And so on", "{pieces:?}");
    }
}

#[tokio::test]
async fn unchanged_text_that_is_not_buffered_keeps_its_bytes() {
    let pieces = ["one line\n", "two.\n"];
    let up = saying(&pieces).await;
    let gateway = gateway(&up, "fn on_text(text, ctx) { }").await;
    assert_eq!(Ask::message(STREAM).send(gateway.address).await.text(), said(&pieces).concat());
}

#[tokio::test]
async fn an_answer_that_does_not_stream_is_seen_as_well() {
    let answer = ANSWER.replace("hello", "the secret-key");
    let up = Upstream::always(Behaviour::Answer(upstream::json(200, &answer))).await;
    let gateway = gateway(&up, REDACT).await;
    let answer = Ask::message(MESSAGE).send(gateway.address).await;
    assert_eq!(answer.text(), ANSWER.replace("hello", "the [gone]"));
}

#[tokio::test]
async fn the_text_that_a_policy_denies_is_not_sent_to_the_client() {
    let policy = r#"fn on_text(text, ctx) { if text.contains("bomb") { deny("not that"); } }"#;
    let up = saying(&["First. ", "a bo", "mb. ", "more"]).await;
    let gateway = gateway(&up, policy).await;
    let answer = Ask::message(STREAM).send(gateway.address).await;
    let events = answer.events();
    grammar::check(&events).unwrap();
    assert_eq!(texts(&events), "First. ");
    assert!(
        answer.text().ends_with(
            "\"message\":\"not that\"},\"request_id\":\"req_up\",\"type\":\"error\"}\n\n"
        ) || answer.text().contains("not that")
    );
    let up = Upstream::always(Behaviour::Answer(upstream::json(
        200,
        &ANSWER.replace("hello", "a bomb"),
    )))
    .await;
    let gateway = self::gateway(&up, policy).await;
    let answer = Ask::message(MESSAGE).send(gateway.address).await;
    assert_eq!(answer.refusal(400, "invalid_request_error"), "not that");
}

#[tokio::test]
async fn another_type_than_a_text_is_the_policys_fault() {
    let up = saying(&["hi. "]).await;
    let gateway = gateway(&up, "fn on_text(text, ctx) { 5 }").await;
    let text = Ask::message(STREAM).send(gateway.address).await.text();
    assert!(
        text.contains("`on_text` must return a text") && text.contains("event: error"),
        "{text}"
    );
}

#[tokio::test]
async fn a_text_that_cannot_be_read_does_not_pass_unseen() {
    let answer = ANSWER.replace("hello", "secret-key \\ud83d");
    let up = Upstream::always(Behaviour::Answer(upstream::json(200, &answer))).await;
    let gateway = gateway(&up, REDACT).await;
    let answer = Ask::message(MESSAGE).send(gateway.address).await;
    assert!(answer.refusal(502, "api_error").contains("an invalid escape"));
    let broken = super::delta(0, "secret-key X").replace('X', "\\ud83d");
    let frames = [FRAMES[0], FRAMES[1], &broken, FRAMES[3], FRAMES[4], FRAMES[5]];
    let up = Upstream::always(Behaviour::Answer(upstream::stream(&frames))).await;
    let gateway = self::gateway(&up, REDACT).await;
    let text = Ask::message(STREAM).send(gateway.address).await.text();
    assert!(text.contains("event: error") && !text.contains("secret-key"), "{text}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
    #[test]
    fn however_a_text_is_cut_nothing_is_lost_and_no_match_missed(
        words in prop::collection::vec("[a-z]{1,6}|secret-key|é。|\\. |\n", 0..40),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let whole = words.join(" ");
        let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(whole.len() + 1)).collect();
        at.retain(|at| whole.is_char_boundary(*at));
        at.extend([0, whole.len()]);
        at.sort_unstable();
        at.dedup();
        let pieces: Vec<&str> = at.windows(2).map(|pair| &whole[pair[0]..pair[1]]).collect();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let found = runtime.block_on(async {
            let up = saying(&pieces).await;
            let gateway = gateway(&up, REDACT).await;
            let events = Ask::message(STREAM).send(gateway.address).await.events();
            grammar::check(&events).unwrap();
            texts(&events)
        });
        prop_assert_eq!(found, whole.replace("secret-key", "[gone]"));
    }
}

#[tokio::test]
async fn halves_of_a_character_in_two_events_reach_on_text_as_one_character() {
    let half = |raw: &str| {
        let delta = format!(r#"{{"type":"text_delta","text":"{raw}"}}"#);
        let data = format!(r#"{{"type":"content_block_delta","index":0,"delta":{delta}}}"#);
        format!("event: content_block_delta\ndata: {data}\n\n")
    };
    let mut frames: Vec<String> = FRAMES.iter().map(|frame| (*frame).to_owned()).collect();
    let at = frames.iter().position(|frame| frame.contains("text_delta")).unwrap();
    frames.splice(at..=at, [half(r"good \ud83d"), half(r"\ude00 day")]);
    let up = Upstream::always(Behaviour::Answer(upstream::stream(&frames))).await;
    let policy = r#"fn on_text(text, ctx) { text.replace("😀", "smile"); text }"#;
    let gateway = gateway(&up, policy).await;
    let events = Ask::message(STREAM).send(gateway.address).await.events();
    grammar::check(&events).unwrap();
    assert_eq!(texts(&events), "good smile day");
}
