//! Converts HTML to Markdown: the article alone if there is one, else the whole page.
use dom_query::Document;
use dom_smoothie::Readability;
use htmd::HtmlToMarkdown;
use htmd::options::{BulletListMarker, HeadingStyle, Options};
use url::Url;

use crate::plain;

/// The largest depth of a page. The conversion is recursive, and a deeper page would use up the
/// stack.
const MAX_DEPTH: usize = 256;
/// The largest nesting of tags. The time to build the tree grows with the square of its depth.
const MAX_NESTING: usize = 1000;
/// An article must have at least one part in `MIN_SHARE` of the page's text.
const MIN_SHARE: usize = 4;
/// A page with less text (in characters) has no parts that could be left out.
const SMALL: usize = 600;

/// The elements without readable text.
const NOISE: &str = "script, style, noscript, template, svg, iframe, object, embed, canvas, \
    link, meta, input, button, select, textarea, dialog, [hidden], [aria-hidden=\"true\"]";
/// The elements that lead to other pages.
const AROUND: &str = "nav, footer, aside, [role=\"navigation\"], [role=\"contentinfo\"], \
    [role=\"banner\"], [role=\"search\"]";

/// Returns title and text.
pub fn read(html: &str, at: &Url) -> (Option<String>, String) {
    if plain::nesting(html) > MAX_NESTING {
        let document = Document::from(plain::flat(html));
        return (title(&document), plain::text(&document));
    }
    let document = Document::from(html);
    let title = title(&document);
    if depth(&document) > MAX_DEPTH {
        return (title, plain::text(&document));
    }
    settle(&document, at);
    let article = article(&document, at);
    document.select(NOISE).remove();
    let all = size(&document);
    let (better, text) = match article {
        Some(article) if all < SMALL || article.length * MIN_SHARE >= all => {
            (Some(article.title), markdown(&article.content))
        }
        _ => {
            let without = Document::from(document.html());
            without.select(AROUND).remove();
            let is_all_around = size(&without) * MIN_SHARE < all;
            let page = if is_all_around { document.html() } else { without.html() };
            (None, markdown(&page))
        }
    };
    let title = better.filter(|title| !title.trim().is_empty()).or(title);
    match text {
        Some(text) if !text.trim().is_empty() => (title, text.trim().to_owned()),
        _ => (title, plain::text(&document)),
    }
}

fn title(document: &Document) -> Option<String> {
    let told = [document.select("head > title"), document.select("h1")];
    let mut told = told.iter().filter_map(|found| found.iter().next());
    told.find_map(|found| {
        let text: Vec<_> = found.text().split_whitespace().map(str::to_owned).collect();
        Some(text.join(" ")).filter(|text| !text.is_empty())
    })
}

/// Makes the addresses of links absolute, and removes embedded pictures.
fn settle(document: &Document, at: &Url) {
    let base = document.base_uri().and_then(|base| at.join(&base).ok());
    let base = base.as_ref().unwrap_or(at);
    for (selector, attribute) in [("a[href]", "href"), ("img[src]", "src")] {
        for found in document.select(selector).iter() {
            let Some(value) = found.attr(attribute) else { continue };
            match base.join(value.trim()) {
                Ok(url) if matches!(url.scheme(), "http" | "https" | "mailto" | "tel") => {
                    found.set_attr(attribute, url.as_str());
                }
                _ if attribute == "src" => found.remove(),
                _ => found.remove_attr(attribute),
            }
        }
    }
}

struct Article {
    title: String,
    content: String,
    length: usize,
}

fn article(document: &Document, at: &Url) -> Option<Article> {
    // the reader takes the document apart, so it gets its own copy
    let mut readability = Readability::new(document.html(), Some(at.as_str()), None).ok()?;
    let article = readability.parse().ok()?;
    let length = article.text_content.chars().filter(|c| !c.is_whitespace()).count();
    Some(Article { title: article.title, content: article.content.to_string(), length })
}

/// Returns the number of characters of readable text.
fn size(document: &Document) -> usize {
    let body = document.body().map(|body| body.text());
    body.map_or(0, |text| text.chars().filter(|c| !c.is_whitespace()).count())
}

fn markdown(html: &str) -> Option<String> {
    let options = Options {
        heading_style: HeadingStyle::Atx,
        bullet_list_marker: BulletListMarker::Dash,
        ul_bullet_spacing: 1,
        ol_number_spacing: 1,
        ..Options::default()
    };
    HtmlToMarkdown::builder().options(options).build().convert(html).ok()
}

/// Returns the depth of the deepest element, without recursion.
fn depth(document: &Document) -> usize {
    let (mut deepest, mut level) = (0, 0);
    let mut node = document.root();
    loop {
        if let Some(child) = node.first_child() {
            level += 1;
            deepest = deepest.max(level);
            node = child;
            continue;
        }
        loop {
            if let Some(next) = node.next_sibling() {
                node = next;
                break;
            }
            match node.parent() {
                Some(parent) if level > 0 => {
                    level -= 1;
                    node = parent;
                }
                _ => return deepest,
            }
        }
    }
}
