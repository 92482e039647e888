//! Custom sections of a component. One of them holds the manifest, which is read without running
//! the component.
use wasm_encoder::{CustomSection, Section as _};
use wasmparser::{Chunk, CustomSectionReader, Parser, Payload};

/// The section for a plugin's manifest, JSON text.
pub const MANIFEST: &str = "tidegate:manifest";

/// The length of magic, version and layer.
const PREAMBLE: usize = 8;

/// Returns the content of the custom section of that name; `None` if there is none, or if the file
/// is incomplete.
pub fn read<'a>(wasm: &'a [u8], name: &str) -> Option<&'a [u8]> {
    sections(wasm).find_map(|section| section.named(name))
}

/// Returns the file without a section of that name at its very end, where [`with`] puts it. A file
/// compiled before its description is then equal to a file compiled afterwards.
pub fn before<'a>(wasm: &'a [u8], name: &str) -> &'a [u8] {
    let mut end = PREAMBLE;
    let mut last = None;
    for section in sections(wasm) {
        last = Some((end, section.named(name).is_some()));
        end += section.whole.len();
    }
    match last {
        Some((start, true)) if end == wasm.len() => &wasm[..start],
        _ => wasm,
    }
}

/// Returns the file with a custom section of that name at its end. Older ones are removed.
pub fn with(wasm: &[u8], name: &str, content: &[u8]) -> Vec<u8> {
    let mut written = wasm.get(..PREAMBLE).unwrap_or(wasm).to_vec();
    for section in sections(wasm).filter(|section| section.named(name).is_none()) {
        written.extend_from_slice(section.whole);
    }
    CustomSection { name: name.into(), data: content.into() }.append_to(&mut written);
    written
}

/// A section of the outermost level. Code comes in pieces.
struct Section<'a> {
    /// The whole section, with its id and its size.
    whole: &'a [u8],
    custom: Option<CustomSectionReader<'a>>,
}

impl<'a> Section<'a> {
    fn named(&self, name: &str) -> Option<&'a [u8]> {
        self.custom.as_ref().filter(|custom| custom.name() == name).map(CustomSectionReader::data)
    }
}

/// Returns the sections of the outermost level, up to the first incomplete one.
fn sections(wasm: &[u8]) -> impl Iterator<Item = Section<'_>> {
    let mut parser = Parser::new(0);
    let mut at = 0;
    std::iter::from_fn(move || {
        loop {
            let start = at;
            let chunk = parser.parse(wasm.get(at..)?, true).ok()?;
            let Chunk::Parsed { consumed, payload } = chunk else { return None };
            at += consumed;
            let custom = match payload {
                Payload::Version { .. } => continue,
                Payload::End(_) => return None,
                Payload::CustomSection(custom) => Some(custom),
                // the content is skipped
                Payload::ModuleSection { unchecked_range, .. }
                | Payload::ComponentSection { unchecked_range, .. } => {
                    at = unchecked_range.end;
                    None
                }
                _ => None,
            };
            return Some(Section { whole: wasm.get(start..at)?, custom });
        }
    })
}

#[cfg(test)]
mod tests {
    use super::{before, read, with};

    const EMPTY: &[u8] = b"\0asm\x0d\0\x01\0";

    #[test]
    fn a_written_section_is_read_back() {
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
    fn removing_the_last_section_restores_the_original_file() {
        let other = [EMPTY, &[1, 2, 0xaa, 0xbb]].concat();
        let wasm = with(&other, "one", b"first");
        assert_eq!(before(&wasm, "one"), other);
        // another section, one that is not at the end, an incomplete file: all unchanged
        assert_eq!(before(&wasm, "two"), wasm);
        let more = with(&wasm, "two", b"second");
        assert_eq!(before(&more, "one"), more);
        assert_eq!(before(&wasm[..wasm.len() - 1], "one"), &wasm[..wasm.len() - 1]);
        assert_eq!(before(b"", "one"), b"");
    }

    #[test]
    fn a_section_of_a_nested_module_is_not_a_section_of_the_file() {
        let inner = with(b"\0asm\x01\0\0\0", "one", b"of the module");
        let length = u8::try_from(inner.len()).unwrap();
        let outer = [EMPTY, &[1, length], &inner].concat();
        assert_eq!(read(&inner, "one"), Some(&b"of the module"[..]));
        assert_eq!(read(&outer, "one"), None);
        assert_eq!(read(&with(&outer, "one", b"of the file"), "one"), Some(&b"of the file"[..]));
    }

    #[test]
    fn half_a_file_has_no_sections() {
        let wasm = with(EMPTY, "one", b"first");
        for length in 0..wasm.len() {
            assert_eq!(read(&wasm[..length], "one"), None, "{length}");
        }
    }
}
