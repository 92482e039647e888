//! The allowed and the rejected inputs of the model.
use serde_json::{Value, json};
use tidegate_sdk::testing::MockHost;
use tidegate_sdk::{Problem, http};

use super::{URL, WebFetch, always, call, fails, page};

fn code(url: &str, options: Value) -> String {
    let host = always(Ok(http::Response { url: url.to_owned(), ..page("text/plain", "fine") }));
    match call(&host, json!({"url": url}), options) {
        Ok(told) => told["text"].as_str().expect("text").to_owned(),
        Err(problem) => problem.code,
    }
}

#[test]
fn a_domain_rule_matches_the_domain_its_subdomains_and_its_paths() {
    for (url, rule, expect) in [
        ("https://example.com/", "example.com", true),
        ("https://docs.example.com/x", "example.com", true),
        ("https://EXAMPLE.com./", "Example.COM", true),
        ("https://badexample.com/", "example.com", false),
        ("https://example.com.evil.net/", "example.com", false),
        ("https://example.org/", "example.com", false),
        ("https://example.com/", "docs.example.com", false),
        ("https://docs.example.com/", "*.example.com", true),
        ("https://example.com/blog", "example.com/blog", true),
        ("https://example.com/blog/a", "example.com/blog", true),
        ("https://example.com/blogs", "example.com/blog", false),
        ("https://example.com/a/posts/b", "example.com/*/posts", true),
        ("https://example.com/a/notes/b", "example.com/*/posts", false),
        ("https://bücher.example/", "xn--bcher-kva.example", true),
        ("http://93.184.216.34/", "93.184.216.34", true),
    ] {
        let (fine, refused) = ("fine", "url_not_allowed");
        let allowed = code(url, json!({"allowed_domains": [rule]}));
        assert_eq!(allowed, if expect { fine } else { refused }, "{url} by {rule}");
        let blocked = code(url, json!({"blocked_domains": ["other.example", rule]}));
        assert_eq!(blocked, if expect { refused } else { fine }, "{url} by {rule}");
    }
}

#[test]
fn options_that_contradict_or_mean_nothing_are_problems() {
    for options in [
        json!({"allowed_domains": ["a.com"], "blocked_domains": ["b.com"]}),
        json!({"allowed_domains": ["https://a.com"]}),
        json!({"blocked_domains": [""]}),
        json!({"blocked_domains": ["a b.com"]}),
        json!({"allowed_domains": ["user@a.com"]}),
        json!({"depth": 3}),
    ] {
        assert_eq!(code(URL, options.clone()), "invalid_options", "{options}");
    }
}

#[test]
fn an_invalid_url_is_rejected_with_a_code_of_the_api() {
    for (url, expect) in [
        ("", "invalid_tool_input"),
        ("example.com", "invalid_tool_input"),
        ("ftp://example.com/", "invalid_tool_input"),
        ("file:///etc/passwd", "invalid_tool_input"),
        ("https://user:pass@example.com/", "invalid_tool_input"),
    ] {
        assert_eq!(code(url, json!({})), expect, "{url}");
    }
    let long = |n: usize| format!("https://example.com/{}", "a".repeat(n - 20));
    assert_eq!(code(&long(250), json!({})), "fine");
    assert_eq!(code(&long(251), json!({})), "url_too_long");
}

#[test]
fn the_model_cannot_widen_the_options() {
    let host = always(Ok(page("text/plain", "fine")));
    let input = json!({"url": URL, "max_chars": 50, "allowed_domains": ["evil.net"]});
    assert_eq!(call(&host, input, json!({})).expect_err("a problem").code, "invalid_input");
}

#[test]
fn failures_have_the_apis_codes() {
    let status = |status| Ok(http::Response { status, ..page("text/html", "<p>Sorry</p>") });
    for (answer, code, retryable) in [
        (status(404), "url_not_accessible", false),
        (status(403), "url_not_accessible", false),
        (status(500), "url_not_accessible", true),
        (status(429), "too_many_requests", true),
        (Err(Problem::new("not_granted", "…")), "url_not_allowed", false),
        (Err(Problem::new("url_not_allowed", "…")), "url_not_allowed", false),
        (Err(Problem::new("invalid_url", "…")), "invalid_tool_input", false),
        (Err(Problem::new("too_many_redirects", "…")), "url_not_accessible", false),
        (Err(Problem::new("too_large", "…")), "content_too_large", false),
        (
            Err(Problem { retryable: true, ..Problem::new("timeout", "…") }),
            "url_not_accessible",
            true,
        ),
        (
            Err(Problem { retryable: true, ..Problem::new("unreachable", "…") }),
            "url_not_accessible",
            true,
        ),
    ] {
        let problem = fails(answer);
        assert_eq!((problem.code.as_str(), problem.retryable), (code, retryable));
    }
    assert_eq!(fails(status(404)).message, "the site answers with status 404");
}

#[test]
fn a_long_text_comes_in_parts_that_end_with_blocks() {
    let blocks: Vec<String> =
        (0..40).map(|n| format!("Block {n}: {}", "word ".repeat(12).trim())).collect();
    let whole = blocks.join("\n\n");
    let host = always(Ok(page("text/plain", whole.clone())));
    let (mut parts, mut cursor) = (Vec::new(), Some(0));
    while let Some(at) = cursor {
        let input = if at == 0 { json!({"url": URL}) } else { json!({"url": URL, "cursor": at}) };
        let told = call(&host, input, json!({"max_chars": 500})).expect("a part");
        let text = told["text"].as_str().expect("text").to_owned();
        assert!(text.chars().count() <= 500 && text.ends_with("word"), "{text}");
        cursor = told["next_cursor"].as_u64();
        assert_eq!(told["truncated"], cursor.is_some());
        parts.push(text);
    }
    assert!(parts.len() > 4);
    assert_eq!(parts.join("\n\n"), whole);
}

#[test]
fn characters_are_counted_and_not_bytes() {
    let host = always(Ok(page("text/plain", "ö".repeat(50))));
    let told = call(&host, json!({"url": URL}), json!({"max_chars": 20})).expect("a part");
    assert_eq!(
        (told["text"].as_str(), &told["next_cursor"]),
        (Some("ö".repeat(20).as_str()), &20.into())
    );
    let told =
        call(&host, json!({"url": URL, "cursor": 40}), json!({"max_chars": 20})).expect("a part");
    assert_eq!(
        (told["text"].as_str(), &told["next_cursor"]),
        (Some("ö".repeat(10).as_str()), &Value::Null)
    );
    for cursor in [50, 51, 9999] {
        let problem =
            call(&host, json!({"url": URL, "cursor": cursor}), json!({})).expect_err("a problem");
        assert_eq!(problem.code, "invalid_tool_input", "{cursor}");
    }
}

#[test]
fn the_usual_size_and_the_largest_are_bounds() {
    let host = always(Ok(page("text/plain", "x".repeat(300_000))));
    for (options, expect) in [
        (json!({}), 12_000),
        (json!({"max_uses": 3}), 12_000),
        (json!({"max_chars": 100_000}), 100_000),
        (json!({"max_chars": 1_000_000}), 100_000),
        (json!({"max_chars": 0}), 1),
    ] {
        let told = call(&host, json!({"url": URL}), options.clone()).expect("a part");
        assert_eq!(told["text"].as_str().map(str::len), Some(expect), "{options}");
    }
}

#[test]
fn the_manifest_has_the_bounds_and_asks_for_hosts() {
    let manifest = MockHost::new().describe::<WebFetch>().expect("a manifest");
    assert_eq!(
        (manifest["name"].as_str(), &manifest["wants"]["hosts"]),
        (Some("web-fetch"), &json!(["*"]))
    );
    let tool = &manifest["tools"][0];
    assert_eq!(tool["name"], "web_fetch");
    assert_eq!(tool["input_schema"]["required"], json!(["url"]));
    assert_eq!(tool["options_schema"]["properties"]["max_chars"]["maximum"], 100_000);
    assert_eq!(tool["options_schema"]["properties"]["max_uses"]["maximum"], 100);
    assert_eq!(tool["options_schema"]["properties"]["max_uses"]["default"], 10);
    assert_eq!(tool["options_schema"]["additionalProperties"], false);
    let wrong = MockHost::new().config(json!({"user_agent": "a\r\nb"})).describe::<WebFetch>();
    assert_eq!(wrong.expect_err("a problem").code, "invalid_config");
}
