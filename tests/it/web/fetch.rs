//! Pages: read, read on, refused.
use std::fmt::Write as _;
use std::io::Write as _;

use serde_json::{Value, json};

use super::{Web, failure_of, granted, page_of, site};
use crate::support::upstream::answer;

/// Where the gateway runs the API's own tools.
const OURS: &str = "egress: { allow_private: [\"127.0.0.0/8\"] }\nmodels: { m: { provider: up, model: up-1, server_tools: gateway } }";

/// A page as sites have them: something to read, and much around it.
const ARTICLE: &str = include_str!("article.html");

fn tool() -> Value {
    json!({"type": "gateway:web_fetch"})
}

fn with(options: Value) -> Value {
    let mut tool = tool();
    for (key, value) in options.as_object().unwrap() {
        tool[key] = value.clone();
    }
    tool
}

fn html(body: &str) -> Vec<u8> {
    answer(200, "content-type: text/html; charset=utf-8\r\n", body)
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn a_page_is_fetched_and_read_as_markdown() {
    let site = site(|target| match target {
        "/old" => answer(301, "location: /tide?from=old\r\n", ""),
        _ => answer(
            200,
            "content-type: text/html\r\ncontent-encoding: gzip\r\n",
            gzip(ARTICLE.as_bytes()),
        ),
    })
    .await;
    let web = Web::with("web-fetch", granted(site.address)).await;
    let base = format!("http://{}", site.address);
    let page = page_of(&web.call(&tool(), &json!({"url": format!("{base}/old")})).await);
    assert_eq!(page["url"], format!("{base}/tide?from=old"));
    assert_eq!(page["content_type"], "text/html");
    assert_eq!((&page["truncated"], &page["next_cursor"]), (&json!(false), &json!(null)));
    assert!(page["title"].as_str().unwrap().starts_with("Reading a tide table"), "{page}");
    let text = page["text"].as_str().unwrap();
    for expect in [
        "## What the columns mean",
        &format!("[almanac of the harbour office]({base}/almanac/2026)"),
        "**spring tide**",
        "1. Find the port.",
    ] {
        assert!(text.contains(expect), "{expect:?} is missing in\n{text}");
    }
    assert!(text.lines().any(|line| line.starts_with('|') && line.contains("06:12")), "{text}");
    for gone in ["Accept all cookies", "Most read", "window.dataLayer", "All rights reserved"] {
        assert!(!text.contains(gone), "{gone:?} is in\n{text}");
    }
    let (head, _) = &site.seen()[0];
    assert!(head.header("user-agent").unwrap().starts_with("tidegate-web-fetch/"));
    assert!(head.header("accept").unwrap().starts_with("text/html,"));
}

#[tokio::test]
async fn a_long_page_is_read_on_from_its_cursor() {
    let mut page = String::new();
    for n in 0..200 {
        let _ = writeln!(page, "Paragraph {n} of a long text about the sea.\n");
    }
    let whole = page.clone();
    let site = site(move |_| answer(200, "content-type: text/plain\r\n", &page)).await;
    let web = Web::with("web-fetch", granted(site.address)).await;
    let tool = with(json!({"max_chars": 4000}));
    let url = format!("http://{}/", site.address);
    let (mut parts, mut input) = (Vec::new(), json!({"url": url}));
    loop {
        let part = page_of(&web.call(&tool, &input).await);
        parts.push(part["text"].as_str().unwrap().to_owned());
        assert_eq!(part["truncated"], !part["next_cursor"].is_null());
        let Some(cursor) = part["next_cursor"].as_u64() else { break };
        input = json!({"url": url, "cursor": cursor});
    }
    assert!(parts.len() > 2);
    assert_eq!(parts.join("\n\n"), whole.trim_end());
}

#[tokio::test]
async fn pages_of_any_size_and_depth_are_text_and_no_trap() {
    let deep = format!("<title>Deep</title>{}<p>the bottom", "<div><span>".repeat(100_000));
    let less_deep = format!("<title>Deep</title>{}<p>the bottom", "<div>".repeat(250));
    let nest =
        |open: &str, levels: usize| format!("<title>Deep</title>{}the bottom", open.repeat(levels));
    let nested = [
        nest("<ul><li>", 120),
        nest("<blockquote>", 245),
        nest("<table><tr><td>", 60),
        nest("<section><b><i>", 80),
    ];
    let wide = "<tr><td>cell <b>bold</b></td><td><a href=/x>link</a></td></tr>".repeat(10_000);
    let wide = format!("<title>Wide</title><table>{wide}</table>");
    let formats: String = (0..300).map(|n| format!("<font size={n}>")).collect();
    let formats = format!("<title>Fonts</title>{formats}the bottom{}", "<p>more".repeat(200));
    let site = site(move |target| match target {
        "/deep" => html(&deep),
        "/less-deep" => html(&less_deep),
        "/fonts" => html(&formats),
        "/wide" => html(&wide),
        nested_as => html(&nested[nested_as[1..].parse::<usize>().unwrap()]),
    })
    .await;
    let web = Web::with("web-fetch", granted(site.address)).await;
    for (path, title, text) in [
        ("deep", "Deep", "the bottom"),
        ("less-deep", "Deep", "the bottom"),
        ("0", "Deep", "the bottom"),
        ("1", "Deep", "the bottom"),
        ("2", "Deep", "the bottom"),
        ("3", "Deep", "the bottom"),
        ("fonts", "Fonts", "the bottom"),
        ("wide", "Wide", "cell **bold**"),
    ] {
        let input = json!({"url": format!("http://{}/{path}", site.address)});
        let page = page_of(&web.call(&tool(), &input).await);
        assert_eq!(page["title"], title);
        assert!(page["text"].as_str().unwrap().contains(text), "{page}");
    }
}

#[tokio::test]
async fn failures_are_results_and_the_conversation_goes_on() {
    let site = site(|target| match target {
        "/gone" => answer(404, "content-type: text/html\r\n", "<p>Nothing here"),
        "/busy" => answer(429, "retry-after: 60\r\n", ""),
        "/broken" => answer(500, "", ""),
        "/picture" => answer(200, "content-type: image/png\r\n", b"\x89PNG\r\n"),
        "/bomb" => answer(
            200,
            "content-type: text/plain\r\ncontent-encoding: gzip\r\n",
            gzip(&[0; 4 << 20]),
        ),
        "/round" => answer(302, "location: /round\r\n", ""),
        "/scripts" => html("<div id=root>Loading…</div><script src=/app.js></script>"),
        "/inside" => answer(302, "location: http://10.0.0.1/\r\n", ""),
        "/port" => answer(302, "location: http://127.0.0.1:9/\r\n", ""),
        _ => Vec::new(),
    })
    .await;
    let mut config = granted(site.address);
    config["deadline"] = "1s".into();
    let web = Web::with("web-fetch", config).await;
    for (path, expect) in [
        ("gone", "404"),
        ("busy", "429"),
        ("broken", "500"),
        ("picture", "image/png"),
        ("bomb", "more than 200 times larger"),
        ("scripts", "shows its text by scripts"),
        ("round", "redirects"),
        ("inside", "10.0.0.1"),
        ("port", "127.0.0.1"),
        ("silence", "no whole answer within"),
    ] {
        let input = json!({"url": format!("http://{}/{path}", site.address)});
        let told = failure_of(&web.call(&tool(), &input).await);
        assert!(told.contains(expect), "{path}: {told}");
    }
    for (input, expect) in [
        (json!({"url": "file:///etc/passwd"}), "`file:` is not fetched"),
        (json!({"url": format!("http://a.test/{}", "x".repeat(250))}), "at most 250"),
        (json!({"url": "http://elsewhere.test/"}), "elsewhere.test"),
        (json!({"link": "http://a.test/"}), "link"),
    ] {
        let told = failure_of(&web.call(&tool(), &input).await);
        assert!(told.contains(expect), "{input}: {told}");
    }
}

#[tokio::test]
async fn private_addresses_and_unusual_ports_stay_closed_without_a_grant() {
    let site = site(|_| html("<p>inside")).await;
    let input = json!({"url": format!("http://{}/", site.address)});
    let closed = Web::guarded("web-fetch", granted(site.address), "").await;
    let told = failure_of(&closed.call(&tool(), &input).await);
    assert!(told.contains("egress.allow_private"), "{told}");
    let usual_ports = Web::with("web-fetch", json!({"allow_hosts": ["*"]})).await;
    let told = failure_of(&usual_ports.call(&tool(), &input).await);
    assert!(told.contains("allow_hosts"), "{told}");
    assert_eq!(site.count(), 0);
}

#[tokio::test]
async fn the_options_bound_the_model() {
    let site = site(|_| html("<p>a page")).await;
    let web = Web::with("web-fetch", granted(site.address)).await;
    let input = json!({"url": format!("http://{}/", site.address)});
    for (options, is_open) in [
        (json!({"allowed_domains": ["127.0.0.1"]}), true),
        (json!({"allowed_domains": ["example.com"]}), false),
        (json!({"blocked_domains": ["127.0.0.1"]}), false),
    ] {
        let result = web.call(&with(options), &input).await;
        match is_open {
            true => assert_eq!(page_of(&result)["text"], "a page"),
            false => assert!(failure_of(&result).contains("domains"), "{result}"),
        }
    }
    let wider = json!({"url": input["url"], "allowed_domains": ["127.0.0.1"], "max_chars": 1});
    let told =
        failure_of(&web.call(&with(json!({"allowed_domains": ["example.com"]})), &wider).await);
    assert!(told.contains("allowed_domains") || told.contains("max_chars"), "{told}");
}

#[tokio::test]
async fn a_robots_file_is_respected_if_the_operator_says_so_and_read_once() {
    let site = site(|target| match target {
        "/robots.txt" => answer(200, "", "User-agent: *\nDisallow: /private\n"),
        _ => html("<p>a page"),
    })
    .await;
    let mut config = granted(site.address);
    config["respect_robots"] = true.into();
    config["max_kv_bytes"] = 65536.into();
    let web = Web::with("web-fetch", config).await;
    let input = |path: &str| json!({"url": format!("http://{}{path}", site.address)});
    let told = failure_of(&web.call(&tool(), &input("/private/x")).await);
    assert!(told.contains("robots.txt"), "{told}");
    assert_eq!(page_of(&web.call(&tool(), &input("/open")).await)["text"], "a page");
    let asked: Vec<_> = site.seen().iter().map(|(head, _)| head.target().to_owned()).collect();
    assert_eq!(asked, ["/robots.txt", "/open", "/open"]);
}

#[tokio::test]
async fn the_apis_own_fetch_is_fulfilled_with_the_page_or_the_apis_own_code() {
    let site = site(|target| match target {
        "/gone" => answer(404, "", ""),
        "/picture" => answer(200, "content-type: image/png\r\n", b"\x89PNG\r\n"),
        "/scripts" => html("<div id=root>Loading…</div><script src=/app.js></script>"),
        "/large" => html(&"<p>a line".repeat(700_000)),
        _ => html(ARTICLE),
    })
    .await;
    let mut config = granted(site.address);
    config["allow_hosts"].as_array_mut().unwrap().push("10.0.0.1".into());
    let web = Web::guarded("web-fetch", config, OURS).await;
    let native = json!({"type": "web_fetch_20250910", "name": "web_fetch", "max_uses": 1});
    let url = |path: &str| format!("http://{}/{path}", site.address);
    let fetch = |url: String| format!("[sim: call web_fetch {}]", json!({"url": url}));
    for is_streamed in [true, false] {
        let told = web.ask(&native, &fetch(url("tide")), is_streamed).await;
        let page = found(&told);
        assert_eq!(
            (&page["type"], &page["url"]),
            (&json!("web_fetch_result"), &json!(url("tide")))
        );
        let document = &page["content"];
        assert!(document["title"].as_str().unwrap().starts_with("Reading a tide table"), "{page}");
        assert!(document["source"]["data"].as_str().unwrap().contains("**spring tide**"), "{page}");
        assert_eq!(told["usage"]["server_tool_use"]["web_fetch_requests"], 1);
        for (url, code) in [
            (url("gone"), "url_not_accessible"),
            (url("picture"), "unsupported_content_type"),
            (url("scripts"), "unsupported_content_type"),
            (url("large"), "content_too_large"),
            (url(&"x".repeat(250)), "url_too_long"),
            ("http://10.0.0.1/".to_owned(), "url_not_allowed"),
            ("http://elsewhere.test/".to_owned(), "url_not_allowed"),
            ("elsewhere".to_owned(), "invalid_tool_input"),
        ] {
            let told = web.ask(&native, &fetch(url), is_streamed).await;
            let failed = found(&told);
            let expect = (&json!("web_fetch_tool_result_error"), &json!(code));
            assert_eq!((&failed["type"], &failed["error_code"]), expect);
            assert_eq!(told["stop_reason"], "end_turn");
        }
        let twice = format!("{} [sim: turns 2]", fetch(url("tide")));
        let told = web.ask(&native, &twice, is_streamed).await;
        let results = told["content"].as_array().unwrap().iter();
        let mut results = results.filter(|block| block["type"] == "web_fetch_tool_result");
        assert_eq!(results.next().unwrap()["content"]["type"], "web_fetch_result");
        assert_eq!(results.next().unwrap()["content"]["error_code"], "max_uses_exceeded");
    }
}

/// What the first result of a fetch holds.
fn found(message: &Value) -> &Value {
    let mut blocks = message["content"].as_array().unwrap().iter();
    &blocks.find(|block| block["type"] == "web_fetch_tool_result").unwrap()["content"]
}

/// Two pages with a few lines.
// drawn with a compressed stream, as real files are
const PDF: &[u8] = include_bytes!("table.pdf");

#[tokio::test]
async fn the_text_of_a_pdf_file_is_read_in_the_guest() {
    let site = site(|_| answer(200, "content-type: application/pdf\r\n", PDF)).await;
    let web = Web::with("web-fetch", granted(site.address)).await;
    let input = json!({"url": format!("http://{}/table.pdf", site.address)});
    let page = page_of(&web.call(&tool(), &input).await);
    assert_eq!(
        (&page["title"], &page["content_type"]),
        (&json!("Tide table"), &json!("application/pdf"))
    );
    assert_eq!(page["text"], "High water at the pier\nMon 19 06:12 5.1\n\nLow water");
}
