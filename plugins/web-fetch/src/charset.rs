//! Bytes to text: by the mark at their beginning, the header, what the page says of itself, or by looking.
use encoding_rs::{Encoding, UTF_8, WINDOWS_1252};

/// How far into a page browsers look for its own word.
const PRESCAN: usize = 1024;

/// The text, whatever its encoding; what is wrong in it becomes `U+FFFD`.
pub fn decode(body: &[u8], content_type: &str) -> String {
    if let Some((encoding, skipped)) = Encoding::for_bom(body) {
        return encoding.decode_without_bom_handling(&body[skipped..]).0.into_owned();
    }
    let named = parameter(content_type, "charset").or_else(|| own_word(body));
    let named = named.and_then(|label| Encoding::for_label(label.as_bytes()));
    let encoding = match named {
        Some(encoding) => encoding,
        // the last character may have been cut off with what is left away
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

/// A parameter of a content type.
pub fn parameter(content_type: &str, name: &str) -> Option<String> {
    let parameters = content_type.split(';').skip(1);
    let mut pairs = parameters.filter_map(|pair| pair.split_once('='));
    let value = pairs.find(|(key, _)| key.trim().eq_ignore_ascii_case(name))?.1;
    Some(value.trim().trim_matches(['"', '\'']).to_owned())
}

/// `<meta charset="…">`, `<meta http-equiv … content="…; charset=…">`, `<?xml … encoding="…"?>`.
fn own_word(body: &[u8]) -> Option<String> {
    let head: String = body.iter().take(PRESCAN).map(|b| b.to_ascii_lowercase() as char).collect();
    let is_xml = head.trim_start().starts_with("<?xml");
    let key = if is_xml { "encoding" } else { "charset" };
    let (start, end) = if is_xml { ("<?xml", "?>") } else { ("<meta", ">") };
    let tags = head.split(start).skip(1).filter_map(|rest| rest.split(end).next());
    let label = tags.filter_map(|tag| value(tag, key)).next()?;
    // a page that is read as ASCII so far cannot be what it says
    Some(if label.starts_with("utf-16") { "utf-8".to_owned() } else { label })
}

fn value(tag: &str, key: &str) -> Option<String> {
    let behind = tag.split_once(key)?.1.trim_start().strip_prefix('=')?.trim_start();
    let behind = behind.trim_start_matches(['"', '\'']);
    let end = behind.find(['"', '\'', ';', ' ', '/']).unwrap_or(behind.len());
    Some(behind[..end].to_owned()).filter(|label| !label.is_empty())
}
