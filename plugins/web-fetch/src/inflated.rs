//! The inflated size of the streams of a PDF file. A small file can hold streams that no memory holds.
use std::io::Read;

use flate2::bufread::ZlibDecoder;

/// The most bytes of one stream.
const MAX_STREAM: usize = 24 << 20;
/// The most bytes of all streams, which bounds the time.
const MAX_ALL: usize = 256 << 20;
/// The bytes before a stream in which its filters are named.
const DICTIONARY: usize = 400;
/// The most layers of compression.
const MAX_LAYERS: usize = 3;

/// Returns whether a stream of the file is larger than a plugin can read.
pub fn is_too_large(file: &[u8]) -> bool {
    let mut all = 0;
    let mut rest = file;
    while let Some(at) = find(rest, b"stream") {
        let before = &rest[at.saturating_sub(DICTIONARY)..at];
        rest = &rest[at + b"stream".len()..];
        let data = rest.strip_prefix(b"\r\n").or_else(|| rest.strip_prefix(b"\n"));
        if let (Some(data), false) = (data, before.ends_with(b"end")) {
            let size = sized(before, data);
            all += size;
            if size > MAX_STREAM || all > MAX_ALL {
                return true;
            }
        }
    }
    false
}

/// Returns the size of a stream by the filter that its dictionary names last.
fn sized(dictionary: &[u8], data: &[u8]) -> usize {
    let start = dictionary.windows(3).rposition(|part| part == b"obj").unwrap_or(0);
    let has = |name: &[u8]| find(&dictionary[start..], name).is_some();
    let whole = || &data[..find(data, b"endstream").unwrap_or(data.len())];
    match () {
        () if has(b"LZW") => lzw_size(whole()),
        () if has(b"RunLength") || has(b"/RL") => run_length_size(whole()),
        () => size(data, MAX_LAYERS),
    }
}

/// Returns the size of LZW data, from the lengths of its codes alone.
fn lzw_size(data: &[u8]) -> usize {
    const CLEAR: usize = 256;
    const END: usize = 257;
    let (mut lengths, mut last, mut width) = (vec![1_usize; 258], 0, 9);
    let (mut bits, mut held, mut size) = (0_u32, 0, 0);
    for byte in data {
        bits = bits << 8 | u32::from(*byte);
        held += 8;
        if held < width {
            continue;
        }
        held -= width;
        let code = (bits >> held) as usize & ((1 << width) - 1);
        if code == END || size > MAX_STREAM {
            break;
        }
        if code == CLEAR {
            lengths.truncate(258);
            (last, width) = (0, 9);
            continue;
        }
        let length = lengths.get(code).copied().unwrap_or(last + 1);
        if last > 0 && lengths.len() < 4096 {
            lengths.push(last + 1);
        }
        size += length;
        last = length;
        width = (usize::BITS - (lengths.len() + 1).leading_zeros()).clamp(9, 12);
    }
    size
}

fn run_length_size(data: &[u8]) -> usize {
    let (mut at, mut size) = (0, 0);
    while let Some(byte) = data.get(at).filter(|byte| **byte != 128) {
        let length = usize::from(*byte);
        let (read, written) =
            if length < 128 { (length + 2, length + 1) } else { (2, 257 - length) };
        at += read;
        size += written;
    }
    size
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

#[cfg(test)]
mod tests {
    use super::{lzw_size, run_length_size};

    #[test]
    fn the_size_is_that_of_the_text_that_the_codes_stand_for() {
        // the example of the PDF standard: 45 45 45 45 45 65 45 45 45 66
        let data = [0x80, 0x0b, 0x60, 0x50, 0x22, 0x0c, 0x0c, 0x85, 0x01];
        assert_eq!(lzw_size(&data), 10);
        assert_eq!(run_length_size(&[2, b'a', b'b', b'c', 254, b'x', 128, 9, 9]), 6);
        assert_eq!((lzw_size(&[]), run_length_size(&[])), (0, 0));
    }

    #[test]
    fn a_repeated_byte_grows_with_each_code() {
        // 256, 97, 258, 259, … up to 510: 1 + 2 + … + 254 bytes
        let codes = [256, 97].into_iter().chain(258..510_u32);
        let (mut data, mut bits, mut held) = (Vec::new(), 0_u32, 0);
        for code in codes {
            bits = bits << 9 | code;
            held += 9;
            while held >= 8 {
                held -= 8;
                data.push((bits >> held) as u8);
            }
        }
        // the last bits may be left over
        let expect: usize = (1..=253).sum();
        assert!((expect - 253..=expect).contains(&lzw_size(&data)), "{}", lzw_size(&data));
    }
}
