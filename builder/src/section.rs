//! Custom sections of a component: the manifest travels in one, and is read without running anything.

/// The section that holds a plugin's manifest, JSON text.
pub const MANIFEST: &str = "tidegate:manifest";

/// Magic, version and layer.
const PREAMBLE: usize = 8;
const CUSTOM: u8 = 0;

/// What a custom section of that name holds; none if there is none, or no whole file.
pub fn read<'a>(wasm: &'a [u8], name: &str) -> Option<&'a [u8]> {
    sections(wasm).find_map(|section| named(&section, name))
}

/// The file without a section of that name at its very end, where [`with`] puts it: what was compiled
/// before it was described is the same then as what is compiled afterwards.
pub fn before<'a>(wasm: &'a [u8], name: &str) -> &'a [u8] {
    let mut end = PREAMBLE;
    let mut last = None;
    for section in sections(wasm) {
        last = Some((end, named(&section, name).is_some()));
        end += section.whole.len();
    }
    match last {
        Some((start, true)) if end == wasm.len() => &wasm[..start],
        _ => wasm,
    }
}

/// The same file with a custom section of that name at its end, in place of older ones.
pub fn with(wasm: &[u8], name: &str, content: &[u8]) -> Vec<u8> {
    let mut written = wasm.get(..PREAMBLE).unwrap_or(wasm).to_vec();
    for section in sections(wasm).filter(|section| named(section, name).is_none()) {
        written.extend_from_slice(section.whole);
    }
    let mut body = Vec::with_capacity(content.len() + name.len() + 5);
    push_number(&mut body, name.len());
    body.extend_from_slice(name.as_bytes());
    body.extend_from_slice(content);
    written.push(CUSTOM);
    push_number(&mut written, body.len());
    written.extend_from_slice(&body);
    written
}

struct Section<'a> {
    id: u8,
    content: &'a [u8],
    /// With its id and its size.
    whole: &'a [u8],
}

/// Those of the outermost level, as far as the file is whole.
fn sections(wasm: &[u8]) -> impl Iterator<Item = Section<'_>> {
    let mut rest = wasm.get(PREAMBLE..).unwrap_or_default();
    std::iter::from_fn(move || {
        let (id, behind) = rest.split_first()?;
        let (size, behind) = number(behind)?;
        let (content, behind) = behind.split_at_checked(size)?;
        let whole = &rest[..rest.len() - behind.len()];
        rest = behind;
        Some(Section { id: *id, content, whole })
    })
}

fn named<'a>(section: &Section<'a>, name: &str) -> Option<&'a [u8]> {
    let (length, content) = (section.id == CUSTOM).then(|| number(section.content))??;
    let (found, content) = content.split_at_checked(length)?;
    (found == name.as_bytes()).then_some(content)
}

/// An unsigned LEB128 of at most 32 bits, and what stands behind it.
fn number(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut value = 0usize;
    for (n, byte) in bytes.iter().enumerate().take(5) {
        value |= usize::from(byte & 0x7f) << (7 * n);
        if byte & 0x80 == 0 {
            return Some((value, &bytes[n + 1..]));
        }
    }
    None
}

fn push_number(bytes: &mut Vec<u8>, mut value: usize) {
    while value > 0x7f {
        bytes.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

#[cfg(test)]
mod tests {
    use super::{before, number, push_number, read, with};

    const EMPTY: &[u8] = b"\0asm\x0d\0\x01\0";

    #[test]
    fn what_was_written_is_read() {
        let wasm = with(EMPTY, "one", b"first");
        let wasm = with(&wasm, "two", &[7; 1000]);
        assert_eq!(read(&wasm, "one"), Some(&b"first"[..]));
        assert_eq!(read(&wasm, "two"), Some(&[7; 1000][..]));
        assert_eq!(read(&wasm, "three"), None);
    }

    #[test]
    fn a_section_takes_the_place_of_an_older_one() {
        let first = with(EMPTY, "one", b"first");
        let second = with(&first, "one", b"again");
        assert_eq!(second.len(), first.len());
        assert_eq!(read(&second, "one"), Some(&b"again"[..]));
    }

    #[test]
    fn other_sections_stay_byte_for_byte() {
        let other = [EMPTY, &[1, 2, 0xaa, 0xbb]].concat();
        assert!(with(&other, "one", b"x").starts_with(&other));
    }

    #[test]
    fn without_its_last_section_a_file_is_what_it_was() {
        let other = [EMPTY, &[1, 2, 0xaa, 0xbb]].concat();
        let wasm = with(&other, "one", b"first");
        assert_eq!(before(&wasm, "one"), other);
        // another one, one that is not at the end, half a file: as they are
        assert_eq!(before(&wasm, "two"), wasm);
        let more = with(&wasm, "two", b"second");
        assert_eq!(before(&more, "one"), more);
        assert_eq!(before(&wasm[..wasm.len() - 1], "one"), &wasm[..wasm.len() - 1]);
        assert_eq!(before(b"", "one"), b"");
    }

    #[test]
    fn half_a_file_has_no_sections() {
        let wasm = with(EMPTY, "one", b"first");
        for length in 0..wasm.len() {
            assert_eq!(read(&wasm[..length], "one"), None, "{length}");
        }
    }

    #[test]
    fn numbers_of_every_length_come_back() {
        for value in [0, 1, 127, 128, 16_383, 16_384, 20_000_000] {
            let mut bytes = Vec::new();
            push_number(&mut bytes, value);
            assert_eq!(number(&bytes), Some((value, &[][..])), "{value}");
        }
        assert_eq!(number(&[0xff; 6]), None);
    }
}
