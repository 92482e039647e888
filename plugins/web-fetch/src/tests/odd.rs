//! Odd answers: headers that repeat or contradict, types that are missing.
use serde_json::json;
use tidegate_sdk::http;
use tidegate_sdk::testing::MockHost;

use super::{call, fails, page, read, text};

#[test]
fn the_last_valid_media_type_of_several_applies() {
    for (values, content_type, expect) in [
        (&["text/html; charset=koi8-r, text/html"][..], "text/html", "море"),
        (&["text/html;charset=koi8-r", "text/html"], "text/html", "море"),
        (&["text/plain, text/html; charset=koi8-r"], "text/html", "море"),
        (&["text/html; charset=koi8-r, nonsense"], "text/html", "море"),
        (&["text/html; charset=koi8-r, */*"], "text/html", "море"),
        (&["text/html; x=\"a, b/c\"; charset=koi8-r"], "text/html", "море"),
        (&["text/html; charset=koi8-r, text/plain; charset=koi8-r"], "text/plain", "<p>море"),
        (&["nonsense"], "text/html", "ÍÏÒÅ"),
    ] {
        let answer = http::Response::new(200, b"<p>\xcd\xcf\xd2\xc5".to_vec());
        let answer =
            values.iter().fold(answer, |answer, value| answer.with_header("Content-Type", *value));
        let told = read(answer);
        assert_eq!(
            (&told["content_type"], &told["text"]),
            (&json!(content_type), &json!(expect)),
            "{values:?}"
        );
    }
}

#[test]
fn the_type_of_an_untyped_page_is_detected_from_its_start() {
    let wide: Vec<u8> =
        "\u{feff}<!doctype html><p>a".encode_utf16().flat_map(u16::to_le_bytes).collect();
    for (body, expect) in [
        (b"<!-- saved --><!DOCTYPE html><p>a".to_vec(), "text/html"),
        (b"\xef\xbb\xbf\n <!-- x -->\n<html><p>a".to_vec(), "text/html"),
        (
            b"<?xml version='1.0'?><!-- x --><!DOCTYPE html><html><p>a</p></html>".to_vec(),
            "text/html",
        ),
        (b"<p>a".to_vec(), "text/html"),
        (b"<div class=x>a</div>".to_vec(), "text/html"),
        (wide, "text/html"),
        (b"<paper>a".to_vec(), "text/plain"),
        (b"<?xml version='1.0'?><feed/>".to_vec(), "text/plain"),
        (b"Gr\xf6\xdfe".to_vec(), "text/plain"),
    ] {
        let told = read(http::Response::new(200, body.clone()));
        assert_eq!(told["content_type"], expect, "{}", String::from_utf8_lossy(&body));
    }
}

#[test]
fn a_comment_before_the_doctype_changes_nothing() {
    let body = "<!-- saved from url=(0014)about:internet -->\n<!DOCTYPE html><title>T</title><p>a";
    for content_type in ["text/html", "", "application/octet-stream"] {
        let told = read(page(content_type, body));
        assert_eq!((&told["title"], &told["text"]), (&json!("T"), &json!("a")), "{content_type}");
    }
}

#[test]
fn an_empty_location_leads_nowhere_and_the_first_with_an_address_leads() {
    let host = |locations: &'static [&'static str]| {
        MockHost::new().on_fetch(move |request| {
            if request.url != super::URL {
                return Ok(page("text/plain", "fine"));
            }
            let answer = http::Response::new(302, "moved");
            Ok(locations.iter().fold(answer, |answer, to| answer.with_header("location", *to)))
        })
    };
    let input = json!({"url": super::URL});
    let told = call(&host(&["", " /b c?é "]), input.clone(), json!({})).expect("a page");
    assert_eq!(told["url"], "https://example.com/b%20c?%C3%A9");
    let problem = call(&host(&["", " "]), input, json!({})).expect_err("a problem");
    assert!(problem.message.contains("302"), "{problem}");
}

#[test]
fn a_page_that_is_too_large_is_a_problem_with_its_beginning() {
    for (content_type, body, expect) in [
        ("text/plain", "the beginning", "\"text\":\"the beginning\""),
        ("text/html", "<title>T</title><p>the beginning", "\"title\":\"T\""),
        ("application/json", "{\"a\": [1, 2", "{\\\"a\\\": [1, 2"),
    ] {
        let cut = http::Response { truncated: true, ..page(content_type, body) };
        let problem = fails(Ok(cut));
        assert_eq!((problem.code.as_str(), problem.retryable), ("content_too_large", false));
        assert!(problem.message.starts_with("the page is larger than 5 MiB"), "{problem}");
        assert!(problem.message.contains(expect), "{problem}");
    }
    let cut = http::Response { truncated: true, ..page("text/html", "<script>x = 1") };
    let problem = fails(Ok(cut));
    assert_eq!(problem.code, "content_too_large");
    assert!(problem.message.contains("scripts"), "{problem}");
    let pdf = http::Response { truncated: true, ..page("application/pdf", "%PDF-1.7 cut") };
    assert_eq!(fails(Ok(pdf)).code, "content_too_large");
}

#[test]
fn the_beginning_of_a_page_that_is_too_large_is_returned_in_parts() {
    let body: String = (0..100).map(|n| format!("<p>Block {n} of the page")).collect();
    let host = super::always(Ok(http::Response { truncated: true, ..page("text/html", body) }));
    let (mut parts, mut cursor) = (Vec::new(), Some(0));
    while let Some(at) = cursor {
        let input = json!({"url": super::URL, "cursor": at});
        let problem = call(&host, input, json!({"max_chars": 500})).expect_err("a problem");
        let (_, json) = problem.message.split_once('\n').expect("the beginning");
        let told: serde_json::Value = serde_json::from_str(json).expect("JSON");
        parts.push(told["text"].as_str().expect("text").to_owned());
        cursor = told["next_cursor"].as_u64();
    }
    let whole: Vec<_> = (0..100).map(|n| format!("Block {n} of the page")).collect();
    assert_eq!(parts.join("\n\n"), whole.join("\n\n"));
}

#[test]
fn a_text_of_no_page_may_be_empty() {
    assert_eq!(text(page("text/plain", "")), "");
}
