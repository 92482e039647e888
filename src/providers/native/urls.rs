//! URLs of images and documents at doors that take no URL (InvokeModel, rawPredict): the content stands in their place.
use serde_json::json;

use crate::error::Result;
use crate::net::egress::collector::Fetched;
use crate::providers::Unfetched;
use crate::providers::dropped::Dropped;
use crate::providers::native::rewrite::{Rewrite, pointer};
use crate::providers::translate::media::{Content, IMAGES, Lack, Wanted, content};
use crate::providers::translate::texts;
use crate::wire::{Document, Kind, Step};

/// The reason for a URL without an outcome.
const NOT_FETCHED: &str = "the upstream takes no URL, and the gateway fetches none";

/// A request with the contents of its URLs.
pub(super) struct Inlined {
    pub(super) document: Document,
    /// The blocks whose URL has no content for the upstream; a visible line stands in their place.
    pub(super) dropped: Vec<Dropped>,
    /// The URLs whose content is not there yet.
    pub(super) missing: Vec<String>,
}

/// Puts the contents of URLs into a request. A URL without a usable content has the form `unfetched`.
///
/// Fails with a 400 if an edited object has duplicate keys.
pub(super) fn inlined(
    document: Document,
    fetched: &Fetched,
    unfetched: Unfetched,
) -> Result<Inlined> {
    let mut rewrite = Rewrite::new(document);
    let mut missing = Vec::new();
    let mut act = |this: &mut Rewrite, path: &[Step<'static>]| {
        let Some(block) = url_of(this, path)? else { return Ok(()) };
        let reason = match content(fetched, &block.url, block.wanted) {
            Ok(content) => return inline(this, path, content),
            Err(Lack::Use(reason)) => reason,
            Err(Lack::Content | Lack::Counterpart) => {
                missing.push(block.url.clone());
                NOT_FETCHED.to_owned()
            }
        };
        match unfetched {
            Unfetched::Line => replace(this, path, &block.kind, reason),
            Unfetched::Unchanged => Ok(()),
        }
    };
    rewrite.each_object(&mut vec![Step::Key("messages")], &mut act)?;
    let Rewrite { document, dropped } = rewrite;
    Ok(Inlined { document, dropped, missing })
}

/// A block whose source is a URL.
struct UrlBlock {
    kind: String,
    wanted: Wanted,
    url: String,
}

fn url_of(rewrite: &mut Rewrite, path: &[Step<'static>]) -> Result<Option<UrlBlock>> {
    let at = |keys: &[&'static str]| -> Vec<Step<'static>> {
        path.iter().copied().chain(keys.iter().map(|key| Step::Key(key))).collect()
    };
    let Some(kind) = rewrite.text(&at(&["type"]))? else { return Ok(None) };
    let wanted = match kind.as_str() {
        "image" => Wanted::Image(IMAGES),
        "document" => Wanted::Document,
        _ => return Ok(None),
    };
    if rewrite.document.kind(&at(&["source"]))? != Some(Kind::Object)
        || rewrite.text(&at(&["source", "type"]))?.as_deref() != Some("url")
    {
        return Ok(None);
    }
    let url = rewrite.text(&at(&["source", "url"]))?;
    Ok(url.map(|url| UrlBlock { kind, wanted, url }))
}

/// Puts a content into the place of its URL.
fn inline(rewrite: &mut Rewrite, path: &[Step<'static>], content: Content<'_>) -> Result<()> {
    let source = match content {
        Content::File { media_type, data } => {
            json!({"type": "base64", "media_type": media_type, "data": data})
        }
        Content::Text(text) => {
            json!({"type": "text", "media_type": "text/plain", "data": text})
        }
    };
    rewrite.document.set_value(&[path, &[Step::Key("source")]].concat(), &source)
}

/// Puts a visible line into the place of a block, and reports the block.
fn replace(
    rewrite: &mut Rewrite,
    path: &[Step<'static>],
    kind: &str,
    reason: String,
) -> Result<()> {
    let title = rewrite.text(&[path, &[Step::Key("title")]].concat())?;
    let line = texts::unfetched(kind, title.as_deref(), &reason);
    let place = format!("{}/source/url", pointer(path));
    rewrite.dropped.push(Dropped::fetch(format!("block:{kind}"), place, reason));
    let control = rewrite.document.get(&[path, &[Step::Key("cache_control")]].concat())?;
    rewrite.document.set_value(path, &json!({"type": "text", "text": line}))?;
    if let Some(control) = control {
        rewrite.document.set(&[path, &[Step::Key("cache_control")]].concat(), control)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use serde_json::Value;

    use super::*;
    use crate::net::egress::media::{Media, Outcome};

    fn run(blocks: &Value, fetched: &Fetched) -> (Value, Vec<String>, Vec<String>) {
        run_as(blocks, fetched, Unfetched::Line)
    }

    fn run_as(
        blocks: &Value,
        fetched: &Fetched,
        unfetched: Unfetched,
    ) -> (Value, Vec<String>, Vec<String>) {
        let body = json!({"messages": [{"role": "user", "content": blocks}]});
        let document = Document::parse(Bytes::from(body.to_string())).unwrap();
        let Inlined { document, dropped, missing } = inlined(document, fetched, unfetched).unwrap();
        let body: Value = serde_json::from_slice(&document.to_bytes()).unwrap();
        let pointers = dropped.into_iter().map(|one| one.pointer).collect();
        (body["messages"][0]["content"].clone(), pointers, missing)
    }

    fn known(outcome: Outcome) -> Fetched {
        [("https://e.com/x".to_owned(), outcome)].into_iter().collect()
    }

    fn block(kind: &str) -> Value {
        json!({"type": kind, "source": {"type": "url", "url": "https://e.com/x"}, "cache_control": {"type": "ephemeral"}})
    }

    #[test]
    fn the_content_replaces_the_source_at_every_depth() {
        let image = || Media::Image { media_type: "image/png", data: "QUJD".to_owned() };
        let source = json!({"type": "base64", "media_type": "image/png", "data": "QUJD"});
        let nested = json!([
            {"type": "tool_result", "tool_use_id": "t", "content": [block("image")]},
            {"type": "document", "source": {"type": "content", "content": [block("image")]}},
            block("image"), {"type": "text", "text": "\"url\""},
        ]);
        let (found, lost, missing) = run(&nested, &known(Ok(image())));
        assert_eq!(found[0]["content"][0]["source"], source);
        assert_eq!(found[1]["source"]["content"][0]["source"], source);
        assert_eq!((&found[2]["source"], &found[3]), (&source, &nested[3]));
        assert_eq!(found[2]["cache_control"]["type"], "ephemeral");
        assert!(lost.is_empty() && missing.is_empty());
        let text = known(Ok(Media::Text("words".to_owned())));
        let source = json!({"type": "text", "media_type": "text/plain", "data": "words"});
        assert_eq!(run(&json!([block("document")]), &text).0[0]["source"], source);
    }

    #[test]
    fn a_url_without_content_is_a_visible_line_or_stays() {
        let blocks =
            json!([{"type": "tool_result", "tool_use_id": "t", "content": [block("image")]}]);
        let url = "https://e.com/x".to_owned();
        let failed = known(Err("the server answered 404".to_owned()));
        for (fetched, reason, missing) in [
            (failed, "the server answered 404", Vec::new()),
            (Fetched::default(), NOT_FETCHED, vec![url]),
        ] {
            let (found, lost, asked) = run(&blocks, &fetched);
            let line = format!("[the gateway left out a block of type `image`: {reason}]");
            let expected =
                json!({"type": "text", "text": line, "cache_control": {"type": "ephemeral"}});
            assert_eq!((&found[0]["content"][0], &asked), (&expected, &missing));
            assert_eq!(lost, ["/messages/0/content/0/content/0/source/url"]);
            let (found, lost, asked) = run_as(&blocks, &fetched, Unfetched::Unchanged);
            assert_eq!((&found, lost.len(), &asked), (&blocks, 0, &missing));
        }
    }
}
