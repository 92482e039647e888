//! The search backends: services and servers, each with its own requests.
use std::collections::BTreeMap;

use serde_json::{Value, json};
use tidegate_sdk::prelude::*;
use url::Url;

use crate::found::{Found, Pointers};
use crate::location::Location;

/// The largest response in bytes: responses are lists of short texts.
const MAX_BYTES: u32 = 4 << 20;

/// The search backend.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "lowercase", deny_unknown_fields)]
pub enum Backend {
    /// A SearXNG server, with `json` among its `search.formats`.
    Searxng {
        /// The address of the server, such as `http://searxng.local:8080`.
        url: String,
    },
    /// Brave Search.
    Brave {
        /// The key from the service.
        api_key: String,
        /// An address to use instead of the service's own.
        url: Option<String>,
    },
    /// Tavily.
    Tavily {
        /// The key from the service.
        api_key: String,
        /// An address to use instead of the service's own.
        url: Option<String>,
    },
    /// Exa.
    Exa {
        /// The key from the service.
        api_key: String,
        /// An address to use instead of the service's own.
        url: Option<String>,
    },
    /// Any server that answers a `GET` with JSON.
    Json {
        /// The address, with `{query}` in the place of the query, and optionally `{max_results}`.
        url: String,
        /// The key, sent as `authorization: Bearer …`.
        api_key: Option<String>,
        /// Further headers.
        #[serde(default)]
        headers: BTreeMap<String, String>,
        /// The places of the parts in a response.
        #[serde(default)]
        fields: Fields,
    },
}

/// JSON pointers: `results` within the response, the others within a result.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Fields {
    /// The list of results; `/results` if left out.
    results: String,
    /// The title; `/title` if left out.
    title: String,
    /// The URL; `/url` if left out.
    url: String,
    /// The snippet; `/snippet` if left out.
    snippet: String,
    /// The date; `/date` if left out.
    date: String,
}

impl Default for Fields {
    fn default() -> Self {
        let text = str::to_owned;
        Self {
            results: text("/results"),
            title: text("/title"),
            url: text("/url"),
            snippet: text("/snippet"),
            date: text("/date"),
        }
    }
}

/// The query of a search, and its limits.
pub struct Question<'a> {
    /// The query, as in the model's input.
    pub query: &'a str,
    /// The number of results to return.
    pub wanted: usize,
    /// The allowed domains of the declaration, already parsed.
    pub allowed: &'a [String],
    /// The blocked domains of the declaration, already parsed.
    pub blocked: &'a [String],
    /// The user's location, as far as it is known.
    pub location: Location,
}

impl Backend {
    /// Fails if a setting cannot work.
    pub fn check(&self) -> Result<()> {
        let wrong = |key: &str, message: &str| {
            Err(Problem::new("invalid_config", format!("`backend.{key}`: {message}")))
        };
        let (url, key) = match self {
            Self::Searxng { url } => (Some(url), None),
            Self::Brave { url, api_key }
            | Self::Tavily { url, api_key }
            | Self::Exa { url, api_key } => (url.as_ref(), Some(api_key)),
            Self::Json { url, api_key, .. } => (Some(url), api_key.as_ref()),
        };
        if key.is_some_and(|key| key.trim().is_empty()) {
            return wrong("api_key", "it is empty: expected the service's key");
        }
        let parsed = url.map(|url| Url::parse(url));
        let is_http = |url: &Url| matches!(url.scheme(), "http" | "https");
        if parsed.is_some_and(|parsed| !parsed.is_ok_and(|url| is_http(&url))) {
            return wrong("url", "no URL such as `https://search.example.com`");
        }
        match self {
            Self::Json { url, .. } if !url.contains("{query}") => {
                wrong("url", "`{query}` has to stand where the query belongs")
            }
            Self::Json { fields, .. } => match fields.wrong() {
                Some(name) => {
                    wrong(&format!("fields.{name}"), "a JSON pointer is needed, such as `/title`")
                }
                None => Ok(()),
            },
            _ => Ok(()),
        }
    }

    /// Runs a search. The results may include some outside the limits.
    pub fn search(&self, question: &Question<'_>) -> Result<Vec<Found>> {
        let (request, results, pointers) = match self {
            Self::Searxng { url } => (searxng(url, question)?, "/results", SEARXNG),
            Self::Brave { api_key, url } => {
                let url =
                    url.as_deref().unwrap_or("https://api.search.brave.com/res/v1/web/search");
                (brave(url, api_key, question)?, "/web/results", BRAVE)
            }
            Self::Tavily { api_key, url } => {
                let url = url.as_deref().unwrap_or("https://api.tavily.com/search");
                (tavily(url, api_key, question)?, "/results", TAVILY)
            }
            Self::Exa { api_key, url } => {
                let url = url.as_deref().unwrap_or("https://api.exa.ai/search");
                (exa(url, api_key, question)?, "/results", EXA)
            }
            Self::Json { url, api_key, headers, fields } => {
                let request = plain(url, question).header("accept", "application/json");
                let request = match api_key {
                    Some(key) => request.header("authorization", format!("Bearer {key}")),
                    None => request,
                };
                let request =
                    headers.iter().fold(request, |made, (name, value)| made.header(name, value));
                (request, fields.results.as_str(), fields.pointers())
            }
        };
        let answer = request.max_bytes(MAX_BYTES).send().map_err(unreachable)?;
        let told: Value = read(&answer)?;
        let list = match told.pointer(results) {
            Some(Value::Array(list)) => list.as_slice(),
            // a service without results may leave out its list
            None | Some(Value::Null) => &[],
            Some(_) => {
                return Err(Problem::unavailable("the search backend sent no list of results"));
            }
        };
        Ok(list.iter().filter_map(|value| Found::read(value, &pointers)).collect())
    }
}

impl Fields {
    fn wrong(&self) -> Option<&'static str> {
        let named = [
            ("results", &self.results),
            ("title", &self.title),
            ("url", &self.url),
            ("snippet", &self.snippet),
            ("date", &self.date),
        ];
        let wrong = |pointer: &str| !pointer.is_empty() && !pointer.starts_with('/');
        named.into_iter().find(|(_, pointer)| wrong(pointer)).map(|(name, _)| name)
    }

    fn pointers(&self) -> Pointers<'_> {
        Pointers {
            title: &self.title,
            url: &self.url,
            page_age: &self.date,
            snippet: &self.snippet,
        }
    }
}

const SEARXNG: Pointers<'_> =
    Pointers { title: "/title", url: "/url", page_age: "/publishedDate", snippet: "/content" };
const BRAVE: Pointers<'_> =
    Pointers { title: "/title", url: "/url", page_age: "/page_age", snippet: "/description" };
const TAVILY: Pointers<'_> =
    Pointers { title: "/title", url: "/url", page_age: "/published_date", snippet: "/content" };
const EXA: Pointers<'_> =
    Pointers { title: "/title", url: "/url", page_age: "/publishedDate", snippet: "/text" };

fn searxng(url: &str, question: &Question<'_>) -> Result<http::Request> {
    let base = url.trim_end_matches('/').trim_end_matches("/search");
    let query = with_sites(question);
    let pairs = [("q", query.as_str()), ("format", "json")];
    Ok(http::get(with_pairs(&format!("{base}/search"), &pairs)?)
        .header("accept", "application/json"))
}

fn brave(url: &str, key: &str, question: &Question<'_>) -> Result<http::Request> {
    let query = with_sites(question);
    let count = asked_for(question, 20).to_string();
    let location = &question.location;
    let country = location.country.as_deref().map(str::to_uppercase);
    let mut pairs = vec![("q", query.as_str()), ("count", &count), ("text_decorations", "false")];
    if let Some(country) = &country {
        pairs.push(("country", country));
    }
    let mut request = http::get(with_pairs(url, &pairs)?)
        .header("accept", "application/json")
        .header("x-subscription-token", key);
    let told = [
        ("x-loc-city", &location.city),
        ("x-loc-state-name", &location.region),
        ("x-loc-country", &country),
        ("x-loc-timezone", &location.timezone),
    ];
    for (name, value) in told {
        if let Some(value) = value.as_ref().filter(|value| value.is_ascii()) {
            request = request.header(name, value);
        }
    }
    Ok(request)
}

fn tavily(url: &str, key: &str, question: &Question<'_>) -> Result<http::Request> {
    let mut body = json!({"query": question.query, "max_results": asked_for(question, 20)});
    add_domains(&mut body, question, ["include_domains", "exclude_domains"]);
    http::post(url).header("authorization", format!("Bearer {key}")).json(&body)
}

fn exa(url: &str, key: &str, question: &Question<'_>) -> Result<http::Request> {
    let mut body = json!({
        "query": question.query,
        "numResults": asked_for(question, 25),
        "contents": {"text": {"maxCharacters": 1000}},
    });
    add_domains(&mut body, question, ["includeDomains", "excludeDomains"]);
    if let Some(country) = &question.location.country {
        body["userLocation"] = country.to_uppercase().into();
    }
    http::post(url).header("x-api-key", key).json(&body)
}

fn plain(url: &str, question: &Question<'_>) -> http::Request {
    let query: String = url::form_urlencoded::byte_serialize(question.query.as_bytes()).collect();
    // a `+` means a space only in a query
    let query = query.replace('+', "%20");
    let url = url.replace("{max_results}", &asked_for(question, 25).to_string());
    http::get(url.replace("{query}", &query))
}

/// Returns the number of results to request: more if some may be filtered out.
fn asked_for(question: &Question<'_>, most: usize) -> usize {
    let is_sifted = !question.allowed.is_empty() || !question.blocked.is_empty();
    if is_sifted { most } else { question.wanted.min(most) }
}

/// Returns the query with the search operators for domains.
fn with_sites(question: &Question<'_>) -> String {
    let mut query = question.query.to_owned();
    let allowed: Vec<_> =
        question.allowed.iter().map(|rule| format!("site:{}", domain(rule))).collect();
    match allowed.as_slice() {
        [] => {}
        [one] => query.push_str(&format!(" {one}")),
        several => query.push_str(&format!(" ({})", several.join(" OR "))),
    }
    for rule in whole(question.blocked) {
        query.push_str(&format!(" -site:{}", domain(rule)));
    }
    query
}

fn add_domains(body: &mut Value, question: &Question<'_>, names: [&str; 2]) {
    let allowed: Vec<_> = question.allowed.iter().map(|rule| domain(rule)).collect();
    let blocked: Vec<_> = whole(question.blocked).map(|rule| domain(rule)).collect();
    for (name, domains) in names.into_iter().zip([allowed, blocked]) {
        if !domains.is_empty() {
            body[name] = domains.into();
        }
    }
}

/// Returns the rules for whole domains: a block of one path must not block its domain.
fn whole(rules: &[String]) -> impl Iterator<Item = &String> {
    rules.iter().filter(|rule| !rule.contains('/'))
}

fn domain(rule: &str) -> &str {
    rule.trim().split('/').next().unwrap_or_default().trim_start_matches("*.")
}

fn with_pairs(url: &str, pairs: &[(&str, &str)]) -> Result<String> {
    let mut url = Url::parse(url)
        .map_err(|e| Problem::new("unavailable", format!("`backend.url` is no URL: {e}")))?;
    url.query_pairs_mut().extend_pairs(pairs);
    Ok(url.into())
}

fn read(answer: &http::Response) -> Result<Value> {
    match answer.status {
        200..300 => {}
        429 => {
            let message = "the search backend takes no more requests at the moment (429)";
            return Err(Problem { retryable: true, ..Problem::new("too_many_requests", message) });
        }
        // a mistake of the operator, which the model cannot repair
        401 | 403 => {
            let message =
                "the search backend refuses the gateway's key: the operator has to look after it";
            return Err(Problem::new("unavailable", message));
        }
        status => {
            return Err(Problem::unavailable(format!(
                "the search backend answers with status {status}"
            )));
        }
    }
    if answer.truncated {
        return Err(Problem::unavailable("the search backend sent more than can be read"));
    }
    serde_json::from_slice(&answer.body)
        .map_err(|_| Problem::unavailable("the search backend sent no JSON"))
}

/// Hides the URL of the backend, which belongs to the operator. The model only learns whether a
/// retry may help.
fn unreachable(problem: Problem) -> Problem {
    host::log(host::Level::Error, &format!("the search backend: {problem}"));
    let message = match problem.code.as_str() {
        "not_granted" => {
            "the search backend is not among `allow_hosts` of this plugin: the operator has to add it"
        }
        "url_not_allowed" => {
            "the search backend is not on the public internet: the operator may allow it in `egress.allow_private`"
        }
        "timeout" => "the search backend took too long",
        _ => "the search backend cannot be reached",
    };
    Problem { retryable: problem.retryable, ..Problem::new("unavailable", message) }
}
