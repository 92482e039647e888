//! Converts bytes to text: by the byte order mark, the header, the page's own declaration, or a
//! guess.
use encoding_rs::{Encoding, UTF_8, WINDOWS_1252};

/// The number of bytes in which browsers look for a page's own declaration.
const PRESCAN: usize = 1024;

/// Returns the text in any encoding. Invalid bytes become `U+FFFD`.
pub fn decode(body: &[u8], content_type: &str) -> String {
    if let Some((encoding, skipped)) = Encoding::for_bom(body) {
        return encoding.decode_without_bom_handling(&body[skipped..]).0.into_owned();
    }
    let named = parameter(content_type, "charset").or_else(|| own_word(body));
    let named = named.and_then(|label| Encoding::for_label(label.as_bytes()));
    let encoding = match named {
        Some(encoding) => encoding,
        // the cut may have split the last character
        None if is_utf8(body) => UTF_8,
        None => WINDOWS_1252,
    };
    encoding.decode_without_bom_handling(body).0.into_owned()
}

fn is_utf8(body: &[u8]) -> bool {
    match std::str::from_utf8(body) {
        Ok(_) => true,
        Err(e) => e.error_len().is_none(),
    }
}

/// Returns a parameter of a content type.
pub fn parameter(content_type: &str, name: &str) -> Option<String> {
    let parameters = content_type.split(';').skip(1);
    let mut pairs = parameters.filter_map(|pair| pair.split_once('='));
    let value = pairs.find(|(key, _)| key.trim().eq_ignore_ascii_case(name))?.1;
    Some(value.trim().trim_matches(['"', '\'']).to_owned())
}

/// Returns the encoding that the page declares: `<meta charset="…">`, `<meta http-equiv …
/// content="…; charset=…">`, `<?xml … encoding="…"?>`.
fn own_word(body: &[u8]) -> Option<String> {
    let head: String = body.iter().take(PRESCAN).map(|b| b.to_ascii_lowercase() as char).collect();
    let is_xml = head.trim_start().starts_with("<?xml");
    let key = if is_xml { "encoding" } else { "charset" };
    let (start, end) = if is_xml { ("<?xml", "?>") } else { ("<meta", ">") };
    let tags = head.split(start).skip(1).filter_map(|rest| rest.split(end).next());
    let label = tags.filter_map(|tag| value(tag, key)).next()?;
    // a page that can be read as ASCII so far is not UTF-16
    Some(if label.starts_with("utf-16") { "utf-8".to_owned() } else { label })
}

fn value(tag: &str, key: &str) -> Option<String> {
    let behind = tag.split_once(key)?.1.trim_start().strip_prefix('=')?.trim_start();
    let behind = behind.trim_start_matches(['"', '\'']);
    let end = behind.find(['"', '\'', ';', ' ', '/']).unwrap_or(behind.len());
    Some(behind[..end].to_owned()).filter(|label| !label.is_empty())
}
