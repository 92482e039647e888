//! The tokens of images and documents that a request carries in Base64: sizes and pages are read from their bytes.
use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use memchr::memmem;

use crate::catalogue::images::ImageRule;

/// The most Base64 that is decoded for the size of an image: the metadata of a photograph may come first.
const IMAGE_HEAD: usize = 1 << 20;
/// The width and height of an image that is not in the request, or whose size cannot be read.
const UNKNOWN: (u32, u32) = (1024, 1024);
/// The bytes of a page of a PDF whose pages are hidden in compressed objects.
const PAGE_BYTES: usize = 100 << 10;
/// The most pages that a number in a PDF is believed for.
const MAX_PAGES: u64 = 10_000;

/// A cut text has no padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Returns the tokens of an image in Base64.
pub(super) fn image(rule: ImageRule, data: &str) -> u64 {
    let head = decoded(data, IMAGE_HEAD);
    let size = imagesize::blob_size(&head)
        .ok()
        .and_then(|size| Some((u32::try_from(size.width).ok()?, u32::try_from(size.height).ok()?)));
    let (width, height) = size.unwrap_or(UNKNOWN);
    rule.tokens(width, height)
}

/// Returns the tokens of an image that only its address or its id stands for.
pub(super) fn unseen_image(rule: ImageRule) -> u64 {
    rule.tokens(UNKNOWN.0, UNKNOWN.1)
}

/// Returns the tokens of a PDF in Base64.
pub(super) fn pdf(rule: ImageRule, data: &str) -> u64 {
    rule.page() * pages(&decoded(data, usize::MAX))
}

/// Returns the number of pages of a PDF: its own count, or its page objects, or a guess by its size.
fn pages(pdf: &[u8]) -> u64 {
    let is_name_end = |at: usize| !pdf.get(at).is_some_and(u8::is_ascii_alphanumeric);
    let objects = ["/Type/Page", "/Type /Page"].iter().map(|name| {
        let found = memmem::find_iter(pdf, name);
        found.filter(|at| is_name_end(at + name.len())).count() as u64
    });
    let counted = memmem::find_iter(pdf, "/Count").filter_map(|at| {
        let rest = pdf[at + "/Count".len()..].trim_ascii_start();
        let end = rest.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(rest.len());
        std::str::from_utf8(&rest[..end]).ok()?.parse().ok()
    });
    let found = objects.sum::<u64>().max(counted.filter(|n| *n <= MAX_PAGES).max().unwrap_or(0));
    match found {
        0 => pdf.len().div_ceil(PAGE_BYTES).max(1) as u64,
        pages => pages,
    }
}

/// Decodes the beginning of a text in Base64; nothing if it is none.
fn decoded(data: &str, most: usize) -> Vec<u8> {
    let end = data.len().min(most);
    let text = &data.as_bytes()[..end - end % 4];
    let text = if end == data.len() { data.as_bytes() } else { text };
    BASE64.decode(text).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SQUARES: ImageRule = ImageRule::Squares { tile: 1, page: 10 };

    fn base64(bytes: &[u8]) -> String {
        base64::engine::general_purpose::STANDARD.encode(bytes)
    }

    fn png(width: u32, height: u32) -> Vec<u8> {
        let mut png = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".to_vec();
        png.extend(width.to_be_bytes());
        png.extend(height.to_be_bytes());
        png.extend(b"\x08\x06\0\0\0");
        png.resize(200, 0);
        png
    }

    fn jpeg(width: u16, height: u16, metadata: u16) -> Vec<u8> {
        let mut jpeg = b"\xff\xd8\xff\xe1".to_vec();
        jpeg.extend((metadata + 2).to_be_bytes());
        jpeg.extend(vec![0; usize::from(metadata)]);
        jpeg.extend(b"\xff\xc0\0\x11\x08");
        jpeg.extend(height.to_be_bytes());
        jpeg.extend(width.to_be_bytes());
        jpeg.resize(jpeg.len() + 100, 0);
        jpeg
    }

    fn gif(width: u16, height: u16) -> Vec<u8> {
        let mut gif = b"GIF89a".to_vec();
        gif.extend(width.to_le_bytes());
        gif.extend(height.to_le_bytes());
        gif.resize(50, 0);
        gif
    }

    fn webp(width: u32, height: u32) -> Vec<u8> {
        let mut webp = b"RIFF\x64\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0".to_vec();
        webp.extend(&(width - 1).to_le_bytes()[..3]);
        webp.extend(&(height - 1).to_le_bytes()[..3]);
        webp.resize(100, 0);
        webp
    }

    #[test]
    fn the_size_of_an_image_is_in_its_first_bytes() {
        for image in [png(1537, 769), jpeg(1537, 769, 60_000), gif(1537, 769), webp(1537, 769)] {
            assert_eq!(super::image(SQUARES, &base64(&image)), 6);
        }
        // longer than the part that is decoded
        let mut long = png(1537, 769);
        long.resize(IMAGE_HEAD, 0);
        assert_eq!(image(SQUARES, &base64(&long)), 6);
    }

    #[test]
    fn an_image_of_unknown_size_has_a_usual_one() {
        let usual = unseen_image(SQUARES);
        for data in ["", "no base64!", "aGVsbG8=", &base64(b"\x89PNG\r\n\x1a\n")] {
            assert_eq!(image(SQUARES, data), usual, "{data}");
        }
        assert_eq!(usual, 4);
    }

    #[test]
    fn the_pages_of_a_pdf_are_counted_or_guessed() {
        let objects = "%PDF-1.4 <</Type/Pages/Kids[]>> <</Type /Page>> <</Type/Page /X 1>>";
        assert_eq!(pages(objects.as_bytes()), 2);
        assert_eq!(pages(b"<</Type /Pages /Count 12>> <</Type /Page>>"), 12);
        assert_eq!(
            pages(b"<</Count 99999999999999999999999>> <</Count 500000>> <</Type/Page>>"),
            1
        );
        assert_eq!(pages(b"/Count"), 1);
        assert_eq!(pages(&[0; 250 << 10]), 3);
        assert_eq!(pdf(SQUARES, &base64(objects.as_bytes())), 20);
        assert_eq!(pdf(SQUARES, "?"), 10);
    }
}
