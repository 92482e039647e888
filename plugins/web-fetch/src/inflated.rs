//! The inflated size of the streams of a PDF file. A small file can hold streams that no memory holds.
use std::io::Read;

use flate2::bufread::ZlibDecoder;

/// The most bytes of one stream.
const MAX_STREAM: usize = 24 << 20;
/// The most bytes of all streams, which bounds the time.
const MAX_ALL: usize = 400 << 20;
/// The most layers of compression.
const MAX_LAYERS: usize = 3;

/// Returns whether a stream of the file is larger than a plugin can read.
pub fn is_too_large(file: &[u8]) -> bool {
    let mut all = 0;
    let mut rest = file;
    while let Some(at) = find(rest, b"stream") {
        let is_end = rest[..at].ends_with(b"end");
        rest = &rest[at + b"stream".len()..];
        let data = rest.strip_prefix(b"\r\n").or_else(|| rest.strip_prefix(b"\n"));
        if let (Some(data), false) = (data, is_end) {
            let size = size(data, MAX_LAYERS);
            all += size;
            if size > MAX_STREAM || all > MAX_ALL {
                return true;
            }
        }
    }
    false
}

/// Returns the size of the largest layer, counted without keeping it.
fn size(data: &[u8], layers: usize) -> usize {
    if layers == 0 || !is_zlib(data) {
        return 0;
    }
    let mut reader = ZlibDecoder::new(data);
    let mut piece = [0; 16 << 10];
    let mut start = Vec::new();
    let mut size = 0;
    while let Ok(read) = reader.read(&mut piece) {
        size += read;
        if start.len() < 2 {
            start.extend_from_slice(&piece[..read]);
        }
        if read == 0 || size > MAX_STREAM {
            break;
        }
    }
    // compressed twice: the outer layer is small enough to be kept
    if is_zlib(&start) && size <= MAX_STREAM {
        let mut inner = Vec::with_capacity(size);
        // a damaged stream ends early
        let _ = ZlibDecoder::new(data).read_to_end(&mut inner);
        return size.max(self::size(&inner, layers - 1));
    }
    size
}

fn is_zlib(data: &[u8]) -> bool {
    match data {
        [first, second, ..] => {
            first & 0x0f == 8
                && first >> 4 <= 7
                && (u32::from(*first) << 8 | u32::from(*second)).is_multiple_of(31)
        }
        _ => false,
    }
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    let first = what[0];
    let mut from = 0;
    loop {
        from += bytes[from..].iter().position(|byte| *byte == first)?;
        if bytes[from..].starts_with(what) {
            return Some(from);
        }
        from += 1;
    }
}
