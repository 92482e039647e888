//! Converts bytes to text by the rules of the web: the byte order mark, the header, the page's own
//! declaration, or a guess.
use std::borrow::Cow;

use encoding_rs::{CoderResult, Encoding, UTF_8, UTF_16BE, UTF_16LE, WINDOWS_1252, X_USER_DEFINED};

/// The number of bytes in which a declaration counts, even after the head.
const PRESCAN: usize = 1024;
/// The size of the pieces in which a text is decoded, in bytes.
const PIECE: usize = 32 << 10;
/// The elements that a head may have.
const OF_HEAD: [&[u8]; 11] = [
    b"html",
    b"head",
    b"meta",
    b"link",
    b"base",
    b"title",
    b"style",
    b"script",
    b"noscript",
    b"object",
    b"template",
];
/// The elements in which a tag is text.
const RAW: [&[u8]; 7] =
    [b"script", b"style", b"title", b"textarea", b"iframe", b"noembed", b"noframes"];

/// The sort of a text. Each has its own declaration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sort {
    /// `<meta>`, then `<?xml encoding>`.
    Html,
    /// `<?xml encoding>`, then `<meta>`.
    Xml,
    /// None.
    Plain,
}

/// The end of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Whole,
    /// The last character may be cut: a part of a character is left out.
    Cut,
}

/// Returns the text in any encoding. Invalid bytes become `U+FFFD`. `label` is that of the header.
pub fn decode<'b>(body: &'b [u8], label: Option<&str>, sort: Sort, end: End) -> Cow<'b, str> {
    if let Some((encoding, skipped)) = Encoding::for_bom(body) {
        return text(encoding, &body[skipped..], end);
    }
    let named = label.and_then(|label| Encoding::for_label_no_replacement(label.as_bytes()));
    let encoding = named.or_else(|| declared(body, sort)).unwrap_or_else(|| guess(body));
    text(encoding, body, end)
}

fn text<'b>(encoding: &'static Encoding, body: &'b [u8], end: End) -> Cow<'b, str> {
    if encoding == UTF_8 {
        let whole = match std::str::from_utf8(body) {
            Ok(_) => Some(body.len()),
            Err(e) if e.error_len().is_none() && end == End::Cut => Some(e.valid_up_to()),
            Err(_) => None,
        };
        if let Some(Ok(text)) = whole.map(|whole| std::str::from_utf8(&body[..whole])) {
            return Cow::Borrowed(text);
        }
    }
    // a text that grows while it is decoded would need its memory several times
    let mut size = 0;
    decode_by_pieces(encoding, body, end, |piece| size += piece.len());
    let mut text = String::with_capacity(size);
    decode_by_pieces(encoding, body, end, |piece| text.push_str(piece));
    Cow::Owned(text)
}

fn decode_by_pieces(
    encoding: &'static Encoding,
    body: &[u8],
    end: End,
    mut each: impl FnMut(&str),
) {
    let mut decoder = encoding.new_decoder_without_bom_handling();
    let mut piece = String::with_capacity(PIECE);
    let mut rest = body;
    loop {
        let (result, read, _) = decoder.decode_to_string(rest, &mut piece, end == End::Whole);
        each(&piece);
        piece.clear();
        rest = &rest[read..];
        if result == CoderResult::InputEmpty {
            return;
        }
    }
}

/// Guesses the encoding of a text that declares none: one wrong byte is no sign of another one.
fn guess(body: &[u8]) -> &'static Encoding {
    let (mut fitting, mut wrong) = (0_usize, 0_usize);
    let mut chunks = body.utf8_chunks().peekable();
    while let Some(chunk) = chunks.next() {
        fitting += chunk.valid().chars().filter(|c| !c.is_ascii()).count();
        let invalid = chunk.invalid();
        let is_cut = chunks.peek().is_none()
            && std::str::from_utf8(invalid).is_err_and(|e| e.error_len().is_none());
        wrong += usize::from(!invalid.is_empty() && !is_cut);
    }
    if wrong <= fitting { UTF_8 } else { WINDOWS_1252 }
}

/// Returns the encoding that a text declares.
fn declared(body: &[u8], sort: Sort) -> Option<&'static Encoding> {
    if sort == Sort::Plain {
        return None;
    }
    if body.starts_with(b"<\0?\0x\0") {
        return Some(UTF_16LE);
    }
    if body.starts_with(b"\0<\0?\0x") {
        return Some(UTF_16BE);
    }
    match sort {
        Sort::Xml => of_xml(body).or_else(|| of_meta(body)),
        _ => of_meta(body).or_else(|| of_xml(body)),
    }
}

/// Returns the encoding of a label within a page. The page could be read so far, so it is not
/// UTF-16.
fn within(label: &[u8]) -> Option<&'static Encoding> {
    let encoding = Encoding::for_label_no_replacement(label)?;
    Some(match encoding {
        _ if encoding == UTF_16BE || encoding == UTF_16LE => UTF_8,
        _ if encoding == X_USER_DEFINED => WINDOWS_1252,
        _ => encoding,
    })
}

/// Returns the encoding of `<?xml … encoding="…"?>`.
fn of_xml(body: &[u8]) -> Option<&'static Encoding> {
    let declaration = body.strip_prefix(b"<?xml")?;
    let declaration = &declaration[..find(declaration, b">")?];
    let after = &declaration[find(declaration, b"encoding")? + b"encoding".len()..];
    let after = skip_space(skip_space(after).strip_prefix(b"=")?);
    let quote = *after.first().filter(|byte| matches!(byte, b'"' | b'\''))?;
    let label = &after[1..];
    within(&label[..label.iter().position(|byte| *byte == quote)?])
}

/// Returns the encoding of the first `<meta>` with a known one, in the head or in the first bytes.
fn of_meta(body: &[u8]) -> Option<&'static Encoding> {
    let mut at = 0;
    loop {
        at += find(&body[at..], b"<")?;
        let rest = &body[at..];
        if rest.starts_with(b"<!--") {
            // the dashes of the start may be those of the end
            at += 2 + find(&rest[2..], b"-->")? + 3;
            continue;
        }
        let is_end = rest.get(1) == Some(&b'/');
        let name_at = 1 + usize::from(is_end);
        if !rest.get(name_at).is_some_and(u8::is_ascii_alphabetic) {
            at += match rest.get(1) {
                Some(b'!' | b'/' | b'?') => find(rest, b">")? + 1,
                _ => 1,
            };
            continue;
        }
        let mut attributes = Attributes { rest: &rest[name_at..] };
        let name = attributes.name();
        let is = |other: &&[u8]| name.eq_ignore_ascii_case(other);
        if !OF_HEAD.iter().any(is) && at >= PRESCAN {
            return None;
        }
        let found = match !is_end && is(&&b"meta"[..]) {
            true => meta(&mut attributes),
            false => {
                attributes.by_ref().for_each(drop);
                None
            }
        };
        if found.is_some() {
            return found;
        }
        at = body.len() - attributes.rest.len();
        if !is_end && RAW.iter().any(is) {
            at += end_of_raw(&body[at..], name)?;
        }
    }
}

/// Returns the place of the end tag of an element with bare text.
fn end_of_raw(body: &[u8], name: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        at += find(&body[at..], b"</")?;
        let found = body.get(at + 2..at + 2 + name.len())?;
        if found.eq_ignore_ascii_case(name) {
            return Some(at);
        }
        at += 2;
    }
}

/// Returns the encoding of a `<meta>`: its `charset`, or the content of a `content-type`.
fn meta(attributes: &mut Attributes<'_>) -> Option<&'static Encoding> {
    let (mut is_type, mut charset, mut content) = (false, None, None);
    let mut seen: Vec<Vec<u8>> = Vec::new();
    for (name, value) in attributes {
        let name = name.to_ascii_lowercase();
        if !matches!(&name[..], b"http-equiv" | b"charset" | b"content") || seen.contains(&name) {
            continue;
        }
        match &name[..] {
            b"http-equiv" => is_type = value.eq_ignore_ascii_case(b"content-type"),
            b"charset" => charset = Some(within(value)),
            _ => content = of_content(value).map(within),
        }
        seen.push(name);
    }
    charset.or_else(|| content.filter(|_| is_type)).flatten()
}

/// Returns the label in `text/html; charset=…`.
fn of_content(content: &[u8]) -> Option<&[u8]> {
    let lower = content.to_ascii_lowercase();
    let mut at = 0;
    loop {
        at += find(&lower[at..], b"charset")? + b"charset".len();
        let Some(after) = skip_space(&content[at..]).strip_prefix(b"=") else { continue };
        let after = skip_space(after);
        return match after.first()? {
            quote @ (b'"' | b'\'') => {
                let label = &after[1..];
                Some(&label[..label.iter().position(|byte| byte == quote)?])
            }
            _ => {
                let ends = |byte: &u8| byte.is_ascii_whitespace() || *byte == b';';
                Some(&after[..after.iter().position(ends).unwrap_or(after.len())])
            }
        };
    }
}

fn skip_space(bytes: &[u8]) -> &[u8] {
    let space = bytes.iter().take_while(|byte| byte.is_ascii_whitespace());
    &bytes[space.count()..]
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    match what {
        [byte] => bytes.iter().position(|other| other == byte),
        _ => bytes.windows(what.len()).position(|window| window == what),
    }
}

/// The attributes of a tag. After the last one, the rest begins after the tag.
struct Attributes<'b> {
    rest: &'b [u8],
}

impl<'b> Attributes<'b> {
    /// Takes the name of the tag.
    fn name(&mut self) -> &'b [u8] {
        let ends = |byte: &u8| byte.is_ascii_whitespace() || matches!(byte, b'>' | b'/');
        self.take(self.rest.iter().position(ends))
    }

    /// Takes the bytes before a place, or all.
    fn take(&mut self, end: Option<usize>) -> &'b [u8] {
        let (taken, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        self.rest = rest;
        taken
    }

    fn value(&mut self) -> &'b [u8] {
        self.rest = skip_space(self.rest);
        match self.rest.first() {
            Some(quote @ (b'"' | b'\'')) => {
                self.rest = &self.rest[1..];
                let value = self.take(self.rest.iter().position(|byte| byte == quote));
                self.rest = self.rest.get(1..).unwrap_or_default();
                value
            }
            _ => {
                let ends = |byte: &u8| byte.is_ascii_whitespace() || *byte == b'>';
                self.take(self.rest.iter().position(ends))
            }
        }
    }
}

impl<'b> Iterator for Attributes<'b> {
    type Item = (&'b [u8], &'b [u8]);

    fn next(&mut self) -> Option<(&'b [u8], &'b [u8])> {
        let is_between = |byte: &u8| byte.is_ascii_whitespace() || *byte == b'/';
        let between = self.rest.iter().take_while(|byte| is_between(byte)).count();
        self.rest = &self.rest[between..];
        if *self.rest.first()? == b'>' {
            self.rest = &self.rest[1..];
            return None;
        }
        // a name may begin with `=`
        let ends = |byte: &u8| byte.is_ascii_whitespace() || matches!(byte, b'=' | b'>' | b'/');
        let length = 1 + self.rest[1..].iter().take_while(|byte| !ends(byte)).count();
        let name = self.take(Some(length));
        let after = skip_space(self.rest);
        match after.strip_prefix(b"=") {
            Some(value) => {
                self.rest = value;
                let value = self.value();
                Some((name, value))
            }
            None => Some((name, b"")),
        }
    }
}
