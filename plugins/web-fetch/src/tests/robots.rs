//! `robots.txt`, if the operator enables it.
use std::cell::RefCell;
use std::rc::Rc;

use serde_json::json;
use tidegate_sdk::testing::MockHost;
use tidegate_sdk::{Problem, Result, http};

use super::{call, page};

const ROBOTS: &str = "# for all\nUser-agent: *\nDisallow: /private/\nAllow: /private/open\nDisallow: /*.gif$\n\n\
    user-agent: Tidegate-Web-Fetch\nuser-agent: other\nDisallow: /no-gateways # nor others\n\n\
    User-agent: third\nDisallow: /\n";

fn site(robots: Result<http::Response>) -> (MockHost, Rc<RefCell<Vec<String>>>) {
    let asked = Rc::<RefCell<Vec<String>>>::default();
    let log = Rc::clone(&asked);
    let host = MockHost::new().config(json!({"respect_robots": true})).on_fetch(move |request| {
        log.borrow_mut().push(request.url.clone());
        match request.url.ends_with("/robots.txt") {
            true => robots.clone(),
            false => Ok(http::Response { url: request.url.clone(), ..page("text/plain", "fine") }),
        }
    });
    (host, asked)
}

fn is_open(host: &MockHost, url: &str) -> bool {
    match call(host, json!({"url": url}), json!({})) {
        Ok(_) => true,
        Err(problem) => {
            assert_eq!(problem.code, "url_not_allowed", "{problem}");
            false
        }
    }
}

#[test]
fn the_group_of_this_agent_counts_or_else_that_of_all() {
    let (host, _) = site(Ok(http::Response::new(200, ROBOTS)));
    assert!(!is_open(&host, "https://a.example/no-gateways/x"));
    assert!(is_open(&host, "https://a.example/private/x"));
    let other = host.config(json!({"respect_robots": true, "user_agent": "someone/1.0"}));
    let url = |path: &str| format!("https://b.example{path}");
    for (path, expect) in [
        ("/", true),
        ("/no-gateways/x", true),
        ("/private/x", false),
        ("/private", true),
        ("/private/open/x", true),
        ("/a/b.gif", false),
        ("/a/b.gif?x", true),
        ("/a.gif/b.gif", false),
    ] {
        assert_eq!(is_open(&other, &url(path)), expect, "{path}");
    }
}

#[test]
fn the_robots_file_of_a_site_is_fetched_once_and_kept() {
    let (host, asked) = site(Ok(http::Response::new(200, ROBOTS)));
    assert!(is_open(&host, "https://a.example/1") && is_open(&host, "https://a.example/2"));
    assert_eq!(
        asked.borrow().as_slice(),
        ["https://a.example/robots.txt", "https://a.example/1", "https://a.example/2"]
    );
}

#[test]
fn a_site_without_a_word_is_open_and_one_out_of_order_is_not() {
    assert!(is_open(&site(Ok(http::Response::new(404, ""))).0, "https://a.example/"));
    assert!(is_open(&site(Ok(http::Response::new(200, ""))).0, "https://a.example/"));
    for robots in [Ok(http::Response::new(503, "")), Err(Problem::new("timeout", "…"))] {
        let (host, asked) = site(robots);
        let problem =
            call(&host, json!({"url": "https://a.example/"}), json!({})).expect_err("a problem");
        assert_eq!(problem.code, "url_not_accessible");
        assert_eq!(asked.borrow().len(), 1);
    }
}

#[test]
fn the_robots_file_is_not_fetched_unless_the_operator_wants_it() {
    let (host, asked) = site(Ok(http::Response::new(200, "User-agent: *\nDisallow: /")));
    assert!(is_open(&host.config(json!({})), "https://a.example/"));
    assert_eq!(asked.borrow().as_slice(), ["https://a.example/"]);
}
