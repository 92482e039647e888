//! Tests of the cutter and the event: frames keep every byte, at every chunk size.
use crate::wire::sse::Cutter;
use crate::wire::{Event, EventKind};
use bytes::Bytes;
use proptest::prelude::*;

/// Returns the frames, and the rest after the last one.
fn cut<'a>(chunks: impl IntoIterator<Item = &'a [u8]>) -> (Vec<Bytes>, Bytes) {
    let mut cutter = Cutter::default();
    let mut frames = Vec::new();
    for chunk in chunks {
        cutter.push(Bytes::copy_from_slice(chunk));
        while let Some(frame) = cutter.next_frame().unwrap() {
            frames.push(frame);
        }
    }
    (frames, cutter.finish())
}

/// Cuts a text into chunks of these sizes.
fn split<'a>(mut text: &'a [u8], steps: &[usize]) -> Vec<&'a [u8]> {
    let mut pieces = Vec::new();
    for step in steps.iter().cycle() {
        if text.is_empty() {
            break;
        }
        let (piece, rest) = text.split_at((*step).min(text.len()));
        pieces.push(piece);
        text = rest;
    }
    pieces
}

fn lines() -> impl Strategy<Value = String> {
    let line = prop::sample::select(vec![
        "event: ping",
        "data: {\"type\": \"ping\"}",
        "data: {\"p\":\"abcdefghijklmnopqrstuvwxyz0123456789\"}",
        "data: é😀",
        ": a comment",
        ":",
        "",
        "",
        "id: 1",
    ]);
    let end = prop::sample::select(vec!["\n", "\n", "\r\n"]);
    prop::collection::vec((line, end), 0..24)
        .prop_map(|lines| lines.into_iter().map(|(line, end)| format!("{line}{end}")).collect())
}

proptest! {
    #![proptest_config(crate::testing::cases())]

    #[test]
    fn frames_are_the_same_at_every_chunk_size(
        text in lines(), steps in prop::collection::vec(1_usize..40, 1..6),
    ) {
        let whole = cut([text.as_bytes()]);
        prop_assert_eq!(&cut(split(text.as_bytes(), &steps)), &whole);
        prop_assert_eq!(&cut(split(text.as_bytes(), &[1])), &whole);
        let (frames, rest) = whole;
        let joined: Vec<u8> = frames.iter().chain([&rest]).flatten().copied().collect();
        prop_assert_eq!(&joined[..], text.as_bytes());
    }

    #[test]
    fn line_ends_in_any_mixture_lose_no_byte(
        text in prop::collection::vec(prop::sample::select(b"\r\n\na:".to_vec()), 0..40),
        steps in prop::collection::vec(1_usize..6, 1..6),
    ) {
        let whole = cut([&text[..]]);
        prop_assert_eq!(&cut(split(&text, &steps)), &whole);
        let (frames, rest) = whole;
        let joined: Vec<u8> = frames.iter().chain([&rest]).flatten().copied().collect();
        prop_assert_eq!(joined, text);
    }

    #[test]
    fn an_event_never_panics_and_keeps_its_frame(
        text in prop::collection::vec(prop::sample::select(b"data:event \r\n{}\"\xff".to_vec()), 0..60),
    ) {
        let event = Event::from_frame(Bytes::from(text.clone()));
        event.data();
        prop_assert!(event.frame().ends_with(&text));
    }
}

#[test]
fn a_line_of_twenty_megabytes_passes_whole() {
    let data = "x".repeat(20 * 1024 * 1024);
    let frame = format!("event: content_block_delta\ndata: {{\"t\":\"{data}\"}}\n\n");
    let text = format!("{frame}event: ping\ndata: {{}}\n\n");
    let (frames, rest) = cut(text.as_bytes().chunks(16 * 1024));
    assert_eq!(frames.len(), 2);
    assert!(frames[0] == frame && rest.is_empty());
    let event = Event::from_frame(frames[0].clone());
    assert_eq!(event.kind, EventKind::ContentBlockDelta);
    assert_eq!(event.data_bytes().len(), data.len() + 8);
}

#[test]
fn a_frame_that_never_ends_is_refused() {
    let mut cutter = Cutter::default();
    let chunk = Bytes::from(vec![b'x'; 1024 * 1024]);
    let refused = (0..65).find_map(|_| {
        cutter.push(chunk.clone());
        cutter.next_frame().err()
    });
    assert!(refused.unwrap().message.contains("an event of more than"));
}

#[test]
fn an_event_is_known_by_its_line() {
    let table: [(&str, EventKind, &str); 9] = [
        ("event: ping\ndata: {}\n\n", EventKind::Ping, "{}"),
        ("event:message_stop\r\ndata:{}\r\n\r\n", EventKind::MessageStop, "{}"),
        ("data: {\"a\":1}\nevent: error\n\n", EventKind::Error, "{\"a\":1}"),
        ("event: vendor_event\ndata: 1\n\n", EventKind::Other, "1"),
        (": comment\n\n", EventKind::Other, ""),
        ("\n", EventKind::Other, ""),
        ("data: [DONE]\n\n", EventKind::Other, "[DONE]"),
        ("event: ping\ndata: {\ndata: \ndata: }\n\n", EventKind::Ping, "{\n\n}"),
        ("event: ping\ndata:  {} \n\n", EventKind::Ping, " {} "),
    ];
    for (frame, kind, data) in table {
        let event = Event::from_frame(frame.into());
        assert_eq!((event.kind, &*event.data()), (kind, data.as_bytes()), "{frame:?}");
        assert_eq!(event.data_bytes(), data);
        assert_eq!(event.frame(), frame);
    }
}

#[test]
fn data_without_an_event_line_gets_one() {
    let table = [
        ("data: {\"type\":\"ping\"}\n\n", EventKind::Ping, "event: ping\n"),
        (
            "data: {\"x\":[1],\"type\":\"message_stop\"}\r\n\r\n",
            EventKind::MessageStop,
            "event: message_stop\n",
        ),
        ("data: {\"type\":\"vendor_event\"}\n\n", EventKind::Other, "event: vendor_event\n"),
        (
            ": hello\ndata: {\"type\":\"error\",\ndata: \"error\":{}}\n\n",
            EventKind::Error,
            "event: error\n",
        ),
    ];
    for (frame, kind, line) in table {
        let event = Event::from_frame(frame.into());
        assert_eq!(event.kind, kind, "{frame:?}");
        assert_eq!(event.frame(), &format!("{line}{frame}"));
    }
}

#[test]
fn a_type_with_a_line_end_writes_no_line_of_its_own() {
    let frame = "data: {\"type\":\"x\\ndata: {}\"}\n\n";
    assert_eq!(Event::from_frame(frame.into()).frame(), frame);
}
