//! Redirects: the tool follows them and checks every address before it sends a request.
use std::cell::RefCell;
use std::rc::Rc;

use serde_json::{Value, json};
use tidegate_sdk::testing::MockHost;
use tidegate_sdk::{Problem, Result, http};

use super::{call, page};

/// A web with redirects, and the requests that it has received.
struct Web {
    host: MockHost,
    asked: Rc<RefCell<Vec<String>>>,
}

impl Web {
    /// Returns a page for every address without a redirect. For `robots.txt`, `robots` returns the
    /// rules of its address.
    fn new(
        leads: &'static [(&'static str, &'static str)],
        robots: &'static [(&'static str, &'static str)],
    ) -> Self {
        let asked = Rc::<RefCell<Vec<String>>>::default();
        let log = Rc::clone(&asked);
        let of = |list: &[(&str, &'static str)], url: &str| {
            list.iter().find(|(from, _)| *from == url).map(|(_, to)| *to)
        };
        let host = MockHost::new().on_fetch(move |request| {
            assert_eq!(request.redirects, Some(0), "{}", request.url);
            log.borrow_mut().push(request.url.clone());
            if let Some(to) = of(leads, &request.url) {
                return Ok(http::Response::new(302, "moved").with_header("Location", to));
            }
            if request.url.ends_with("/robots.txt") {
                let none = Ok(http::Response::new(404, ""));
                return of(robots, &request.url)
                    .map_or(none, |text| Ok(http::Response::new(200, text)));
            }
            Ok(http::Response { url: request.url.clone(), ..page("text/plain", "fine") })
        });
        Self { host, asked }
    }

    fn polite(self) -> Self {
        Self { host: self.host.config(json!({"respect_robots": true})), ..self }
    }

    fn call(&self, url: &str, options: Value) -> Result<Value> {
        call(&self.host, json!({"url": url}), options)
    }

    fn asked(&self) -> Vec<String> {
        self.asked.borrow().clone()
    }
}

#[test]
fn relative_and_absolute_redirects_are_followed_and_the_final_address_is_returned() {
    for (location, expect) in [
        ("/b?c", "https://a.example/b?c"),
        ("b", "https://a.example/x/b"),
        ("../b", "https://a.example/b"),
        ("?b", "https://a.example/x/y?b"),
        ("//c.example/", "https://c.example/"),
        ("https://c.example/#part", "https://c.example/#part"),
    ] {
        let leads = Box::leak(Box::new([("https://a.example/x/y", location)]));
        let web = Web::new(leads, &[]);
        let told = web.call("https://a.example/x/y", json!({})).expect("a page");
        assert_eq!((&told["url"], &told["text"]), (&json!(expect), &json!("fine")), "{location}");
    }
}

#[test]
fn a_forbidden_hop_and_the_hops_after_it_receive_no_request() {
    const LEADS: &[(&str, &str)] = &[
        ("https://a.example/", "https://evil.net/track"),
        ("https://evil.net/track", "https://a.example/page"),
    ];
    for (options, expect) in [
        (json!({"allowed_domains": ["a.example"]}), "url_not_allowed"),
        (json!({"blocked_domains": ["evil.net"]}), "url_not_allowed"),
        (json!({"blocked_domains": ["evil.net/track"]}), "url_not_allowed"),
        (json!({"blocked_domains": ["evil.net/other"]}), "fine"),
    ] {
        let web = Web::new(LEADS, &[]);
        let expect_asked: &[&str] = match web.call("https://a.example/", options.clone()) {
            Ok(told) => {
                assert_eq!(told["text"], expect, "{options}");
                &["https://a.example/", "https://evil.net/track", "https://a.example/page"]
            }
            Err(problem) => {
                assert_eq!(problem.code, expect, "{options}");
                assert!(problem.message.starts_with("redirected to `evil.net`: "), "{problem}");
                &["https://a.example/"]
            }
        };
        assert_eq!(web.asked(), expect_asked, "{options}");
    }
}

#[test]
fn the_robots_file_of_every_hop_is_read_before_the_hop_is_fetched() {
    const LEADS: &[(&str, &str)] = &[
        ("https://a.example/", "https://b.example/private/x"),
        ("https://b.example/private/x", "https://c.example/"),
    ];
    const ROBOTS: &[(&str, &str)] =
        &[("https://b.example/robots.txt", "User-agent: *\nDisallow: /private")];
    let web = Web::new(LEADS, ROBOTS).polite();
    let problem = web.call("https://a.example/", json!({})).expect_err("a problem");
    assert_eq!(problem.code, "url_not_allowed");
    assert!(problem.message.contains("`robots.txt` of `https://b.example`"), "{problem}");
    let expect =
        ["https://a.example/robots.txt", "https://a.example/", "https://b.example/robots.txt"];
    assert_eq!(web.asked(), expect);
}

#[test]
fn a_robots_file_may_be_kept_elsewhere_but_not_where_the_tool_may_not_go() {
    const LEADS: &[(&str, &str)] =
        &[("https://a.example/robots.txt", "https://www.a.example/robots.txt")];
    const ROBOTS: &[(&str, &str)] =
        &[("https://www.a.example/robots.txt", "User-agent: *\nDisallow: /private")];
    let ask = |path: &str, options: Value| {
        let web = Web::new(LEADS, ROBOTS).polite();
        let told = web.call(&format!("https://a.example/{path}"), options);
        (told.map_err(|problem| problem.code).map(drop), web.asked().len())
    };
    let refused = Err("url_not_allowed".to_owned());
    assert_eq!(ask("open", json!({})), (Ok(()), 3));
    assert_eq!(ask("private", json!({})), (refused.clone(), 2));
    // a rule for a part of a site does not prevent the fetch of its rules
    assert_eq!(ask("blog/1", json!({"allowed_domains": ["a.example/blog"]})), (Ok(()), 3));
    assert_eq!(ask("open", json!({"blocked_domains": ["www.a.example"]})), (refused, 1));
}

#[test]
fn five_redirects_are_followed_and_no_sixth() {
    const LEADS: &[(&str, &str)] = &[
        ("https://a.example/6", "/5"),
        ("https://a.example/5", "/4"),
        ("https://a.example/4", "/3"),
        ("https://a.example/3", "/2"),
        ("https://a.example/2", "/1"),
        ("https://a.example/1", "/0"),
    ];
    let web = Web::new(LEADS, &[]);
    assert_eq!(
        web.call("https://a.example/5", json!({})).expect("a page")["url"],
        "https://a.example/0"
    );
    let problem = web.call("https://a.example/6", json!({})).expect_err("a problem");
    assert_eq!(problem.code, "url_not_accessible");
    assert!(problem.message.starts_with("more than 5 redirects"), "{problem}");
    assert_eq!(web.asked().len(), 6 + 6);
}

#[test]
fn an_invalid_hop_ends_the_redirects_with_an_error() {
    for (first, location, code) in [
        ("https://a.example/", "http://a.example/", "url_not_allowed"),
        ("http://a.example/", "http://[", "url_not_accessible"),
    ] {
        let leads = Box::leak(Box::new([(first, location)]));
        let web = Web::new(leads, &[]);
        let problem = web.call(first, json!({})).expect_err("a problem");
        assert_eq!((problem.code.as_str(), web.asked().len()), (code, 1), "{location}");
    }
    // the gateway rejects the address, which came from the site and not from the model
    let host = MockHost::new().on_fetch(|request| match request.url.starts_with("https:") {
        true => Ok(http::Response::new(301, "").with_header("location", "ftp://a.example/")),
        false => Err(Problem::new("invalid_url", "`ftp:` is not fetched")),
    });
    let problem =
        call(&host, json!({"url": "https://a.example/"}), json!({})).expect_err("a problem");
    assert_eq!(problem.code, "url_not_accessible");
}
