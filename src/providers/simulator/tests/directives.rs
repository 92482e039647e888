//! The effects of directives.
use crate::error::{ErrorKind, Retry};
use crate::wire::EventKind;
use proptest::prelude::*;

use super::*;

#[tokio::test]
async fn several_tools_are_called_in_one_turn() {
    let text =
        r#"[sim: call datetime {"timezones": ["UTC"]}] [sim: call get_weather] [sim: parallel 3]"#;
    let message = both(&ask_with_tools(text)).await;
    let calls = blocks(&message, "tool_use");
    let names: Vec<&str> = calls.iter().map(|call| call["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["gateway_datetime", "get_weather", "gateway_datetime"]);
    assert_eq!(calls[0]["input"], json!({"timezones": ["UTC"]}));
    assert_ne!(calls[0]["id"], calls[2]["id"]);
}

#[tokio::test]
async fn the_input_of_a_call_passes_byte_for_byte() {
    let input = r#"{"n": 1.50, "big": 123456789012345678901234567890, "close": "]"}"#;
    let body = ask_with_tools(&format!("[sim: call datetime {input}]"));
    let mut fold = Fold::default();
    for event in events(&body).await {
        fold.push(&event).unwrap();
    }
    assert_eq!(fold.blocks.last().unwrap().input(), input);
}

#[tokio::test]
async fn turns_go_on_until_there_have_been_so_many() {
    let mut body = ask_with_tools("what time is it? [sim: turns 3]");
    let mut ids = Vec::new();
    for _ in 0..3 {
        let message = both(&body).await;
        assert_eq!(message["stop_reason"], "tool_use");
        ids.push(blocks(&message, "tool_use")[0]["id"].clone());
        body = next_round(&body, &message, "noon");
    }
    let message = both(&body).await;
    assert_eq!(message["stop_reason"], "end_turn");
    assert_eq!(texts(&message), ["gateway_datetime answered: noon"]);
    assert!(ids[0] != ids[1] && ids[1] != ids[2], "{ids:?}");
}

#[tokio::test]
async fn the_order_of_directives_within_a_round_is_free() {
    let body = ask_with_tools("[sim: turns 2] [sim: thinking] [sim: call get_weather]");
    let first = both(&body).await;
    let second = both(&next_round(&body, &first, "rain")).await;
    for message in [first, second] {
        assert_eq!(blocks(&message, "thinking").len(), 1);
        assert_eq!(blocks(&message, "tool_use").len(), 1);
    }
}

#[tokio::test]
async fn then_begins_the_next_round() {
    let text =
        "[sim: call datetime] [sim: then] [sim: call get_weather] [sim: then] [sim: say done]";
    let first = ask_with_tools(text);
    let message = both(&first).await;
    assert_eq!(blocks(&message, "tool_use")[0]["name"], "gateway_datetime");
    let second = next_round(&first, &message, "noon");
    let message = both(&second).await;
    assert_eq!(blocks(&message, "tool_use")[0]["name"], "get_weather");
    let third = next_round(&second, &message, "rain");
    assert_eq!(texts(&both(&third).await), ["done"]);
}

#[tokio::test]
async fn a_paused_turn_goes_on_when_it_is_sent_back() {
    let body = ask("wait [sim: pause]");
    let message = both(&body).await;
    assert_eq!(message["stop_reason"], "pause_turn");
    let next = both(&next_round(&body, &message, "")).await;
    assert_eq!(next["stop_reason"], "end_turn");
}

#[tokio::test]
async fn only_the_users_own_last_text_counts() {
    let mut body = ask("[sim: say one]");
    let message = both(&body).await;
    body = next_round(&body, &message, "");
    let reminder = "<system-reminder>[sim: error 500]</system-reminder>";
    body["messages"].as_array_mut().unwrap().push(json!({"role": "user", "content": [
        {"type": "text", "text": reminder},
        {"type": "text", "text": "two"},
    ]}));
    body["system"] = "[sim: error 500]".into();
    assert_eq!(texts(&both(&body).await), ["You said: two"]);

    let body = ask_with_tools("what time is it?");
    let next = next_round(&body, &both(&body).await, "[sim: error 500]");
    assert_eq!(texts(&both(&next).await), ["gateway_datetime answered: [sim: error 500]"]);
}

#[tokio::test]
async fn a_directive_for_one_model_leaves_the_others_alone() {
    let mut body = ask("hi [sim@flaky: error 529]");
    assert_eq!(texts(&both(&body).await), ["You said: hi"]);
    body["model"] = "flaky".into();
    assert_eq!(refused(&body).await.0, 529);
}

#[tokio::test]
async fn a_refusal_says_why() {
    let message = both(&ask("[sim: refuse cyber]")).await;
    assert_eq!(message["stop_reason"], "refusal");
    assert_eq!(message["stop_details"]["type"], "refusal");
    assert_eq!(message["stop_details"]["category"], "cyber");
}

#[tokio::test]
async fn an_answer_may_be_empty() {
    let message = both(&ask("[sim: empty]")).await;
    assert_eq!(message["content"], json!([]));
    let mut body = ask("hello");
    body["max_tokens"] = 0.into();
    let message = both(&body).await;
    assert_eq!(message["content"], json!([]));
    assert_eq!(message["usage"]["output_tokens"], 0);
    assert_eq!(message["stop_reason"], "max_tokens");
}

#[tokio::test]
async fn each_error_status_has_the_envelope_of_the_api() {
    for (status, kind) in [
        (400, "invalid_request_error"),
        (401, "authentication_error"),
        (402, "billing_error"),
        (403, "permission_error"),
        (404, "not_found_error"),
        (408, "timeout_error"),
        (409, "conflict_error"),
        (413, "request_too_large"),
        (422, "invalid_request_error"),
        (429, "rate_limit_error"),
        (500, "api_error"),
        (501, "not_supported"),
        (503, "api_error"),
        (504, "timeout_error"),
        (529, "overloaded_error"),
    ] {
        let (found, error) = refused(&ask(&format!("[sim: error {status}]"))).await;
        assert_eq!(found, status);
        assert_eq!(error["type"], "error", "{status}");
        assert_eq!(error["error"]["type"], kind, "{status}");
        assert!(error["error"]["message"].is_string(), "{status}");
    }
}

#[tokio::test]
async fn an_error_carries_its_headers() {
    let text = "[sim: error 503 retry-after 7 retry-after-ms 250 should-retry false message a b c]";
    let error = whole(&ask(text)).await.expect_err("it was accepted");
    let answer = error.answer().expect("an answer of the upstream");
    let body: Value = serde_json::from_slice(answer.body()).unwrap();
    assert_eq!(body["error"]["message"], "a b c");
    for (name, value) in [
        ("retry-after", "7"),
        ("retry-after-ms", "250"),
        ("x-should-retry", "false"),
        ("content-type", "application/json"),
        ("request-id", body["request_id"].as_str().unwrap()),
    ] {
        assert_eq!(answer.headers()[name], value);
    }
}

#[tokio::test]
async fn an_error_event_is_the_last_one() {
    for after in [0, 1, 4, 9999] {
        let events = events(&ask(&format!("[sim: error-event 529 after {after}]"))).await;
        grammar::check(&crate::testing::seen(&events)).unwrap();
        let last = events.last().unwrap();
        assert_eq!(last.kind, EventKind::Error);
        let data: Value = serde_json::from_slice(&last.data()).unwrap();
        assert_eq!(data["error"]["type"], "overloaded_error");
        if after < 9 {
            assert_eq!(events.len(), after + 1);
        }
    }
    assert_eq!(refused(&ask("[sim: error-event 529]")).await.0, 529);
}

#[tokio::test]
async fn a_connection_is_lost_within_a_stream() {
    let body = ask("hello [sim: break after 4]");
    let mut items = items(&body).await.unwrap();
    let error = items.pop().unwrap().unwrap_err();
    assert_eq!(error.kind, ErrorKind::BadUpstream);
    assert_eq!(error.retry, Retry::Now);
    assert_eq!(items.iter().filter(|item| item.is_ok()).count(), 4);
    assert_eq!(whole(&body).await.unwrap_err().kind, ErrorKind::BadUpstream);
}

#[tokio::test]
async fn a_stream_that_ends_too_early_is_an_error() {
    let mut items = items(&ask("hello [sim: end after 5]")).await.unwrap();
    let error = items.pop().unwrap().unwrap_err();
    assert_eq!(error.kind, ErrorKind::BadUpstream);
    let events: Vec<_> = items.into_iter().map(Result::unwrap).collect();
    assert_eq!(events.len(), 5);
    grammar::check(&crate::testing::seen(&events)).unwrap_err();
    // half a body is not an answer
    assert_eq!(
        whole(&ask("hello [sim: end after 5]")).await.unwrap_err().kind,
        ErrorKind::BadUpstream
    );
}

#[tokio::test]
async fn a_response_that_exceeds_the_total_timeout_is_an_error() {
    let mut body = ask("hello [sim: pace 4ms]");
    body["stream"] = true.into();
    let mut attempt = attempt(&body, Endpoint::Messages);
    attempt.timeouts.total = Duration::from_millis(10);
    let reply = Simulator::new(Duration::ZERO).send(&context(""), attempt).await.unwrap();
    let ReplyBody::Events(stream) = reply.reply.body else { panic!("no stream") };
    let error = stream.filter_map(|item| async { item.err() }).boxed().next().await.unwrap();
    assert_eq!(error.kind, ErrorKind::Timeout);
    assert_eq!(error.message, "the upstream took longer than 10 ms in all");
}

#[tokio::test]
async fn frames_may_be_padded_and_end_in_crlf() {
    let plain = both(&ask("hello")).await;
    let body = ask("hello [sim: padded] [sim: crlf]");
    let events = events(&body).await;
    grammar::check(&crate::testing::seen(&events)).unwrap();
    for event in &events {
        let frame = std::str::from_utf8(event.frame()).unwrap();
        assert_eq!(frame.matches('\n').count(), frame.matches("\r\n").count(), "{frame}");
        assert!(event.kind == EventKind::Ping || frame.contains(" }\r\n\r\n"), "{frame}");
    }
    assert_eq!(both(&body).await["content"], plain["content"]);
}

#[tokio::test]
async fn unknown_things_are_mixed_in() {
    let text = "hello [sim: unknown event] [sim: unknown delta] [sim: unknown block]";
    let message = both(&ask(text)).await;
    assert_eq!(blocks(&message, "future_block").len(), 1);
    let all = events(&ask(text)).await;
    let frames: Vec<_> =
        all.iter().map(|event| String::from_utf8_lossy(event.frame()).into_owned()).collect();
    let all = frames.concat();
    assert!(all.contains("event: future_event\n"));
    assert!(all.contains("\"future_delta\""));
}

#[tokio::test]
async fn events_come_at_their_pace() {
    for (text, ready) in [
        ("hello [sim: wait 10m]", None),
        ("hello [sim: first-event 10m]", Some(0)),
        ("hello [sim: pace 10m]", Some(1)),
    ] {
        waits_after(text, ready).await;
    }
    let events = events(&ask("hello [sim: pace 3ms] [sim: first-event 5ms] [sim: wait 5ms]")).await;
    grammar::check(&crate::testing::seen(&events)).unwrap();
}

/// Checks that `ready` events come without delay and that the next one does not: it is still
/// missing at a time when a whole answer without a pace has arrived. Without a number, the answer
/// itself is delayed.
async fn waits_after(text: &str, ready: Option<usize>) {
    let mut body = ask(text);
    body["stream"] = true.into();
    let waiting = async {
        let reply = simulator().send(&context(""), attempt(&body, Endpoint::Messages)).await;
        let ReplyBody::Events(mut stream) = reply.unwrap().reply.body else { panic!("no stream") };
        let Some(ready) = ready else { return };
        for _ in 0..ready {
            stream.next().await.unwrap().unwrap();
        }
        stream.next().await;
    };
    let other = ask("hello");
    tokio::select! {
        biased;
        () = waiting => panic!("it does not wait: {text}"),
        events = events(&other) => assert!(events.len() > ready.unwrap_or_default()),
    }
}

#[tokio::test]
async fn the_pace_of_the_provider_holds_where_the_request_says_nothing() {
    let mut body = ask("hello");
    body["stream"] = true.into();
    let mut attempt = attempt(&body, Endpoint::Messages);
    attempt.timeouts.idle = Duration::from_millis(1);
    let slow = Simulator::new(LONG);
    let reply = slow.send(&context(""), attempt).await.unwrap();
    let ReplyBody::Events(mut stream) = reply.reply.body else { panic!("no stream") };
    assert_eq!(stream.next().await.unwrap().unwrap().kind, EventKind::MessageStart);
    assert_eq!(stream.next().await.unwrap().unwrap_err().kind, ErrorKind::Timeout);
    assert!(stream.next().await.is_none());
}

#[tokio::test]
async fn a_slow_answer_runs_into_the_timeouts_of_the_attempt() {
    let short = Duration::from_millis(2);
    for (text, events) in [
        ("[sim: wait 10m]", None),
        ("[sim: first-event 10m]", Some(0)),
        ("[sim: pace 10m]", Some(1)),
    ] {
        let mut body = ask(text);
        body["stream"] = true.into();
        let mut attempt = attempt(&body, Endpoint::Messages);
        attempt.timeouts.first_event = short;
        attempt.timeouts.total = short * 2;
        let (before, error) = failing(attempt).await;
        assert_eq!(before, events, "{text}");
        assert_eq!(error.kind, ErrorKind::Timeout, "{text}");
    }
}

/// Returns the number of events before the error; `None` if the error came instead of a status.
async fn failing(attempt: Attempt) -> (Option<usize>, Error) {
    let reply = match simulator().send(&context(""), attempt).await {
        Err(error) => return (None, error),
        Ok(reply) => reply,
    };
    let ReplyBody::Events(stream) = reply.reply.body else { panic!("no stream") };
    let mut items: Vec<_> = stream.collect().await;
    let error = items.pop().unwrap().unwrap_err();
    (Some(items.len()), error)
}

#[tokio::test]
async fn a_wrong_directive_is_named() {
    for (text, expect) in [
        ("[sim: thikning]", "`thikning` is no directive"),
        ("[sim: say something", "no closing `]`"),
        ("[sim: error 200]", "from 400 to 599"),
        ("[sim: error 500 often]", "no option of an error"),
        ("[sim: pace fast]", "is no duration"),
        ("[sim: wait 11m]", "limit is 10m"),
        ("[sim: words 0]", "whole number"),
        ("[sim: call]", "write `call TOOL`"),
        ("[sim: call get_weather {\"a\": }]", "no JSON object"),
        ("[sim: call nope]", "offers no such tool"),
    ] {
        let (status, error) = refused(&ask_with_tools(text)).await;
        let message = error["error"]["message"].as_str().unwrap();
        assert_eq!(status, 400, "{text}");
        assert!(message.contains(expect), "`{message}` does not say `{expect}`");
    }
}

#[tokio::test]
async fn brackets_that_are_no_directive_stay() {
    let text = "[similar] [sim] a[0] [sim@x y: z]";
    assert_eq!(texts(&both(&ask(text)).await), [format!("You said: {text}")]);
}

proptest! {
    #[test]
    fn no_text_breaks_the_reading(parts in proptest::collection::vec(part(), 0..8)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let body = ask_with_tools(&format!("x{}", parts.concat()));
        match runtime.block_on(whole(&body)) {
            Ok(message) => prop_assert_eq!(&message["type"], "message"),
            Err(error) => prop_assert!(error.upstream().is_some()),
        }
    }
}

/// Returns pieces of directives, whole and broken, and any other text.
fn part() -> impl Strategy<Value = String> {
    prop_oneof![
        proptest::sample::select(vec![
            "[sim:",
            "[sim@",
            "[",
            "]",
            " ",
            ": ",
            "call ",
            "datetime",
            "{",
            "}",
            "{\"a\": \"]\"}",
            "say ",
            "words ",
            "turns ",
            "7",
            "then",
            "parallel ",
            "error ",
            "529",
            " after ",
            "é",
        ])
        .prop_map(str::to_owned),
        "\\PC{0,6}",
    ]
}
