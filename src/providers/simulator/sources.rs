//! The possible citations of a request: `search_result` and `document` blocks, counted like the
//! API.
use serde_json::{Value, json};

/// The length of a cited text of a document, in characters.
const CITED: usize = 40;

/// Returns all possible citations, in the form of an answer.
pub(crate) fn citations(messages: &[Value]) -> Vec<Value> {
    let sources = Sources::of(messages);
    let results = sources.results.iter().enumerate().map(|(n, result)| of_result(n, result));
    let documents =
        sources.documents.iter().enumerate().map(|(n, document)| of_document(n, document));
    results.chain(documents).flatten().collect()
}

/// Checks sources and citations like the API. `has_format`: the answer has a schema.
pub(crate) fn check(messages: &[Value], has_format: bool) -> Result<(), String> {
    let sources = Sources::of(messages);
    for result in &sources.results {
        check_result(result)?;
    }
    let asked: Vec<&Value> = sources.results.iter().chain(&sources.asked).copied().collect();
    let count = asked.iter().filter(|block| cites(block)).count();
    if count > 0 && count < asked.len() {
        return Err(
            "citations: must be enabled on all documents and search results, or on none".to_owned()
        );
    }
    if count > 0 && has_format {
        return Err("output_config.format: cannot be used with citations".to_owned());
    }
    let said = messages.iter().filter(|message| message["role"] == "assistant");
    let texts = said.flat_map(|message| listed(&message["content"]));
    texts.flat_map(|text| listed(&text["citations"])).try_for_each(|told| sources.check(told))
}

#[derive(Default)]
struct Sources<'a> {
    results: Vec<&'a Value>,
    documents: Vec<&'a Value>,
    /// The documents that the user sent.
    asked: Vec<&'a Value>,
}

impl<'a> Sources<'a> {
    fn of(messages: &'a [Value]) -> Self {
        let mut sources = Self::default();
        for block in messages.iter().flat_map(|message| listed(&message["content"])) {
            sources.visit(block);
        }
        sources
    }

    fn visit(&mut self, block: &'a Value) {
        match block["type"].as_str() {
            Some("search_result") => self.results.push(block),
            Some("document") => {
                self.documents.push(block);
                self.asked.push(block);
            }
            Some("tool_result") => {
                listed(&block["content"]).iter().for_each(|block| self.visit(block));
            }
            Some("web_fetch_tool_result") if block["content"]["content"].is_object() => {
                self.documents.push(&block["content"]["content"]);
            }
            _ => {}
        }
    }

    fn check(&self, told: &Value) -> Result<(), String> {
        let at = |field: &str| told[field].as_u64().unwrap_or(u64::MAX) as usize;
        match told["type"].as_str() {
            Some("search_result_location") => {
                let named = self.results.get(at("search_result_index"));
                match named.is_some_and(|result| result["source"] == told["source"]) {
                    true => Ok(()),
                    false => Err(format!("citations: no search result of the request is {told}")),
                }
            }
            Some("char_location" | "page_location" | "content_block_location") => {
                match self.documents.get(at("document_index")) {
                    Some(_) => Ok(()),
                    None => Err(format!("citations: no document of the request is {told}")),
                }
            }
            Some("web_search_result_location") => {
                match told["encrypted_index"].as_str().is_some_and(|own| !own.contains('.')) {
                    true => Ok(()),
                    false => Err("citations: Invalid `encrypted_index`".to_owned()),
                }
            }
            _ => Err(format!("citations: unknown: {told}")),
        }
    }
}

fn check_result(result: &Value) -> Result<(), String> {
    for field in ["source", "title"] {
        if result[field].as_str().is_none_or(str::is_empty) {
            return Err(format!("search_result.{field}: Field required"));
        }
    }
    let content = listed(&result["content"]);
    let is_text = |block: &Value| {
        block["type"] == "text" && block["text"].as_str().is_some_and(|text| !text.is_empty())
    };
    match !content.is_empty() && content.iter().all(is_text) {
        true => Ok(()),
        false => {
            Err("search_result.content: must be a list of text blocks that hold text".to_owned())
        }
    }
}

fn of_result(n: usize, result: &Value) -> Option<Value> {
    cites(result).then(|| {
        json!({
            "type": "search_result_location",
            "cited_text": result["content"][0]["text"],
            "source": result["source"],
            "title": result["title"],
            "search_result_index": n,
            "start_block_index": 0,
            "end_block_index": 1,
        })
    })
}

fn of_document(n: usize, document: &Value) -> Option<Value> {
    if !cites(document) {
        return None;
    }
    let source = &document["source"];
    let (kind, text, ends) = match source["type"].as_str() {
        Some("text") => {
            let text: String =
                source["data"].as_str().unwrap_or_default().chars().take(CITED).collect();
            let end = text.chars().count();
            ("char_location", text, [("start_char_index", 0), ("end_char_index", end)])
        }
        Some("content") => {
            let content = &source["content"];
            let text = content.as_str().or_else(|| content[0]["text"].as_str());
            let text = text.unwrap_or_default().to_owned();
            ("content_block_location", text, [("start_block_index", 0), ("end_block_index", 1)])
        }
        _ => {
            let ends = [("start_page_number", 1), ("end_page_number", 2)];
            ("page_location", "what page 1 says".to_owned(), ends)
        }
    };
    let mut told = json!({
        "type": kind,
        "cited_text": text,
        "document_index": n,
        "document_title": document["title"],
    });
    for (field, number) in ends {
        told[field] = number.into();
    }
    Some(told)
}

fn cites(block: &Value) -> bool {
    block["citations"]["enabled"] == true
}

fn listed(list: &Value) -> &[Value] {
    list.as_array().map(Vec::as_slice).unwrap_or_default()
}
