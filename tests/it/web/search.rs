//! Searches, by a backend on loopback.
use std::fs;

use serde_json::{Value, json};
use tidegate::gateway::reload::Reloaded;

use super::{Web, failure_of, granted, page_of, site};
use crate::support::gateway::Gateway;
use crate::support::plugins::wasm;
use crate::support::upstream::{Auto, answer, json as json_answer};

/// Where the gateway runs the API's own tools.
const OURS: &str = "egress: { allow_private: [\"127.0.0.0/8\"] }\nmodels: { m: { provider: up, model: up-1, server_tools: gateway } }";

fn tool(options: Value) -> Value {
    let mut tool = json!({"type": "gateway:web_search"});
    for (key, value) in options.as_object().unwrap() {
        tool[key] = value.clone();
    }
    tool
}

/// What a SearXNG server sends.
fn searxng() -> Value {
    let result = |n: usize, domain: &str| {
        json!({
            "url": format!("https://{domain}/page/{n}"), "title": format!("Tides, part {n}"),
            "content": format!("Part {n} &amp; what the <b>moon</b> does"), "engine": "wikipedia",
            "publishedDate": if n == 0 { json!("2026-01-02T00:00:00") } else { json!(null) },
            "parsed_url": ["https", domain, "/", "", "", ""], "score": 1.0, "category": "general",
        })
    };
    let results: Vec<_> = (0..8)
        .map(|n| result(n, if n % 2 == 0 { "sea.example" } else { "news.moon.example" }))
        .collect();
    json!({"query": "tides", "number_of_results": 8, "results": results, "answers": [],
        "corrections": [], "infoboxes": [], "suggestions": ["tide table"], "unresponsive_engines": []})
}

fn config(backend: &Auto) -> Value {
    let mut config = granted(backend.address);
    config["backend"] = json!({"type": "searxng", "url": format!("http://{}", backend.address)});
    config
}

#[tokio::test]
async fn a_search_gives_titles_urls_dates_and_snippets() {
    let backend = site(|_| json_answer(200, &searxng().to_string())).await;
    let web = Web::with("web-search", config(&backend)).await;
    let found = page_of(
        &web.call(&tool(json!({"max_results": 2})), &json!({"query": "tides & moon"})).await,
    );
    assert_eq!(found["query"], "tides & moon");
    assert_eq!(
        found["results"],
        json!([
            {"title": "Tides, part 0", "url": "https://sea.example/page/0",
             "page_age": "2026-01-02T00:00:00", "snippet": "Part 0 & what the moon does"},
            {"title": "Tides, part 1", "url": "https://news.moon.example/page/1",
             "page_age": null, "snippet": "Part 1 & what the moon does"},
        ])
    );
    assert_eq!(backend.seen()[0].0.target(), "/search?q=tides+%26+moon&format=json");
}

#[tokio::test]
async fn results_from_excluded_domains_are_dropped_even_if_the_backend_returns_them() {
    let backend = site(|_| json_answer(200, &searxng().to_string())).await;
    let web = Web::with("web-search", config(&backend)).await;
    for options in
        [json!({"allowed_domains": ["moon.example"]}), json!({"blocked_domains": ["sea.example"]})]
    {
        let found = page_of(&web.call(&tool(options), &json!({"query": "tides"})).await);
        let results = found["results"].as_array().unwrap();
        assert_eq!(results.len(), 4);
        let is_moon = |result: &Value| {
            result["url"].as_str().unwrap().starts_with("https://news.moon.example/")
        };
        assert!(results.iter().all(is_moon), "{found}");
    }
}

#[tokio::test]
async fn a_backend_that_fails_is_a_result_and_the_conversation_goes_on() {
    let backend = site(|target| {
        let is = |word: &str| target.contains(word);
        match target {
            _ if is("busy") => json_answer(429, "{}"),
            _ if is("key") => json_answer(403, "{\"secret\": \"s3cr3t\"}"),
            _ if is("page") => answer(200, "content-type: text/html\r\n", "<p>Sign in"),
            _ if is("broken") => json_answer(500, "{}"),
            _ => Vec::new(),
        }
    })
    .await;
    let mut config = config(&backend);
    config["deadline"] = "1s".into();
    let web = Web::with("web-search", config).await;
    for (query, expect) in [
        ("busy", "429"),
        ("key", "refuses the gateway's key"),
        ("page", "no JSON"),
        ("broken", "status 500"),
        ("silence", "took too long"),
        ("", "`query` is empty"),
    ] {
        let told = failure_of(&web.call(&tool(json!({})), &json!({"query": query})).await);
        assert!(told.contains(expect) && !told.contains("s3cr3t"), "{query}: {told}");
    }
    let long = json!({"query": "x".repeat(401)});
    assert!(failure_of(&web.call(&tool(json!({})), &long).await).contains("at most 400"));
}

#[tokio::test]
async fn a_search_without_a_backend_or_a_grant_names_the_missing_setting() {
    let web = Web::with("web-search", json!({})).await;
    let told = failure_of(&web.call(&tool(json!({})), &json!({"query": "x"})).await);
    assert!(told.contains("plugins.config.web-search.backend"), "{told}");
    let backend = site(|_| json_answer(200, &searxng().to_string())).await;
    let mut config = config(&backend);
    config["allow_hosts"] = json!(["search.example"]);
    let web = Web::with("web-search", config).await;
    let told = failure_of(&web.call(&tool(json!({})), &json!({"query": "x"})).await);
    assert!(told.contains("allow_hosts"), "{told}");
    assert_eq!(backend.count(), 0);
}

#[tokio::test]
async fn the_apis_own_search_is_fulfilled_in_its_own_shape() {
    let backend = site(|target| match target.contains("busy") {
        true => json_answer(429, "{}"),
        false => json_answer(200, &searxng().to_string()),
    })
    .await;
    let web = Web::guarded("web-search", config(&backend), OURS).await;
    let native = json!({"type": "web_search_20250305", "name": "web_search", "allowed_domains": ["sea.example"],
        "user_location": {"type": "approximate", "city": "Kiel", "country": "DE"}});
    for is_streamed in [true, false] {
        let told =
            web.ask(&native, "[sim: call web_search {\"query\": \"tides\"}]", is_streamed).await;
        let results = found(&told).as_array().unwrap();
        assert_eq!(results.len(), 4);
        assert_eq!(
            (
                &results[0]["type"],
                &results[0]["title"],
                &results[0]["url"],
                &results[0]["page_age"]
            ),
            (
                &json!("web_search_result"),
                &json!("Tides, part 0"),
                &json!("https://sea.example/page/0"),
                &json!("2026-01-02T00:00:00")
            )
        );
        assert_eq!(told["usage"]["server_tool_use"]["web_search_requests"], 1);
        let told =
            web.ask(&native, "[sim: call web_search {\"query\": \"busy\"}]", is_streamed).await;
        let failed = found(&told);
        assert_eq!(
            (&failed["type"], &failed["error_code"]),
            (&json!("web_search_tool_result_error"), &json!("too_many_requests"))
        );
    }
}

/// What the result of a search holds.
fn found(message: &Value) -> &Value {
    let mut blocks = message["content"].as_array().unwrap().iter();
    &blocks.find(|block| block["type"] == "web_search_tool_result").unwrap()["content"]
}

/// A request that declares this tool, with these options over its own.
fn declaring(tool: &Value, options: &Value) -> Value {
    let mut declared = tool.as_object().unwrap().clone();
    declared.extend(options.as_object().unwrap().clone());
    json!({"model": "m", "max_tokens": 10, "tools": [declared],
        "messages": [{"role": "user", "content": "hi"}]})
}

#[tokio::test]
async fn a_declaration_with_wrong_domains_is_rejected_before_a_model_receives_it() {
    let web = Web::guarded("web-search", json!({}), OURS).await;
    let native = json!({"type": "web_search_20250305", "name": "web_search"});
    let wrong = [
        (
            json!({"allowed_domains": ["a.example", "https://b.example/"]}),
            "`tools[0].allowed_domains[1]` is `https://b.example/`, which does not match: a domain without a scheme",
        ),
        (
            json!({"blocked_domains": [""]}),
            "`tools[0].blocked_domains[0]` is ``, which does not match",
        ),
        (
            json!({"allowed_domains": ["a.example"], "blocked_domains": ["b.example"]}),
            "`tools[0]` has both `allowed_domains` and `blocked_domains`: use one of them",
        ),
    ];
    for tool in [tool(json!({})), native] {
        for (options, expect) in &wrong {
            let said = web.gateway.ask(&declaring(&tool, options)).await.error(400);
            assert!(said.starts_with(expect), "{said}");
        }
    }
    assert!(web.model.bodies().is_empty());
    for fits in ["a.example/x/*/y", "*.a.example", "127.0.0.1:80", "[::1]", " ä.example "] {
        let body = declaring(&tool(json!({})), &json!({"allowed_domains": [fits]}));
        assert_eq!(web.gateway.ask(&body).await.status, 200, "{fits}");
    }
}

#[tokio::test]
async fn a_wrong_backend_is_a_problem_with_its_place() {
    let sim = "providers: { sim: { type: simulator } }";
    let gateway = Gateway::with().config(sim).model("m", "{ provider: sim }").start().await;
    fs::copy(wasm("web-search"), gateway.folder().join("plugins/web-search.wasm")).unwrap();
    for (backend, expect) in [
        (
            json!({"type": "googl"}),
            "backend.type: must be one of `\"searxng\"`, `\"brave\"`, `\"tavily\"`, `\"exa\"`, `\"json\"`",
        ),
        (json!({"type": "brave"}), "backend.api_key: is missing"),
        (json!({"url": 5, "type": "searxng"}), "backend.url: must be of type string, found number"),
        (
            json!({"type": "json", "url": "http://a/{query}", "fields": {"titel": "/t"}}),
            "backend.fields.titel: is not known: there are",
        ),
    ] {
        let plugins = json!({"config": {"web-search": {"backend": backend}}});
        let config = format!("{sim}\nmodels: {{ m: {{ provider: sim }} }}\nplugins: {plugins}");
        let reloaded = gateway.reload(&config).await;
        let Reloaded::Refused(problems) = reloaded else { panic!("{expect}: {reloaded:?}") };
        let told = problems[0].to_string();
        assert!(told.starts_with(&format!("plugins.config.web-search.{expect}")), "{told}");
    }
}
