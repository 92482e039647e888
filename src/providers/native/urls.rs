//! URLs of images and documents at doors that take no URL (InvokeModel, rawPredict): the content stands in their place.
use serde_json::json;

use crate::error::Result;
use crate::net::egress::collector::Fetched;
use crate::providers::dropped::Dropped;
use crate::providers::native::rewrite::{Rewrite, pointer};
use crate::providers::translate::media::{Content, IMAGES, Lack, Wanted, content};
use crate::providers::translate::texts;
use crate::wire::{Document, Kind, Step};

/// A request with the contents of its URLs.
pub(super) struct Inlined {
    pub(super) document: Document,
    /// The blocks whose URL has no content for the upstream; a visible line stands in their place.
    pub(super) dropped: Vec<Dropped>,
    /// The URLs whose content is not there yet; they are left as they are.
    pub(super) missing: Vec<String>,
}

/// Puts the contents of URLs into a request.
///
/// Fails with a 400 if an edited object has duplicate keys.
pub(super) fn inlined(document: Document, fetched: &Fetched) -> Result<Inlined> {
    let mut rewrite = Rewrite::new(document);
    let mut missing = Vec::new();
    let mut act = |this: &mut Rewrite, path: &[Step<'static>]| {
        let Some(url) = url_of(this, path)? else { return Ok(()) };
        missing.extend(inline(this, path, &url, fetched)?);
        Ok(())
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

/// Puts the content of one URL into its place. Returns the URL if the content is not there yet.
fn inline(
    rewrite: &mut Rewrite,
    path: &[Step<'static>],
    block: &UrlBlock,
    fetched: &Fetched,
) -> Result<Option<String>> {
    let UrlBlock { kind, wanted, url } = block;
    let source = match content(fetched, url, *wanted) {
        Ok(Content::File { media_type, data }) => {
            json!({"type": "base64", "media_type": media_type, "data": data})
        }
        Ok(Content::Text(text)) => {
            json!({"type": "text", "media_type": "text/plain", "data": text})
        }
        Err(Lack::Content | Lack::Counterpart) => return Ok(Some(url.clone())),
        Err(Lack::Use(reason)) => {
            let title = rewrite.text(&[path, &[Step::Key("title")]].concat())?;
            let line = texts::unfetched(kind, title.as_deref(), &reason);
            let place = format!("{}/source/url", pointer(path));
            rewrite.dropped.push(Dropped::fetch(format!("block:{kind}"), place, reason));
            let control = rewrite.document.get(&[path, &[Step::Key("cache_control")]].concat())?;
            rewrite.document.set_value(path, &json!({"type": "text", "text": line}))?;
            if let Some(control) = control {
                rewrite.document.set(&[path, &[Step::Key("cache_control")]].concat(), control)?;
            }
            return Ok(None);
        }
    };
    rewrite.document.set_value(&[path, &[Step::Key("source")]].concat(), &source)?;
    Ok(None)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use serde_json::Value;

    use super::*;
    use crate::net::egress::media::{Media, Outcome};

    fn run(blocks: &Value, fetched: &Fetched) -> (Value, Vec<String>, Vec<String>) {
        let body = json!({"messages": [{"role": "user", "content": blocks}]});
        let document = Document::parse(Bytes::from(body.to_string())).unwrap();
        let Inlined { document, dropped, missing } = inlined(document, fetched).unwrap();
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
    fn a_failure_is_a_visible_line_and_an_unknown_url_stays() {
        let blocks =
            json!([{"type": "tool_result", "tool_use_id": "t", "content": [block("image")]}]);
        let (found, lost, _) = run(&blocks, &known(Err("the server answered 404".to_owned())));
        let line = "[the gateway left out a block of type `image`: the server answered 404]";
        let expected =
            json!({"type": "text", "text": line, "cache_control": {"type": "ephemeral"}});
        assert_eq!(found[0]["content"][0], expected);
        assert_eq!(lost, ["/messages/0/content/0/content/0/source/url"]);
        let (found, lost, missing) = run(&blocks, &Fetched::default());
        assert_eq!((found, lost.len(), missing), (blocks, 0, vec!["https://e.com/x".to_owned()]));
    }
}
