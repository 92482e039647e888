//! Bit masks over a block of string bytes: one bit for each byte of interest.
use wide::i8x16;

/// The number of bytes in a block.
pub(super) const BLOCK: usize = 64;
/// The number of bytes in one SIMD register.
pub(super) const LANE: usize = 16;

/// Returns a bit for each byte that is a quote, a backslash, a control character or not ASCII.
#[inline(always)]
pub(super) fn special(block: &[u8; BLOCK]) -> u64 {
    bits(block, special_in)
}

#[inline(always)]
fn special_in(lane: i8x16) -> i8x16 {
    // bytes above 0x7f are negative as `i8`
    lane.simd_lt(i8x16::splat(0x20))
        | lane.simd_eq(i8x16::splat(b'"' as i8))
        | lane.simd_eq(i8x16::splat(b'\\' as i8))
}

/// Does the same as [`special`] for a quarter of a block.
#[inline(always)]
pub(super) fn special_in_lane(lane: &[u8; LANE]) -> u32 {
    special_in(i8x16::new(lane.map(|byte| byte as i8))).to_bitmask()
}

/// Returns a bit for each byte that equals `byte`.
#[inline(always)]
pub(super) fn equal(block: &[u8; BLOCK], byte: u8) -> u64 {
    bits(block, |lane| lane.simd_eq(i8x16::splat(byte as i8)))
}

/// Returns a bit for each byte that is not ASCII.
#[inline(always)]
pub(super) fn high(block: &[u8; BLOCK]) -> u64 {
    bits(block, |lane| lane)
}

/// Returns the highest bit of each byte after `test`.
#[inline(always)]
fn bits(block: &[u8; BLOCK], test: impl Fn(i8x16) -> i8x16) -> u64 {
    let mut bits = 0;
    for (n, lane) in block.as_chunks::<LANE>().0.iter().enumerate() {
        let lane = i8x16::new(lane.map(|byte| byte as i8));
        bits |= u64::from(test(lane).to_bitmask()) << (LANE * n);
    }
    bits
}

/// Returns a bit for each byte that follows an unescaped backslash.
///
/// A run of backslashes escapes every other byte, starting with its second. One subtraction finds the
/// end of all runs at once: it depends on whether the first byte of a run has an odd or even position.
pub(super) fn escaped(slashes: u64) -> u64 {
    const ODD: u64 = 0xaaaa_aaaa_aaaa_aaaa;
    ((slashes << 1 | ODD).wrapping_sub(slashes) ^ ODD) ^ slashes
}
