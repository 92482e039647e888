//! The tool as the gateway calls it, with mock backends.
use std::cell::RefCell;
use std::rc::Rc;

use serde_json::{Value, json};
use tidegate_sdk::testing::MockHost;
use tidegate_sdk::{Problem, Result, http};

use super::WebSearch;

type Asked = Rc<RefCell<Vec<http::Request>>>;

fn backend(config: Value, answer: Result<http::Response>) -> (MockHost, Asked) {
    let asked = Asked::default();
    let log = Rc::clone(&asked);
    let host = MockHost::new().config(json!({"backend": config})).on_fetch(move |request| {
        log.borrow_mut().push(request.clone());
        answer.clone()
    });
    (host, asked)
}

fn call(host: &MockHost, query: &str, options: Value) -> Result<Value> {
    let content = host.call_tool::<WebSearch>("web_search", json!({"query": query}), options)?;
    let [block] = content.as_array().expect("blocks").as_slice() else { panic!("{content}") };
    assert_eq!(block["type"], "text");
    Ok(serde_json::from_str(block["text"].as_str().expect("text")).expect("JSON"))
}

fn json_answer(body: &Value) -> Result<http::Response> {
    Ok(http::Response::new(200, body.to_string()))
}

fn header<'a>(request: &'a http::Request, name: &str) -> Option<&'a str> {
    let mut named = request.headers.iter().filter(|(n, _)| n == name);
    named.next().map(|(_, value)| value.as_str())
}

fn sent(request: &http::Request) -> Value {
    serde_json::from_slice(request.body.as_deref().expect("a body")).expect("JSON")
}

fn urls(told: &Value) -> Vec<&str> {
    let results = told["results"].as_array().expect("results");
    results.iter().map(|result| result["url"].as_str().expect("a URL")).collect()
}

/// Returns a plain JSON backend with a number of results, alternating between two domains.
fn many(count: usize) -> (MockHost, Asked) {
    let results: Vec<_> = (0..count)
        .map(|n| {
            let domain = if n % 2 == 0 { "a.example" } else { "docs.b.example" };
            json!({"title": format!("Page {n}"), "url": format!("https://{domain}/{n}"), "snippet": "…"})
        })
        .collect();
    let config = json!({"type": "json", "url": "https://s.example/?q={query}&n={max_results}"});
    backend(config, json_answer(&json!({"results": results})))
}

#[test]
fn the_plugin_requests_json_from_searxng() {
    let (host, asked) = backend(
        json!({"type": "searxng", "url": "http://searxng.local:8080/"}),
        json_answer(&json!({"query": "tide & moon", "results": [
            {"url": "https://a.example/1", "title": "Tides", "content": "The <b>moon</b> pulls &amp; pulls",
             "publishedDate": "2026-01-02T00:00:00", "engine": "x"},
            {"url": "https://a.example/2", "title": "Neap", "content": null, "publishedDate": null},
        ]})),
    );
    let told = call(&host, " tide & moon ", json!({})).expect("results");
    assert_eq!(
        told,
        json!({"query": "tide & moon", "results": [
            {"title": "Tides", "url": "https://a.example/1", "page_age": "2026-01-02T00:00:00",
             "snippet": "The moon pulls & pulls"},
            {"title": "Neap", "url": "https://a.example/2", "page_age": null, "snippet": ""},
        ]})
    );
    assert_eq!(
        asked.borrow()[0].url,
        "http://searxng.local:8080/search?q=tide+%26+moon&format=json"
    );
}

#[test]
fn the_plugin_sends_brave_the_key_the_domains_and_the_location() {
    let (host, asked) = backend(
        json!({"type": "brave", "api_key": "k-1"}),
        json_answer(&json!({"web": {"results": [
            {"title": "Tides", "url": "https://a.example/1", "description": "<strong>Tides</strong> today",
             "page_age": "2026-01-02T03:04:05", "age": "2 days ago"},
        ]}})),
    );
    let location = json!({"type": "approximate", "country": "de", "city": "Hamburg", "timezone": "Europe/Berlin"});
    let options =
        json!({"allowed_domains": ["a.example", "b.example/x"], "user_location": location});
    let told = call(&host, "tides", options).expect("results");
    assert_eq!(told["results"][0]["snippet"], "Tides today");
    assert_eq!(told["results"][0]["page_age"], "2026-01-02T03:04:05");
    let asked = asked.borrow();
    assert_eq!(
        asked[0].url,
        "https://api.search.brave.com/res/v1/web/search?q=tides+%28site%3Aa.example+OR+site%3Ab.example%29&count=20&text_decorations=false&country=DE"
    );
    assert_eq!(header(&asked[0], "x-subscription-token"), Some("k-1"));
    assert_eq!(header(&asked[0], "x-loc-city"), Some("Hamburg"));
    assert_eq!(header(&asked[0], "x-loc-timezone"), Some("Europe/Berlin"));
}

#[test]
fn tavily_and_exa_take_a_post() {
    let answer = json!({"results": [{"title": "Tides", "url": "https://a.example/1", "content": "by Tavily",
        "text": "by Exa", "published_date": "2026-01-02", "publishedDate": "2026-01-03"}]});
    let (host, asked) = backend(json!({"type": "tavily", "api_key": "k"}), json_answer(&answer));
    let told = call(&host, "tides", json!({"blocked_domains": ["b.example", "c.example/x"]}))
        .expect("results");
    assert_eq!(
        (&told["results"][0]["snippet"], &told["results"][0]["page_age"]),
        (&"by Tavily".into(), &"2026-01-02".into())
    );
    let request = &asked.borrow()[0];
    assert_eq!(
        (request.method.as_str(), request.url.as_str()),
        ("POST", "https://api.tavily.com/search")
    );
    assert_eq!(header(request, "authorization"), Some("Bearer k"));
    assert_eq!(
        sent(request),
        json!({"query": "tides", "max_results": 20, "exclude_domains": ["b.example"]})
    );

    let (host, asked) = backend(
        json!({"type": "exa", "api_key": "k", "url": "http://exa.local/s"}),
        json_answer(&answer),
    );
    let options =
        json!({"max_results": 3, "user_location": {"type": "approximate", "country": "us"}});
    let told = call(&host, "tides", options).expect("results");
    assert_eq!(
        (&told["results"][0]["snippet"], &told["results"][0]["page_age"]),
        (&"by Exa".into(), &"2026-01-03".into())
    );
    let request = &asked.borrow()[0];
    assert_eq!(
        (request.url.as_str(), header(request, "x-api-key")),
        ("http://exa.local/s", Some("k"))
    );
    let body = sent(request);
    assert_eq!((&body["numResults"], &body["userLocation"]), (&3.into(), &"US".into()));
}

#[test]
fn a_backend_of_ones_own_is_read_by_pointers() {
    let (host, asked) = backend(
        json!({"type": "json", "url": "http://s.local/find/{query}?k={max_results}", "api_key": "k",
            "headers": {"x-team": "ml"},
            "fields": {"results": "/data/hits", "title": "/doc/name", "url": "/doc/link", "snippet": "/text", "date": "/ts"}}),
        json_answer(&json!({"data": {"hits": [
            {"doc": {"name": "Tides", "link": "https://a.example/1"}, "text": "…", "ts": 1_768_478_400},
            {"doc": {"name": "No link"}},
        ]}})),
    );
    let told = call(&host, "tide tables/2026", json!({})).expect("results");
    assert_eq!(
        told["results"],
        json!([{"title": "Tides", "url": "https://a.example/1", "page_age": "1768478400", "snippet": "…"}])
    );
    let request = &asked.borrow()[0];
    assert_eq!(request.url, "http://s.local/find/tide%20tables%2F2026?k=5");
    assert_eq!(
        (header(request, "authorization"), header(request, "x-team")),
        (Some("Bearer k"), Some("ml"))
    );
}

#[test]
fn the_options_bound_how_many_and_of_which_domains() {
    let shown = |options: Value| call(&many(60).0, "x", options).expect("results");
    for (options, count) in
        [(json!({}), 5), (json!({"max_results": 25}), 25), (json!({"max_results": 1}), 1)]
    {
        assert_eq!(urls(&shown(options)).len(), count);
    }
    let allowed = shown(json!({"allowed_domains": ["b.example"]}));
    assert_eq!(urls(&allowed)[..2], ["https://docs.b.example/1", "https://docs.b.example/3"]);
    assert_eq!(urls(&allowed).len(), 5);
    let blocked = shown(json!({"blocked_domains": ["b.example"]}));
    assert!(urls(&blocked).iter().all(|url| url.starts_with("https://a.example/")));
    assert_eq!(urls(&shown(json!({"allowed_domains": ["c.example"]}))).len(), 0);
}

#[test]
fn each_page_is_returned_once_and_other_links_are_dropped() {
    let result = |url: &str| json!({"title": "…", "url": url, "snippet": "…"});
    let list = [
        "https://a.example",
        "https://a.example/",
        "javascript:alert(1)",
        "ftp://a.example/",
        "no URL",
    ];
    let list: Vec<_> = list.iter().map(|url| result(url)).collect();
    let config = json!({"type": "json", "url": "https://s.example/?q={query}"});
    let (host, _) = backend(config, json_answer(&json!({"results": list})));
    assert_eq!(urls(&call(&host, "x", json!({})).expect("results")), ["https://a.example"]);
}

#[test]
fn an_invalid_query_is_rejected_with_a_code_of_the_api() {
    let (host, asked) = many(3);
    let code = |query: &str, options| call(&host, query, options).expect_err("a problem").code;
    assert_eq!(code("", json!({})), "invalid_tool_input");
    assert_eq!(code(" \n", json!({})), "invalid_tool_input");
    assert_eq!(code(&"ö".repeat(401), json!({})), "query_too_long");
    assert_eq!(
        code("x", json!({"allowed_domains": ["a"], "blocked_domains": ["b"]})),
        "invalid_options"
    );
    assert_eq!(code("x", json!({"allowed_domains": ["http://a.example"]})), "invalid_options");
    assert_eq!(code("x", json!({"user_location": {"type": "exact"}})), "invalid_options");
    assert!(asked.borrow().is_empty());
    assert!(call(&host, &"ö".repeat(400), json!({})).is_ok());
}

#[test]
fn failures_of_the_backend_have_the_apis_codes_and_tell_no_secret() {
    let status = |status| Ok(http::Response::new(status, "{\"error\": \"k-1\"}"));
    let timeout =
        Problem { retryable: true, ..Problem::new("timeout", "http://inside.local took too long") };
    for (answer, code, retryable) in [
        (status(429), "too_many_requests", true),
        (status(401), "unavailable", false),
        (status(403), "unavailable", false),
        (status(500), "unavailable", true),
        (status(404), "unavailable", true),
        (Err(timeout), "unavailable", true),
        (Err(Problem::new("not_granted", "k-1")), "unavailable", false),
        (Err(Problem::new("url_not_allowed", "k-1")), "unavailable", false),
        (Ok(http::Response::new(200, "<html>")), "unavailable", true),
        (Ok(http::Response::new(200, "{\"web\": {\"results\": 3}}")), "unavailable", true),
        (
            Ok(http::Response { truncated: true, ..http::Response::new(200, "{}") }),
            "unavailable",
            true,
        ),
    ] {
        let (host, _) = backend(json!({"type": "brave", "api_key": "k-1"}), answer);
        let problem = call(&host, "x", json!({})).expect_err("a problem");
        assert_eq!((problem.code.as_str(), problem.retryable), (code, retryable), "{problem}");
        assert!(
            !problem.message.contains("k-1") && !problem.message.contains("inside"),
            "{problem}"
        );
    }
    let (host, _) =
        backend(json!({"type": "brave", "api_key": "k-1"}), Ok(http::Response::new(200, "{}")));
    assert_eq!(call(&host, "x", json!({})).expect("no results")["results"], json!([]));
}

#[test]
fn a_search_without_a_backend_names_the_missing_setting() {
    let problem = call(&MockHost::new(), "x", json!({})).expect_err("a problem");
    assert_eq!(problem.code, "unavailable");
    assert!(problem.message.contains("plugins.config.web-search.backend"), "{problem}");
}

#[test]
fn a_backend_that_cannot_work_is_found_when_the_plugin_is_loaded() {
    for (config, expect) in [
        (json!({"type": "bing", "api_key": "k"}), "bing"),
        (json!({"type": "brave"}), "api_key"),
        (json!({"type": "brave", "api_key": " "}), "`backend.api_key`: it is empty"),
        (json!({"type": "searxng", "url": "searxng.local"}), "`backend.url`"),
        (json!({"type": "searxng", "url": "http://s.local", "key": "k"}), "unknown field `key`"),
        (json!({"type": "json", "url": "http://s.local/"}), "`{query}` has to stand"),
        (
            json!({"type": "json", "url": "http://s.local/{query}", "fields": {"title": "name"}}),
            "`backend.fields.title`",
        ),
    ] {
        let host = MockHost::new().config(json!({"backend": config}));
        let problem = host.describe::<WebSearch>().expect_err("a problem");
        assert!(problem.message.contains(expect), "{problem}");
    }
    let manifest = MockHost::new().describe::<WebSearch>().expect("a manifest");
    assert_eq!(
        (&manifest["name"], &manifest["wants"]["hosts"]),
        (&"web-search".into(), &json!(["*"]))
    );
    let tool = &manifest["tools"][0];
    assert_eq!(
        (&tool["name"], &tool["input_schema"]["required"]),
        (&"web_search".into(), &json!(["query"]))
    );
    assert_eq!(tool["options_schema"]["properties"]["max_results"]["maximum"], 25);
}
