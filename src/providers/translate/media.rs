//! The content of URLs that an upstream does not read itself: the gateway fetches it before the request is encoded.
use crate::net::egress::collector::{Fetched, hopeless};
use crate::net::egress::media::Media;

/// The images of the Messages API.
pub(crate) const IMAGES: &[&str] = &["image/jpeg", "image/png", "image/gif", "image/webp"];
/// The ends of addresses of texts. An upstream that reads documents from an address expects a PDF document.
const TEXT_ENDS: [&str; 8] = [".csv", ".json", ".log", ".md", ".txt", ".xml", ".yaml", ".yml"];

/// The use of a URL.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Wanted {
    /// An image of one of these types.
    Image(&'static [&'static str]),
    /// A text.
    Text,
    /// A PDF document or a text.
    Document,
}

/// The content of a URL, as an encoder writes it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Content<'a> {
    /// Base64.
    File {
        media_type: &'a str,
        data: &'a str,
    },
    Text(&'a str),
}

/// The reason why a source cannot be carried.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Lack {
    /// The upstream has no counterpart.
    Counterpart,
    /// The URL was not fetched yet.
    Content,
    /// The content of the URL cannot be had or used, with the reason.
    Use(String),
}

/// Returns the content of a URL.
///
/// Fails if there is none, or if it is none of the wanted kind.
pub(crate) fn content<'a>(
    fetched: &'a Fetched,
    url: &str,
    wanted: Wanted,
) -> Result<Content<'a>, Lack> {
    let found = match fetched {
        Fetched::Known(contents) => contents.get(url).ok_or(Lack::Content)?,
        Fetched::Assumed => return assumed(url, wanted),
    };
    let media = found.as_ref().as_ref().map_err(|reason| Lack::Use(reason.clone()))?;
    match (media, wanted) {
        (Media::Image { media_type, data }, Wanted::Image(types)) if types.contains(media_type) => {
            Ok(Content::File { media_type, data })
        }
        (Media::Pdf(data), Wanted::Document) => {
            Ok(Content::File { media_type: "application/pdf", data })
        }
        (Media::Text(text), Wanted::Text | Wanted::Document) => Ok(Content::Text(text)),
        _ => Err(Lack::Use(mismatch(media, wanted))),
    }
}

/// Returns a content without bytes in the place of one that the gateway will fetch.
fn assumed(url: &str, wanted: Wanted) -> Result<Content<'static>, Lack> {
    match (hopeless(url), wanted) {
        (Some(reason), _) => Err(Lack::Use(reason)),
        (None, Wanted::Image(_)) => Ok(Content::File { media_type: "image/png", data: "" }),
        (None, Wanted::Text | Wanted::Document) => Ok(Content::Text("")),
    }
}

fn mismatch(media: &Media, wanted: Wanted) -> String {
    let found = match media {
        Media::Image { media_type, .. } => format!("an image of type `{media_type}`"),
        Media::Pdf(_) => "a PDF document".to_owned(),
        Media::Text(_) => "a text".to_owned(),
    };
    let expected = match wanted {
        Wanted::Image(types) => format!("an image of one of the types {}", types.join(", ")),
        Wanted::Text => "a text: it takes no PDF documents".to_owned(),
        Wanted::Document => "a PDF document or a text".to_owned(),
    };
    format!("the content is {found}; the upstream expects {expected}")
}

/// Returns whether an upstream that reads addresses itself would not read a document from this one.
pub(crate) fn needs_content(url: &str) -> bool {
    let path = url.split(['?', '#']).next().unwrap_or(url).to_ascii_lowercase();
    path.starts_with("data:") || TEXT_ENDS.iter().any(|end| path.ends_with(end))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::egress::media::Outcome;

    fn fetched(outcome: Outcome) -> Fetched {
        [("u".to_owned(), outcome)].into_iter().collect()
    }

    fn reason(media: Media, wanted: Wanted) -> String {
        match content(&fetched(Ok(media)), "u", wanted) {
            Err(Lack::Use(reason)) => reason,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_content_must_be_of_the_wanted_kind() {
        let pdf = Media::Pdf("UERG".to_owned());
        let known = fetched(Ok(pdf.clone()));
        let file = Content::File { media_type: "application/pdf", data: "UERG" };
        assert_eq!(content(&known, "u", Wanted::Document), Ok(file));
        assert!(reason(pdf.clone(), Wanted::Text).contains("takes no PDF"));
        assert!(reason(pdf, Wanted::Image(IMAGES)).contains("is a PDF document; the upstream"));
        let heic = Media::Image { media_type: "image/heic", data: String::new() };
        assert!(reason(heic.clone(), Wanted::Image(IMAGES)).contains("`image/heic`"));
        assert!(reason(heic, Wanted::Document).contains("expects a PDF document or a text"));
        let text = fetched(Ok(Media::Text("words".to_owned())));
        for wanted in [Wanted::Text, Wanted::Document] {
            assert_eq!(content(&text, "u", wanted), Ok(Content::Text("words")));
        }
        assert_eq!(content(&text, "other", Wanted::Text), Err(Lack::Content));
        let failed = fetched(Err("the server answered 404".to_owned()));
        let expected = Lack::Use("the server answered 404".to_owned());
        assert_eq!(content(&failed, "u", Wanted::Document), Err(expected));
    }

    #[test]
    fn a_url_that_can_be_fetched_counts_as_carried_before_the_fetch() {
        for url in ["https://e.com/x", "http://127.0.0.1/x", "data:,a"] {
            assert!(content(&Fetched::Assumed, url, Wanted::Document).is_ok(), "{url}");
        }
        for url in ["gs://b/x", "file:///x", "https://u:p@e.com/x", "x", "data:image/png"] {
            let lack = content(&Fetched::Assumed, url, Wanted::Image(IMAGES)).unwrap_err();
            assert!(matches!(lack, Lack::Use(_)), "{url}: {lack:?}");
        }
    }

    #[test]
    fn the_end_of_an_address_tells_a_text() {
        for url in ["https://e.com/a.txt", "https://e.com/a.MD?x=.pdf", "data:application/pdf,"] {
            assert!(needs_content(url), "{url}");
        }
        for url in ["https://e.com/a.pdf", "https://e.com/a?x=.txt", "https://e.com/txt"] {
            assert!(!needs_content(url), "{url}");
        }
    }
}
