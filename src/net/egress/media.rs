//! `Media`: the content of a URL in a request: an image, a PDF document or a text. Header and first bytes must
//! agree about the type.
use std::borrow::Cow;
use std::fmt;

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use base64::prelude::BASE64_STANDARD;
use encoding_rs::{Encoding, UTF_8, WINDOWS_1252};
use imagesize::{Compression, ImageType};
use percent_encoding::percent_decode_str;

/// The beginning of a PDF document. Readers accept other bytes before it.
const PDF: &[u8] = b"%PDF-";
/// The number of bytes in which a PDF document has to begin.
const PDF_WITHIN: usize = 1024;
/// The byte order mark of UTF-8.
const MARK: &[u8] = "\u{feff}".as_bytes();
/// The beginnings of pages whose server names no type.
const PAGE_BEGINS: [&[u8]; 2] = [b"<!doctype html", b"<html"];
/// The scheme of URLs that hold their content.
const DATA: &str = "data:";
/// The reason of a content without a byte.
const EMPTY: &str = "the content is empty";
/// The longest media type that a message quotes.
const LONGEST_TYPE: usize = 64;

/// The media types that say nothing about the content.
const VAGUE: [&str; 4] =
    ["", "application/octet-stream", "binary/octet-stream", "application/binary"];
/// The media types of texts beside `text/…` and types that end with `+json`, `+xml` or `+yaml`.
const TEXTS: [&str; 8] = [
    "application/json",
    "application/ld+json",
    "application/toml",
    "application/x-ndjson",
    "application/x-sh",
    "application/x-yaml",
    "application/xml",
    "application/yaml",
];
/// Texts that are pages: the URL of a document that leads to one is usually a login or an error.
const PAGES: [&str; 2] = ["text/html", "application/xhtml+xml"];

/// Base64 as clients write it, with or without padding.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The content of a URL. Images and documents are in Base64.
#[derive(Clone, PartialEq, Eq)]
pub enum Media {
    Image { media_type: &'static str, data: String },
    Pdf(String),
    Text(String),
}

/// The content, or the reason why there is none, as a clause.
pub(crate) type Outcome = Result<Media, String>;

impl fmt::Debug for Media {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self {
            Self::Image { media_type, .. } => media_type,
            Self::Pdf(_) => "application/pdf",
            Self::Text(_) => "text/plain",
        };
        write!(f, "{kind} of {} bytes", self.size())
    }
}

impl Media {
    /// Reads a body by its `content-type` and its first bytes.
    ///
    /// Fails if they do not agree, or if it is neither an image nor a PDF document nor a text.
    pub(crate) fn read(content_type: &str, body: &[u8]) -> Outcome {
        let kind = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        if body.is_empty() {
            return Err(EMPTY.to_owned());
        }
        let is_vague = VAGUE.contains(&&*kind);
        let readable = readable(body);
        // a text may begin with the letters of an image's type
        let image = image_type(body).filter(|_| readable.is_none());
        match (&*kind, image) {
            (kind, Some(media_type)) if is_vague || kind.starts_with("image/") => {
                Ok(Self::Image { media_type, data: BASE64_STANDARD.encode(body) })
            }
            ("application/pdf" | "application/x-pdf", _) if has_pdf(body) => Ok(Self::pdf(body)),
            (_, _) if is_vague && begins_as_pdf(body) => Ok(Self::pdf(body)),
            (_, None) if is_vague && readable.is_some_and(|text| !is_page(text)) => {
                text("", body).map(Self::Text)
            }
            (_, _) if is_vague && has_pdf(body) => Ok(Self::pdf(body)),
            (kind, None) if is_text(kind) && !begins_as_pdf(body) => {
                text(content_type, body).map(Self::Text)
            }
            ("", _) => Err("the server names no type of the content, and it is neither an image nor a PDF document nor a text in UTF-8".to_owned()),
            (kind, _) => Err(unexpected(kind)),
        }
    }

    /// Reads a `data:` URL.
    ///
    /// Fails if it is malformed, and as [`Media::read`] does.
    fn of_data(rest: &str) -> Outcome {
        let malformed = || "the `data:` URL is malformed".to_owned();
        let (head, data) = rest.split_once(',').ok_or_else(malformed)?;
        let data: Cow<'_, [u8]> = percent_decode_str(data).into();
        let (kind, body) = match head.rsplit_once(';') {
            Some((kind, form)) if form.trim().eq_ignore_ascii_case("base64") => {
                let data: Vec<u8> =
                    data.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
                (kind, LENIENT.decode(data).map_err(|_| malformed())?.into())
            }
            _ => (head, data),
        };
        Self::read(if kind.is_empty() { "text/plain" } else { kind }, &body)
    }

    fn pdf(body: &[u8]) -> Self {
        Self::Pdf(BASE64_STANDARD.encode(body))
    }

    /// Returns the number of bytes that the content adds to a request.
    pub(crate) fn size(&self) -> usize {
        match self {
            Self::Image { data, .. } | Self::Pdf(data) | Self::Text(data) => data.len(),
        }
    }
}

/// Reads the content of a URL that holds it; `None` for every other URL.
pub(crate) fn held(url: &str) -> Option<Outcome> {
    let (scheme, rest) = url.split_at_checked(DATA.len())?;
    scheme.eq_ignore_ascii_case(DATA).then(|| Media::of_data(rest))
}

fn image_type(body: &[u8]) -> Option<&'static str> {
    match imagesize::image_type(body).ok()? {
        ImageType::Png => Some("image/png"),
        ImageType::Jpeg => Some("image/jpeg"),
        ImageType::Gif => Some("image/gif"),
        ImageType::Webp => Some("image/webp"),
        ImageType::Heif(Compression::Hevc) => Some("image/heic"),
        _ => None,
    }
}

/// Returns whether a PDF document begins within the body, maybe after other bytes.
fn has_pdf(body: &[u8]) -> bool {
    memchr::memmem::find(&body[..body.len().min(PDF_WITHIN)], PDF).is_some()
}

/// Returns whether the body itself begins as a PDF document does.
fn begins_as_pdf(body: &[u8]) -> bool {
    body.strip_prefix(MARK).unwrap_or(body).trim_ascii_start().starts_with(PDF)
}

/// Returns a body that is a text by its bytes alone: UTF-8 without NUL.
fn readable(body: &[u8]) -> Option<&str> {
    std::str::from_utf8(body).ok().filter(|text| !text.contains('\0'))
}

/// Returns whether a text begins as a page of HTML does.
fn is_page(text: &str) -> bool {
    let begin = text.trim_start_matches('\u{feff}').trim_start().as_bytes();
    PAGE_BEGINS
        .iter()
        .any(|page| begin.get(..page.len()).is_some_and(|own| own.eq_ignore_ascii_case(page)))
}

fn is_text(kind: &str) -> bool {
    let is_structured = ["+json", "+xml", "+yaml"].iter().any(|end| kind.ends_with(end));
    let is_image = kind.starts_with("image/");
    !PAGES.contains(&kind)
        && (kind.starts_with("text/") || TEXTS.contains(&kind) || (is_structured && !is_image))
}

/// Decodes a text: a byte order mark decides, then the header's charset, then UTF-8 if the bytes fit, else
/// windows-1252, as in browsers.
fn text(content_type: &str, body: &[u8]) -> Result<String, String> {
    let named = charset(content_type).and_then(|label| Encoding::for_label(label.as_bytes()));
    let (encoding, body) = match (Encoding::for_bom(body), named) {
        (Some((encoding, length)), _) => (encoding, &body[length..]),
        (None, Some(named)) => (named, body),
        (None, None) if std::str::from_utf8(body).is_ok() => (UTF_8, body),
        (None, None) => (WINDOWS_1252, body),
    };
    let (text, _) = encoding.decode_without_bom_handling(body);
    match (text.is_empty(), text.contains('\0')) {
        (true, _) => Err(EMPTY.to_owned()),
        (_, true) => Err("the content is binary, although its type is that of a text".to_owned()),
        (false, false) => Ok(text.into_owned()),
    }
}

fn charset(content_type: &str) -> Option<&str> {
    let parameters = content_type.split(';').skip(1).filter_map(|one| one.split_once('='));
    let mut named = parameters.filter(|(name, _)| name.trim().eq_ignore_ascii_case("charset"));
    named.next().map(|(_, value)| value.trim().trim_matches('"'))
}

fn unexpected(kind: &str) -> String {
    let shown: String = kind.chars().filter(char::is_ascii_graphic).take(LONGEST_TYPE).collect();
    format!(
        "the type of the content is `{shown}`, and with its first bytes it is no image, PDF document or text that can be carried"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR";
    const GIF: &[u8] = b"GIF89a\x01\0\x01\0\0\0\0;";

    fn image(media_type: &'static str, body: &[u8]) -> Outcome {
        Ok(Media::Image { media_type, data: BASE64_STANDARD.encode(body) })
    }

    fn text_of(content_type: &str, body: &[u8]) -> String {
        match Media::read(content_type, body) {
            Ok(Media::Text(text)) => text,
            other => panic!("{content_type}: {other:?}"),
        }
    }

    #[test]
    fn the_first_bytes_name_the_type_of_an_image() {
        let webp = b"RIFF\x24\0\0\0WEBPVP8 ";
        let jpeg = b"\xff\xd8\xff\xe0\0\x10JFIF\0\x01\x01";
        let heic = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic";
        for (body, media_type) in [
            (PNG, "image/png"),
            (GIF, "image/gif"),
            (&webp[..], "image/webp"),
            (&jpeg[..], "image/jpeg"),
            (&heic[..], "image/heic"),
        ] {
            for header in [media_type, "image/jpg", "", "application/octet-stream", "IMAGE/X; q=1"]
            {
                assert_eq!(Media::read(header, body), image(media_type, body), "{header}");
            }
        }
    }

    #[test]
    fn a_document_needs_its_header_and_its_beginning() {
        let pdf = b"%PDF-1.7\n...";
        let expected = Ok(Media::Pdf(BASE64_STANDARD.encode(pdf)));
        for header in ["application/pdf", "Application/PDF;x=1", "", "binary/octet-stream"] {
            assert_eq!(Media::read(header, pdf), expected, "{header}");
        }
        for (header, body) in [("application/pdf", &b"<html>"[..]), ("text/plain", pdf)] {
            let message = Media::read(header, body).unwrap_err();
            assert!(message.starts_with(&format!("the type of the content is `{header}`")));
        }
    }

    #[test]
    fn content_that_no_target_takes_is_refused_with_its_type() {
        for (header, body) in [
            ("text/html; charset=utf-8", &b"<html>"[..]),
            ("text/html", PNG),
            ("image/svg+xml", b"<svg/>"),
            ("image/png", b"<html>"),
            ("image/bmp", b"BM\0\0"),
            ("video/mp4", b"\0\0\0\x18ftypisom"),
        ] {
            let kind = header.split(';').next().unwrap();
            let message = Media::read(header, body).unwrap_err();
            assert!(message.contains(&format!("`{kind}`")), "{header}: {message}");
        }
        assert_eq!(Media::read("image/png", b"").unwrap_err(), "the content is empty");
        assert!(Media::read("", b"\xff\xfe\xfd").unwrap_err().contains("names no type"));
        let long = Media::read(&"x".repeat(500), b"a").unwrap_err();
        assert!(!long.contains(&"x".repeat(LONGEST_TYPE + 1)));
    }

    #[test]
    fn texts_are_decoded_by_mark_then_header_then_bytes() {
        for (header, body, expected) in [
            ("text/plain", "é".as_bytes(), "é"),
            ("text/plain", b"caf\xe9", "café"),
            ("text/plain; charset=\"ISO-8859-1\"", b"caf\xe9", "café"),
            ("text/plain; Charset=shift_jis", b"\x83e", "テ"),
            ("text/plain; charset=none-such", "é".as_bytes(), "é"),
            ("text/plain; charset=utf-8", b"\xff\xfea\0b\0", "ab"),
            ("text/csv", b"\xef\xbb\xbfa,b", "a,b"),
            ("application/json", b"{}", "{}"),
            ("application/rss+xml", b"<a/>", "<a/>"),
        ] {
            assert_eq!(text_of(header, body), expected, "{header} {body:?}");
        }
        let binary = Media::read("text/plain", b"a\0b").unwrap_err();
        assert!(binary.contains("binary"), "{binary}");
    }

    #[test]
    fn a_vague_type_leaves_the_decision_to_the_bytes() {
        for header in VAGUE {
            for (body, expected) in [
                (&b"# Title\n"[..], "# Title\n"),
                ("\u{feff}caf\u{e9}".as_bytes(), "caf\u{e9}"),
                (b"a reader finds %PDF- here", "a reader finds %PDF- here"),
                (b"GIF89a is the name of a format", "GIF89a is the name of a format"),
            ] {
                assert_eq!(text_of(header, body), expected, "{header}");
            }
            for pdf in [&b"%PDF-1.7 ascii"[..], b"\n%PDF-1.7 ascii", b"\xfe\xff %PDF-1.7"] {
                assert!(matches!(Media::read(header, pdf), Ok(Media::Pdf(_))), "{header} {pdf:?}");
            }
            for body in
                [&b"caf\xe9"[..], b"a\0b", b"<html>log in", b"\xef\xbb\xbf\n<!DOCTYPE HTML>"]
            {
                assert!(Media::read(header, body).is_err(), "{header} {body:?}");
            }
        }
    }

    #[test]
    fn a_text_may_mention_other_types_but_not_begin_as_a_pdf() {
        for (header, body) in [
            ("text/plain", &b"see %PDF-1.7 in the header"[..]),
            ("text/markdown", b"caf\xe9 %PDF-"),
            ("application/json", br#"{"magic": "%PDF-"}"#),
            ("text/plain", b"GIF89a is the name of a format"),
        ] {
            assert!(matches!(Media::read(header, body), Ok(Media::Text(_))), "{header}");
        }
        for body in [&b"%PDF-1.7"[..], b"\xef\xbb\xbf%PDF-1.7", b"\r\n%PDF-1.7"] {
            assert!(Media::read("text/plain", body).is_err(), "{body:?}");
        }
    }

    #[test]
    fn a_data_url_holds_its_content() {
        let png = BASE64_STANDARD.encode(PNG);
        for url in [
            format!("data:image/png;base64,{png}"),
            format!("DATA:image/png;BASE64,{}", png.trim_end_matches('=')),
            format!("data:;base64,{}", png.replace('+', "%2B")),
        ] {
            // without a type the content would be a text, by the URL's own rules
            let is_text = url.starts_with("data:;");
            let held = held(&url).unwrap();
            assert_eq!(held.is_err(), is_text, "{held:?}");
            if !is_text {
                assert_eq!(held, image("image/png", PNG));
            }
        }
        assert_eq!(held("data:,a%20b").unwrap(), Ok(Media::Text("a b".to_owned())));
        for wrong in ["data:image/png", "data:image/png;base64,%%%"] {
            assert!(held(wrong).unwrap().unwrap_err().contains("malformed"), "{wrong}");
        }
        assert!(held("https://x/data:").is_none() && held("é").is_none());
    }
}
