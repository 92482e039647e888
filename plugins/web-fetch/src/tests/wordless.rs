//! Pages without words, and pages that send their readers on.
use serde_json::json;
use tidegate_sdk::testing::MockHost;
use tidegate_sdk::{Problem, Result, http};

use super::{URL, call, fails, page, text};

fn reason(body: &str) -> String {
    let problem = fails(Ok(page("text/html", body)));
    assert_eq!(problem.code, "unsupported_content_type", "{problem}");
    problem.message
}

#[test]
fn a_page_without_words_says_why() {
    for (body, expect) in [
        ("", &["is empty"][..]),
        ("<title>Tides</title><body></body>", &["is empty", "`Tides`"]),
        ("<div id=root></div><script src=/app.js></script>", &["scripts", "JavaScript"]),
        ("<div id=root>Loading…</div><script src=/app.js></script>", &["scripts", "`Loading…`"]),
        ("<p>Please wait...</p><p>Loading</p><script>go()</script>", &["scripts"]),
        (
            "<noscript>You need to enable JavaScript to run this app.</noscript><div id=root></div><script src=x></script>",
            &["scripts"],
        ),
        (
            "<p>Please enable JavaScript to continue using this application.</p><script src=x></script>",
            &["scripts", "enable JavaScript"],
        ),
        (
            "<title>T</title><meta name=description content='All tides'><div id=app></div><script src=x></script>",
            &["`All tides`", "`T`"],
        ),
        (
            "<link rel=alternate type=application/rss+xml href=/feed><div id=app></div><script src=x></script>",
            &["https://example.com/feed"],
        ),
        (
            "<frameset><frame src=/menu.html><frame src=main.html></frameset>",
            &["frames", "https://example.com/menu.html", "https://example.com/articles/main.html"],
        ),
        (
            "<iframe src=https://other.example/app></iframe>",
            &["frames", "https://other.example/app"],
        ),
    ] {
        let message = reason(body);
        for part in expect {
            assert!(message.contains(part), "{body}: {message}");
        }
    }
}

#[test]
fn text_in_hidden_parts_comes_with_the_reason() {
    let message = reason(
        "<body><!--$?--><template id=\"B:0\"></template><p>Loading…</p><!--/$-->\
         <div hidden id=\"S:0\"><h1>Tides</h1><p>High water at six.</p></div>\
         <script>$RC(\"B:0\",\"S:0\")</script>",
    );
    assert!(message.contains("hidden parts") && message.contains("`Loading…`"), "{message}");
    assert!(message.contains("# Tides\\n\\nHigh water at six."), "{message}");
}

#[test]
fn parts_that_a_script_would_move_belong_to_a_page_with_words() {
    let text = text(page(
        "text/html",
        "<main><h1>Tides</h1><p>The harbour has two tides a day, and they come late.</p>\
         <template id=\"B:1\"></template></main>\
         <div hidden id=\"S:1\"><p>High water at six.</p></div><div hidden><p>secret</p></div>\
         <script>$RC(\"B:1\",\"S:1\")</script>",
    ));
    assert!(text.contains("come late.\n\nHigh water at six."), "{text}");
    assert!(!text.contains("secret"), "{text}");
}

#[test]
fn a_page_with_words_is_no_page_that_waits() {
    for (body, expect) in [
        ("<p>Loading</p>", "Loading"),
        ("<p>Loading dock hours: 9 to 5</p><script src=x></script>", "Loading dock hours: 9 to 5"),
        (
            "<h1>How to enable JavaScript</h1><script src=x></script><p>".to_owned().as_str(),
            "How to enable JavaScript",
        ),
        (
            "<img src=/map.png alt=Map><script src=x></script>",
            "![Map](https://example.com/map.png)",
        ),
    ] {
        let body = match body.starts_with("<h1>How") {
            true => format!("{body}{}", "Open the settings and look for scripts. ".repeat(20)),
            false => body.to_owned(),
        };
        let told = text(page("text/html", body.as_str()));
        assert!(told.contains(expect), "{body}: {told}");
    }
}

#[test]
fn text_for_readers_without_scripts_is_read_if_there_is_no_other() {
    let words = "The tide tables of the harbour as a plain list, for browsers without scripts.";
    let told = text(page(
        "text/html",
        format!("<div id=app></div><script src=x></script><noscript><p>{words}</p></noscript>"),
    ));
    assert_eq!(told, words);
}

/// Returns a host with pages by their addresses.
fn web(pages: &'static [(&'static str, &'static str)]) -> MockHost {
    MockHost::new().on_fetch(move |request| {
        let found = pages.iter().find(|(url, _)| *url == request.url);
        let (_, body) = found.unwrap_or(&("", "<p>fine"));
        Ok(http::Response { url: request.url.clone(), ..page("text/html", *body) })
    })
}

fn visit(pages: &'static [(&'static str, &'static str)]) -> Result<(String, String)> {
    let told = call(&web(pages), json!({"url": "https://a.example/x/"}), json!({}))?;
    let text = |name: &str| told[name].as_str().unwrap_or_default().to_owned();
    Ok((text("url"), text("text")))
}

#[test]
fn a_refresh_is_followed_like_a_redirect() {
    for content in [
        "0;url=/next",
        "0; URL='/next'",
        "0, url = \"/next\"",
        " 5 ; /next",
        "0;url=https://a.example/next",
        "0.5;url=/next",
        "0 /next",
        ";url=/next",
        "600;url=/next",
    ] {
        let body =
            format!("<META HTTP-EQUIV=Refresh CONTENT=\"{}\">", content.replace('"', "&quot;"));
        let pages: &'static [_] = Box::leak(Box::new([("https://a.example/x/", &*body.leak())]));
        let expect = match content.starts_with(';') {
            // not a refresh: the standard wants a time
            true => continue,
            false => "https://a.example/next",
        };
        let (url, text) = visit(pages).unwrap_or_else(|problem| panic!("{content}: {problem}"));
        assert_eq!((&*url, &*text), (expect, "fine"), "{content}");
    }
}

#[test]
fn a_refresh_that_is_no_redirect_leaves_the_page() {
    for refresh in [
        "<meta http-equiv=refresh content=300>",
        "<meta http-equiv=refresh content='0;url=/x/'>",
        "<meta http-equiv=refresh content='0;url=#top'>",
        "<meta http-equiv=refresh content='300;url=/next'>",
        "<meta http-equiv=refresh content='0;url=javascript:go()'>",
        "<meta http-equiv=refresh content='soon;url=/next'>",
        "<!-- <meta http-equiv=refresh content='0;url=/next'> -->",
        "<noscript><meta http-equiv=refresh content='0;url=/next'></noscript>",
        "<script>'<meta http-equiv=refresh content=\"0;url=/next\">'</script>",
    ] {
        let body = format!("{refresh}<p>A page with words that stay.");
        let pages: &'static [_] = Box::leak(Box::new([("https://a.example/x/", &*body.leak())]));
        let (url, text) = visit(pages).expect("a page");
        assert_eq!(
            (&*url, &*text),
            ("https://a.example/x/", "A page with words that stay."),
            "{refresh}"
        );
    }
}

#[test]
fn a_refresh_for_readers_without_scripts_is_followed_from_a_page_without_words() {
    let pages = &[(
        "https://a.example/x/",
        "<noscript><meta http-equiv=refresh content='0;url=/plain'></noscript><script src=x></script>",
    )];
    assert_eq!(visit(pages).expect("a page").0, "https://a.example/plain");
}

#[test]
fn a_refresh_passes_the_checks_of_a_redirect() {
    let problem = |pages, options| {
        let input = json!({"url": "https://a.example/x/"});
        call(&web(pages), input, options).expect_err("a problem")
    };
    let away =
        &[("https://a.example/x/", "<meta http-equiv=refresh content='0;url=https://evil.net/'>")];
    let found: Problem = problem(away, json!({"allowed_domains": ["a.example"]}));
    assert_eq!(found.code, "url_not_allowed");
    assert!(found.message.starts_with("redirected to `evil.net`"), "{found}");
    let down =
        &[("https://a.example/x/", "<meta http-equiv=refresh content='0;url=http://a.example/'>")];
    assert_eq!(problem(down, json!({})).code, "url_not_allowed");
}

#[test]
fn refreshes_and_redirects_share_one_number_of_hops() {
    let host = MockHost::new().on_fetch(|request| {
        let step: u32 = request.url.rsplit('/').next().and_then(|n| n.parse().ok()).unwrap_or(0);
        let next = format!("/{}", step + 1);
        Ok(match step % 2 {
            0 => http::Response::new(302, "").with_header("location", next),
            _ => page("text/html", format!("<meta http-equiv=refresh content='0;url={next}'>")),
        })
    });
    let problem =
        call(&host, json!({"url": "https://a.example/0"}), json!({})).expect_err("a problem");
    assert_eq!(problem.code, "url_not_accessible");
    assert!(problem.message.starts_with("more than 5 redirects"), "{problem}");
}

#[test]
fn a_header_may_hold_the_refresh() {
    let host = MockHost::new().on_fetch(|request| {
        let answer = page("text/html", "<p>fine");
        Ok(match request.url == URL {
            true => answer.with_header("Refresh", "0; url=/next"),
            false => answer,
        })
    });
    let told = call(&host, json!({"url": URL}), json!({})).expect("a page");
    assert_eq!(told["url"], "https://example.com/next");
}
