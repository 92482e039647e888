//! The dashboard: its pages are part of the binary, and run nothing but their own scripts.
use std::collections::HashMap;
use std::sync::LazyLock;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_SECURITY_POLICY, IF_NONE_MATCH, LOCATION};
use http::{HeaderMap, HeaderValue, StatusCode};

use crate::admin::answer::Answer;
use crate::admin::failure::Failure;
use crate::admin::tag::Tag;

/// The path of the page.
pub(super) const PAGE: &str = "/";
/// The path of the page that takes the token, and of the route that it sends the token to.
pub(super) const LOGIN: &str = "/login";
/// The prefix of the paths of all other files.
const ASSETS: &str = "/assets/";
/// The files of `dashboard/`: path and contents.
const FILES: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/dashboard.rs"));

/// A page loads its own scripts and styles, and speaks to its own gateway. No text becomes markup or a script.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'";

/// A file of the dashboard.
struct File {
    bytes: &'static [u8],
    media_type: &'static str,
    tag: Tag,
}

/// Returns an asset; `None` if the path is none of theirs. They hold no data, so a client needs no credential.
pub(super) fn asset(path: &str, headers: &HeaderMap) -> Option<Result<Answer, Failure>> {
    let name = path.strip_prefix(ASSETS)?;
    Some(match name {
        // the pages have paths of their own
        "index.html" | "login.html" => Err(missing(name)),
        _ => file(name, headers),
    })
}

/// Returns the page.
pub(super) fn page(headers: &HeaderMap) -> Result<Answer, Failure> {
    file("index.html", headers)
}

/// Returns the page that takes the token.
pub(super) fn login(headers: &HeaderMap) -> Result<Answer, Failure> {
    file("login.html", headers)
}

/// Sends the client to another page of the dashboard.
pub(super) fn redirect(to: &'static str) -> Answer {
    let mut answer = Answer::empty().status(StatusCode::SEE_OTHER);
    answer.response.headers_mut().insert(LOCATION, HeaderValue::from_static(to));
    answer
}

/// Returns whether a person with a browser sent the request.
pub(super) fn wants_page(headers: &HeaderMap) -> bool {
    let mut texts = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    texts.any(|text| text.contains("text/html"))
}

fn file(name: &str, headers: &HeaderMap) -> Result<Answer, Failure> {
    static ALL: LazyLock<HashMap<&str, File>> = LazyLock::new(|| {
        let file = |&(name, bytes)| (name, File::new(name, bytes));
        FILES.iter().map(file).collect()
    });
    let file = ALL.get(name).ok_or_else(|| missing(name))?;
    let mut answer = match file.tag.is_known(headers.get_all(IF_NONE_MATCH)) {
        true => Answer::empty().status(StatusCode::NOT_MODIFIED),
        false => Answer::of(file.media_type, Bytes::from_static(file.bytes)),
    };
    let policy = HeaderValue::from_static(POLICY);
    answer.response.headers_mut().insert(CONTENT_SECURITY_POLICY, policy);
    Ok(answer.tagged(&file.tag))
}

fn missing(name: &str) -> Failure {
    let shown: String = name.chars().take(128).collect();
    Failure::not_found(format!("the dashboard has no file `{shown}`"))
}

impl File {
    fn new(name: &str, bytes: &'static [u8]) -> Self {
        let media_type = media_type(name).unwrap_or("text/plain; charset=utf-8");
        Self { bytes, media_type, tag: Tag::of_bytes(bytes) }
    }
}

/// Returns the media type of a file; `None` for plain text.
fn media_type(name: &str) -> Option<&'static str> {
    let (_, extension) = name.rsplit_once('.')?;
    Some(match extension {
        "html" => "text/html; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "json" | "map" => "application/json",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "woff2" => "font/woff2",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The names in a page or a script that begin with `prefix` and end with the same quote.
    fn named(text: &str, prefix: &str) -> Vec<String> {
        let after = text.split(prefix).skip(1);
        after.filter_map(|rest| Some(rest[..rest.find('"')?].to_owned())).collect()
    }

    #[test]
    fn every_file_of_the_pages_is_part_of_the_binary() {
        let text = |name: &str| {
            let (_, bytes) = FILES.iter().find(|(own, _)| *own == name).unwrap();
            std::str::from_utf8(bytes).unwrap()
        };
        for page in ["index.html", "login.html"] {
            let assets = named(text(page), "\"/assets/");
            assert!(!assets.is_empty(), "{page} names no assets");
            for asset in assets {
                assert!(FILES.iter().any(|(name, _)| *name == asset), "{page}: {asset}");
            }
        }
    }

    #[test]
    fn every_file_has_a_type_that_fits_it() {
        for (name, bytes) in FILES {
            let is_text = std::str::from_utf8(bytes).is_ok();
            assert!(is_text || media_type(name).is_some(), "{name} is no text, and has no type");
        }
        assert_eq!(media_type("lib/x.js"), Some("text/javascript; charset=utf-8"));
        assert_eq!(media_type("vendor/LICENSE"), None);
    }

    #[test]
    fn no_page_has_a_script_or_a_style_of_its_own() {
        for (name, bytes) in FILES.iter().filter(|(name, _)| name.ends_with(".html")) {
            let text = std::str::from_utf8(bytes).unwrap();
            for wrong in [
                "<script>",
                "<style",
                " style=",
                " onclick=",
                "javascript:",
                "src=\"http",
                "href=\"http",
            ] {
                assert!(!text.contains(wrong), "{name} has `{wrong}`");
            }
        }
    }
}
