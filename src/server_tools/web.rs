//! Search and fetch results in three forms: the plugin's, the upstream's, and the API's own result
//! blocks for callers. Pure; the third form converts back to the second.
use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD as BASE64;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use crate::wire::content::{self, Block};

/// The prefix of an `encrypted_content` of the gateway. No upstream uses this prefix.
pub(crate) const MARK: &str = "tidegate.";
/// The prefix of an `encrypted_content` that holds the content of a whole result.
const MARK_WHOLE: &str = "tidegate.whole.";
/// The member of a fetch result, or of a failure, for data that the API's shape has no place for.
const KEPT: &str = "tidegate";

/// The output of a search plugin. Each result stays as the plugin wrote it.
#[derive(Deserialize)]
struct Found<'a> {
    #[serde(borrow)]
    results: Vec<&'a RawValue>,
}

/// A search result: the parts that an upstream may cite, and the additional ones.
#[derive(Deserialize)]
struct Citable {
    url: String,
    #[serde(default)]
    title: Option<String>,
    #[serde(default)]
    snippet: Option<String>,
    /// All other members, such as `page_age`.
    #[serde(flatten)]
    more: Map<String, Value>,
}

/// The parts of a search result in the API's shape.
#[derive(Deserialize, Default)]
struct Hit {
    #[serde(default)]
    title: Option<String>,
    #[serde(default)]
    url: Option<String>,
    #[serde(default)]
    page_age: Option<String>,
}

/// The output of a fetch plugin.
#[derive(Deserialize, Serialize)]
struct Page {
    url: String,
    #[serde(default)]
    title: Option<String>,
    text: String,
    #[serde(default)]
    retrieved_at: Option<String>,
    /// All other members, such as `content_type`, `truncated` and `next_cursor`.
    #[serde(flatten)]
    more: Map<String, Value>,
}

/// A block of a search result, as callers send it back.
#[derive(Deserialize)]
struct Sent {
    #[serde(flatten)]
    hit: Hit,
    #[serde(default)]
    encrypted_content: String,
}

/// A fetch result, as callers send it back.
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

/// The form in which an upstream receives a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Form {
    /// As text.
    #[default]
    Text,
    /// As blocks that the model can cite.
    Citable,
}

/// Converts a plugin's search results into the upstream's form, a JSON list of content blocks.
/// `input` is the input of the call. `content` is the plugin's output; if it holds no search
/// results, it is returned unchanged.
pub(crate) fn search_for_upstream(input: &[u8], content: &str, form: Form) -> String {
    let Some(text) = only_text(content) else { return content.to_owned() };
    match serde_json::from_str::<Found<'_>>(&text) {
        Ok(found) => search_content(input, &found.results, form),
        Err(_) => content.to_owned(),
    }
}

/// Converts a plugin's search results into the `content` of a `web_search_tool_result`.
pub(crate) fn search_for_caller(content: &str) -> String {
    let text = only_text(content).unwrap_or_default();
    match serde_json::from_str::<Found<'_>>(&text) {
        Ok(found) => found.results.into_iter().map(shown_hit).collect::<Value>().to_string(),
        Err(_) => {
            let whole = format!("{MARK_WHOLE}{}", BASE64.encode(content));
            json!([hit_block(Hit::default(), &whole)]).to_string()
        }
    }
}

/// Converts results that a caller sent back into the output of [`search_for_upstream`].
pub(crate) fn search_from_caller(input: &[u8], content: &str, form: Form) -> String {
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

/// Returns a citable block for a result, or `None` if it has no URL. The snippet has a block of its
/// own, because a citation names whole blocks.
fn citable_block(result: &RawValue) -> Option<Value> {
    let Citable { url, title, snippet, more } = serde_json::from_str(result.get()).ok()?;
    let has_text = |text: &String| !text.trim().is_empty();
    if !has_text(&url) {
        return None;
    }
    let title = title.filter(has_text).unwrap_or_else(|| url.clone());
    let snippet = snippet.filter(has_text).unwrap_or_else(|| title.clone());
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
    struct Input {
        #[serde(default)]
        query: Value,
    }
    #[derive(Serialize)]
    struct Content<'a> {
        query: Value,
        results: &'a [&'a RawValue],
    }
    let input: Input = serde_json::from_slice(input).unwrap_or_default();
    text_block(&Content { query: input.query, results })
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
    /// Returns the result as the plugin wrote it, or its remaining parts.
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

/// Converts a fetched page into the upstream's form, like [`search_for_upstream`].
pub(crate) fn page_for_upstream(content: &str, form: Form) -> String {
    match page_of(content) {
        Some(page) => page_content(page, form),
        None => content.to_owned(),
    }
}

/// Returns the content of a page. A document holds the same text as the caller's, so a position in
/// it means the same to both sides.
fn page_content(page: Page, form: Form) -> String {
    if form == Form::Text || page.text.trim().is_empty() {
        return text_block(&page);
    }
    let Page { url, title, text, retrieved_at, more } = page;
    let mut context = Map::from_iter([("url".to_owned(), url.into())]);
    context.extend(retrieved_at.map(|at| ("retrieved_at".to_owned(), at.into())));
    context.extend(more);
    json!([{
        "type": "document",
        "source": {"type": "text", "media_type": "text/plain", "data": text},
        "title": title,
        "context": Value::Object(context).to_string(),
        "citations": {"enabled": true},
    }])
    .to_string()
}

/// Converts a fetched page into the `content` of a `web_fetch_tool_result`. `input` is the input of
/// the call.
pub(crate) fn page_for_caller(input: &[u8], content: &str, is_cited: bool) -> String {
    #[derive(Deserialize, Default)]
    struct Input {
        #[serde(default)]
        url: String,
    }
    let page = page_of(content).unwrap_or_else(|| {
        let input: Input = serde_json::from_slice(input).unwrap_or_default();
        let whole = serde_json::from_str(content).unwrap_or_default();
        let more = Map::from_iter([("content".to_owned(), whole)]);
        let text = only_text(content).unwrap_or_default();
        Page { url: input.url, title: None, text, retrieved_at: None, more }
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

/// Converts a page that a caller sent back into the output of [`page_for_upstream`].
pub(crate) fn page_from_caller(content: &str, form: Form) -> Option<String> {
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

/// Returns the text of a content with exactly one text block.
fn only_text(content: &str) -> Option<String> {
    let blocks = content::elements(content.as_bytes());
    let [only] = blocks.as_slice() else { return None };
    let block = Block::of(only).filter(|block| block.is("text"))?;
    block.text().map(Cow::into_owned)
}

fn text_block(content: &impl Serialize) -> String {
    text_of(&serde_json::to_string(content).unwrap_or_default())
}

fn text_of(text: &str) -> String {
    json!([{"type": "text", "text": text}]).to_string()
}

/// Encodes a text of the gateway as a string that callers keep and send back unread.
pub(crate) fn sealed(text: &str) -> String {
    format!("{MARK}{}", BASE64.encode(text))
}

/// Decodes a string of [`sealed`].
pub(crate) fn unsealed(text: &str) -> Option<String> {
    text.strip_prefix(MARK).and_then(decoded)
}

/// Returns whether a text is a list of blocks. Text that a caller could change is written into a
/// request only as a whole list.
fn is_content(text: &str) -> bool {
    serde_json::from_str::<Vec<&RawValue>>(text).is_ok()
}

fn decoded(text: &str) -> Option<String> {
    String::from_utf8(BASE64.decode(text).ok()?).ok()
}

/// Converts a failure into the `content` of a result of this type. The API has a code but no text
/// for it, so the text that the model read is kept beside the code.
pub(crate) fn failure_for_caller(kind: &str, code: &str, content: &str) -> String {
    json!({"type": format!("{kind}_error"), "error_code": code, KEPT: sealed(content)}).to_string()
}

/// Converts a failure that a caller sent back. Returns `None` if the content is no failure. If its
/// text was not kept, the code replaces it.
pub(crate) fn failure_from_caller(content: &str) -> Option<String> {
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

/// Returns the API's code for a failed search.
pub(crate) fn search_code(code: Option<&str>) -> &'static str {
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

/// Returns the API's code for a failed fetch.
pub(crate) fn fetch_code(code: Option<&str>) -> &'static str {
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

/// Maps a code to one that clients know: they know the API's own codes only.
fn known(code: Option<&str>, codes: &[&'static str]) -> &'static str {
    let code = match code {
        Some("invalid_input") => "invalid_tool_input",
        Some(code) => code,
        None => "unavailable",
    };
    codes.iter().find(|known| **known == code).copied().unwrap_or("unavailable")
}
