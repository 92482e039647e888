//! Text files in UTF-8. Another encoding is an error that names it.
use std::path::Path;

use crate::disk::Unread;
use crate::disk::read::bytes;

const MARK: &[u8] = b"\xef\xbb\xbf";

/// The byte-order marks of other encodings. That of UTF-32 begins like that of UTF-16.
const OTHERS: [(&[u8], &str); 4] = [
    (b"\xff\xfe\0\0", "UTF-32 (little-endian)"),
    (b"\0\0\xfe\xff", "UTF-32 (big-endian)"),
    (b"\xff\xfe", "UTF-16 (little-endian)"),
    (b"\xfe\xff", "UTF-16 (big-endian)"),
];

/// Returns the text of a file without its byte-order mark.
pub(crate) fn text(path: &Path) -> Result<String, Unread> {
    decoded(bytes(path)?)
}

/// Returns the content of a PEM file. Its comments may be in any encoding that contains ASCII. A byte-order
/// mark would hide the section after it, also where several files were joined.
pub(crate) fn pem(path: &Path) -> Result<Vec<u8>, Unread> {
    let content = bytes(path)?;
    refuse_wide(&content)?;
    let mut clean = Vec::with_capacity(content.len());
    let mut rest = &content[..];
    while let Some(at) = memchr::memmem::find(rest, MARK) {
        clean.extend_from_slice(&rest[..at]);
        rest = &rest[at + MARK.len()..];
    }
    clean.extend_from_slice(rest);
    Ok(clean)
}

pub(super) fn decoded(content: Vec<u8>) -> Result<String, Unread> {
    refuse_wide(&content)?;
    let content = match content.strip_prefix(MARK) {
        Some(text) => text.to_owned(),
        None => content,
    };
    String::from_utf8(content).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let before = &error.as_bytes()[..valid];
        let line = memchr::memchr_iter(b'\n', before).count() + 1;
        let message = "is no UTF-8 text, as a file in Latin-1 or Windows-1252 would be: expected UTF-8, save it as UTF-8";
        Unread::of_content(Some(line), message.to_owned())
    })
}

/// Refuses the encodings with units of two or four bytes, with and without a byte-order mark.
fn refuse_wide(content: &[u8]) -> Result<(), Unread> {
    let marked = OTHERS.iter().find(|(mark, _)| content.starts_with(mark)).map(|(_, name)| *name);
    // the first character of every file here is ASCII, and none begins with a zero byte
    let is_zero = |at: usize| content.get(at).map(|byte| *byte == 0);
    let unmarked = || match [0, 1, 2, 3].map(is_zero) {
        [Some(true), Some(true), Some(true), Some(false)] => {
            Some("UTF-32 (big-endian, without a byte-order mark)")
        }
        [Some(false), Some(true), Some(true), Some(true)] => {
            Some("UTF-32 (little-endian, without a byte-order mark)")
        }
        [Some(true), Some(false), ..] => Some("UTF-16 (big-endian, without a byte-order mark)"),
        [Some(false), Some(true), ..] => Some("UTF-16 (little-endian, without a byte-order mark)"),
        _ => None,
    };
    match marked.or_else(unmarked) {
        None => Ok(()),
        Some(name) => {
            let message = format!("is encoded as {name}: expected UTF-8, save it as UTF-8");
            Err(Unread::of_content(None, message))
        }
    }
}
