//! What search and fetch tools find, in three forms: as their plugin gives it, as an upstream reads
//! it, and as the result blocks that the API has for it. Pure; the third leads back to the second.
use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD as BASE64;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use crate::wire::content::{self, Block};

/// What begins an `encrypted_content` of ours: no upstream's own begins so.
pub const MARK: &str = "tidegate.";
/// The same where the content of a whole result stands behind it.
const MARK_WHOLE: &str = "tidegate.whole.";
/// The member of a fetch result, or of a failure, that keeps what the API's shape has no place for.
const KEPT: &str = "tidegate";

/// What a search plugin gives; each result stays as it was written.
#[derive(Deserialize)]
struct Found<'a> {
    #[serde(borrow)]
    results: Vec<&'a RawValue>,
}

/// What an upstream may cite of a search result, and what it is told besides.
#[derive(Deserialize)]
struct Citable {
    url: String,
    #[serde(default)]
    title: Option<String>,
    #[serde(default)]
    snippet: Option<String>,
    /// Anything else: `page_age`.
    #[serde(flatten)]
    more: Map<String, Value>,
}

/// What of a search result the API's shape shows.
#[derive(Deserialize, Default)]
struct Hit {
    #[serde(default)]
    title: Option<String>,
    #[serde(default)]
    url: Option<String>,
    #[serde(default)]
    page_age: Option<String>,
}

/// What a fetch plugin gives.
#[derive(Deserialize, Serialize)]
struct Page {
    url: String,
    #[serde(default)]
    title: Option<String>,
    text: String,
    #[serde(default)]
    retrieved_at: Option<String>,
    /// Anything else: `content_type`, `truncated`, `next_cursor`.
    #[serde(flatten)]
    more: Map<String, Value>,
}

/// A block of a search result as callers send it back.
#[derive(Deserialize)]
struct Sent {
    #[serde(flatten)]
    hit: Hit,
    #[serde(default)]
    encrypted_content: String,
}

/// A fetch result as callers send it back.
#[derive(Deserialize)]
struct SentPage {
    url: String,
    retrieved_at: Option<String>,
    content: SentDocument,
    #[serde(default, rename = "tidegate")]
    kept: Map<String, Value>,
}

#[derive(Deserialize)]
struct SentDocument {
    title: Option<String>,
    source: SentSource,
}

#[derive(Deserialize)]
struct SentSource {
    #[serde(default)]
    data: String,
}

/// How an upstream gets a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Form {
    /// As text.
    #[default]
    Text,
    /// As blocks that it can cite.
    Citable,
}

/// The search results for an upstream: a JSON list of content blocks. `input` is that of the call,
/// `content` the plugin's, which stays as it is where it is nothing of the kind.
pub fn search_for_upstream(input: &[u8], content: &str, form: Form) -> String {
    let Some(text) = only_text(content) else { return content.to_owned() };
    match serde_json::from_str::<Found<'_>>(&text) {
        Ok(found) => search_content(input, &found.results, form),
        Err(_) => content.to_owned(),
    }
}

/// The same as the `content` of a `web_search_tool_result`.
pub fn search_for_caller(content: &str) -> String {
    let text = only_text(content).unwrap_or_default();
    match serde_json::from_str::<Found<'_>>(&text) {
        Ok(found) => found.results.into_iter().map(shown_hit).collect::<Value>().to_string(),
        Err(_) => {
            let whole = format!("{MARK_WHOLE}{}", BASE64.encode(content));
            json!([hit_block(Hit::default(), &whole)]).to_string()
        }
    }
}

/// The way back: what [`search_for_upstream`] gave.
pub fn search_from_caller(input: &[u8], content: &str, form: Form) -> String {
    let sent: Vec<Sent> = serde_json::from_str(content).unwrap_or_default();
    if let [only] = sent.as_slice()
        && let Some(whole) = only.encrypted_content.strip_prefix(MARK_WHOLE)
        && let Some(content) = decoded(whole).filter(|content| is_content(content))
    {
        return content;
    }
    let results: Vec<Box<RawValue>> = sent.into_iter().filter_map(Sent::restored).collect();
    let results: Vec<&RawValue> = results.iter().map(|result| &**result).collect();
    search_content(input, &results, form)
}

fn search_content(input: &[u8], results: &[&RawValue], form: Form) -> String {
    let blocks: Option<Vec<Value>> = match form {
        Form::Text => None,
        Form::Citable => results.iter().map(|result| citable_block(result)).collect(),
    };
    match blocks {
        Some(blocks) if !blocks.is_empty() => Value::Array(blocks).to_string(),
        _ => search_text(input, results),
    }
}

/// A result that can be cited; none without an address to cite it by. The snippet stands alone: a
/// citation names whole blocks.
fn citable_block(result: &RawValue) -> Option<Value> {
    let Citable { url, title, snippet, more } = serde_json::from_str(result.get()).ok()?;
    let is_told = |text: &String| !text.trim().is_empty();
    if !is_told(&url) {
        return None;
    }
    let title = title.filter(is_told).unwrap_or_else(|| url.clone());
    let snippet = snippet.filter(is_told).unwrap_or_else(|| title.clone());
    let mut content = vec![json!({"type": "text", "text": snippet})];
    let more: Map<String, Value> = more.into_iter().filter(|(_, value)| !value.is_null()).collect();
    if !more.is_empty() {
        content.push(json!({"type": "text", "text": Value::Object(more).to_string()}));
    }
    Some(json!({
        "type": "search_result",
        "source": url,
        "title": title,
        "content": content,
        "citations": {"enabled": true},
    }))
}

fn search_text(input: &[u8], results: &[&RawValue]) -> String {
    #[derive(Deserialize, Default)]
    struct Asked {
        #[serde(default)]
        query: Value,
    }
    #[derive(Serialize)]
    struct Told<'a> {
        query: Value,
        results: &'a [&'a RawValue],
    }
    let asked: Asked = serde_json::from_slice(input).unwrap_or_default();
    text_block(&Told { query: asked.query, results })
}

fn shown_hit(result: &RawValue) -> Value {
    let hit: Hit = serde_json::from_str(result.get()).unwrap_or_default();
    hit_block(hit, &sealed(result.get()))
}

fn hit_block(hit: Hit, hidden: &str) -> Value {
    json!({
        "type": "web_search_result",
        "title": hit.title.unwrap_or_default(),
        "url": hit.url.unwrap_or_default(),
        "page_age": hit.page_age,
        "encrypted_content": hidden,
    })
}

impl Sent {
    /// The result as the plugin wrote it, or what is left of it.
    fn restored(self) -> Option<Box<RawValue>> {
        let hidden = unsealed(&self.encrypted_content);
        if let Some(result) = hidden.and_then(|text| RawValue::from_string(text).ok()) {
            return Some(result);
        }
        let Hit { title, url, page_age } = self.hit;
        let left = json!({"title": title, "url": url, "page_age": page_age});
        RawValue::from_string(left.to_string()).ok()
    }
}

/// A fetched page for an upstream, as [`search_for_upstream`].
pub fn page_for_upstream(content: &str, form: Form) -> String {
    match page_of(content) {
        Some(page) => page_content(page, form),
        None => content.to_owned(),
    }
}

/// A document holds the text that the caller is shown, so that a place in it means the same to both.
fn page_content(page: Page, form: Form) -> String {
    if form == Form::Text || page.text.trim().is_empty() {
        return text_block(&page);
    }
    let Page { url, title, text, retrieved_at, more } = page;
    let mut told = Map::from_iter([("url".to_owned(), url.into())]);
    told.extend(retrieved_at.map(|at| ("retrieved_at".to_owned(), at.into())));
    told.extend(more);
    json!([{
        "type": "document",
        "source": {"type": "text", "media_type": "text/plain", "data": text},
        "title": title,
        "context": Value::Object(told).to_string(),
        "citations": {"enabled": true},
    }])
    .to_string()
}

/// The same as the `content` of a `web_fetch_tool_result`; `input` is that of the call.
pub fn page_for_caller(input: &[u8], content: &str, is_cited: bool) -> String {
    #[derive(Deserialize, Default)]
    struct Asked {
        #[serde(default)]
        url: String,
    }
    let page = page_of(content).unwrap_or_else(|| {
        let asked: Asked = serde_json::from_slice(input).unwrap_or_default();
        let whole = serde_json::from_str(content).unwrap_or_default();
        let more = Map::from_iter([("content".to_owned(), whole)]);
        let text = only_text(content).unwrap_or_default();
        Page { url: asked.url, title: None, text, retrieved_at: None, more }
    });
    let mut shown = json!({
        "type": "web_fetch_result",
        "url": page.url,
        "retrieved_at": page.retrieved_at,
        "content": {
            "type": "document",
            "source": {"type": "text", "media_type": "text/plain", "data": page.text},
            "title": page.title,
            "citations": is_cited.then(|| json!({"enabled": true})),
        },
    });
    if !page.more.is_empty() {
        shown[KEPT] = page.more.into();
    }
    shown.to_string()
}

/// The way back: what [`page_for_upstream`] gave.
pub fn page_from_caller(content: &str, form: Form) -> Option<String> {
    let mut sent: SentPage = serde_json::from_str(content).ok()?;
    if let Some(whole) = sent.kept.remove("content") {
        return Some(whole.to_string());
    }
    let SentDocument { title, source } = sent.content;
    let SentPage { url, retrieved_at, kept, .. } = sent;
    let page = Page { url, title, text: source.data, retrieved_at, more: kept };
    Some(page_content(page, form))
}

fn page_of(content: &str) -> Option<Page> {
    serde_json::from_str(&only_text(content)?).ok()
}

/// The text of a content that is one text block.
fn only_text(content: &str) -> Option<String> {
    let blocks = content::elements(content.as_bytes());
    let [only] = blocks.as_slice() else { return None };
    let block = Block::of(only).filter(|block| block.is("text"))?;
    block.text().map(Cow::into_owned)
}

fn text_block(told: &impl Serialize) -> String {
    text_of(&serde_json::to_string(told).unwrap_or_default())
}

fn text_of(text: &str) -> String {
    json!([{"type": "text", "text": text}]).to_string()
}

/// What of ours stands in a string that callers keep and send back without a look into it.
pub fn sealed(text: &str) -> String {
    format!("{MARK}{}", BASE64.encode(text))
}

/// The way back of [`sealed`].
pub fn unsealed(text: &str) -> Option<String> {
    text.strip_prefix(MARK).and_then(decoded)
}

/// What has been with a caller is written into a request only as a whole list of blocks.
fn is_content(text: &str) -> bool {
    serde_json::from_str::<Vec<&RawValue>>(text).is_ok()
}

fn decoded(text: &str) -> Option<String> {
    String::from_utf8(BASE64.decode(text).ok()?).ok()
}

/// A failure as the `content` of a result of this type. The API has a code for it and no words: those
/// that the model has read are kept beside it.
pub fn failure_for_caller(kind: &str, code: &str, content: &str) -> String {
    json!({"type": format!("{kind}_error"), "error_code": code, KEPT: sealed(content)}).to_string()
}

/// The way back; `None` if the content is no failure. Of one that was not kept the code is left.
pub fn failure_from_caller(content: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Failure {
        error_code: String,
        #[serde(default, rename = "tidegate")]
        kept: Option<String>,
    }
    let failure: Failure = serde_json::from_str(content).ok()?;
    let kept = failure.kept.as_deref().and_then(unsealed);
    Some(kept.filter(|kept| is_content(kept)).unwrap_or_else(|| text_of(&failure.error_code)))
}

/// The code of a search's failure, as the API names it.
pub fn search_code(code: Option<&str>) -> &'static str {
    const CODES: [&str; 6] = [
        "invalid_tool_input",
        "unavailable",
        "max_uses_exceeded",
        "too_many_requests",
        "query_too_long",
        "request_too_large",
    ];
    known(code, &CODES)
}

/// The same of a fetch's.
pub fn fetch_code(code: Option<&str>) -> &'static str {
    const CODES: [&str; 10] = [
        "invalid_tool_input",
        "url_too_long",
        "url_not_allowed",
        "url_not_in_prior_context",
        "url_not_accessible",
        "unsupported_content_type",
        "too_many_requests",
        "max_uses_exceeded",
        "unavailable",
        "content_too_large",
    ];
    known(code, &CODES)
}

/// Clients know the API's own codes only.
fn known(code: Option<&str>, codes: &[&'static str]) -> &'static str {
    let code = match code {
        Some("invalid_input") => "invalid_tool_input",
        Some(code) => code,
        None => "unavailable",
    };
    codes.iter().find(|known| **known == code).copied().unwrap_or("unavailable")
}
