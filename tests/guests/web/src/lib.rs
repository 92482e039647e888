//! A web without a network, for the tests of the tool loop: the question contains the search
//! results and the pages.
use serde_json::json;
use tidegate_sdk::prelude::*;

struct Web;

#[derive(Deserialize, JsonSchema)]
struct Query {
    query: String,
}

#[derive(Deserialize, JsonSchema)]
struct Address {
    url: String,
}

#[derive(Deserialize, JsonSchema)]
struct Question {
    /// A whole Messages request, as JSON text.
    request: String,
}

#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Options {
    #[schemars(range(min = 1, max = 100))]
    #[serde(default = "ten")]
    max_uses: u32,
    #[schemars(range(min = 1, max = 100_000))]
    max_chars: Option<u32>,
    allowed_domains: Option<Vec<String>>,
    blocked_domains: Option<Vec<String>>,
    user_location: Option<serde_json::Value>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Twice {
    #[schemars(range(min = 1, max = 5))]
    #[serde(default = "two")]
    max_uses: u32,
    /// Whether the loop adds the transcript, which a caller cannot set.
    #[serde(default)]
    forward_transcript: bool,
    #[schemars(skip)]
    transcript: Option<serde_json::Value>,
}

fn ten() -> u32 {
    10
}

fn two() -> u32 {
    2
}

impl Plugin for Web {
    type Config = NoConfig;
    const WANTS: Wants = Wants::NOTHING.models(&["*"]);

    fn new(_: NoConfig) -> Result<Self> {
        Ok(Self)
    }

    fn tools() -> Vec<Tool<Self>> {
        vec![
            Tool::new("web_search", "Searches.", |_: &Self, asked: Query, options: Options| {
                search(&asked.query, &options)
            }),
            Tool::new("web_fetch", "Fetches.", |_: &Self, asked: Address, options: Options| {
                fetch(&asked.url, &options)
            }),
            Tool::new("twice", "Works twice.", |_: &Self, _: NoInput, options: Twice| {
                Ok(Json(json!({
                    "max_uses": options.max_uses,
                    "forward_transcript": options.forward_transcript,
                    "transcript": options.transcript,
                })))
            }),
            Tool::new("asks", "Asks a model.", |_: &Self, asked: Question, _: NoOptions| {
                let request = serde_json::from_str(&asked.request)
                    .map_err(|e| Problem::invalid_input(e.to_string()))?;
                Ok(Json(host::model_call(&request)?))
            }),
        ]
    }
}

/// Searches: `fail CODE` fails with that code, `nothing` finds nothing, `plain` is not JSON; any
/// other query has two results.
fn search(query: &str, options: &Options) -> Result<String> {
    if let Some(code) = query.strip_prefix("fail ") {
        return Err(Problem::new(code, "the search went wrong"));
    }
    let results = match query {
        "plain" => return Ok("no results of the usual form".to_owned()),
        "nothing" => vec![],
        _ => vec![
            json!({"title": format!("About {query}"), "url": "https://a.test/1", "page_age": "3 days ago", "snippet": "One \"snippet\"."}),
            json!({"title": "Options", "url": "https://b.test/2", "page_age": null, "snippet": told(options)}),
        ],
    };
    Ok(json!({"query": query, "results": results}).to_string())
}

/// Fetches: `https://fail.test/CODE` fails with that code, and `https://long.test/` has a next
/// part.
fn fetch(url: &str, options: &Options) -> Result<String> {
    if let Some(code) = url.strip_prefix("https://fail.test/") {
        return Err(Problem::new(code, "the page went wrong"));
    }
    let is_long = url.starts_with("https://long.test/");
    let page = json!({
        "url": url,
        "title": "A page",
        "content_type": "text/html",
        "text": format!("# A page\n\n{}", told(options)),
        "truncated": is_long,
        "next_cursor": is_long.then_some("12000"),
        "retrieved_at": "2026-11-21T12:00:00Z",
    });
    Ok(page.to_string())
}

fn told(options: &Options) -> String {
    json!({
        "max_uses": options.max_uses,
        "max_chars": options.max_chars,
        "allowed_domains": options.allowed_domains,
        "blocked_domains": options.blocked_domains,
        "user_location": options.user_location,
    })
    .to_string()
}

tidegate_sdk::export!(Web);
