//! The tokens of an image by the published rules of the providers.
use std::num::NonZeroU32;

use serde::{Deserialize, Deserializer};

/// The pixels of the longest edge and of the short side that OpenAI's tiles are cut from.
const TILES_FIT: (f64, f64) = (2048.0, 768.0);
/// The edge of OpenAI's tiles in pixels.
const TILE: f64 = 512.0;
/// The edge of OpenAI's patches in pixels.
const PATCH: f64 = 32.0;
/// The edge of Gemini's squares in pixels, and the largest image that is one square.
const SQUARE: (u32, u32) = (768, 384);

/// A rule for the tokens of images, and the tokens of a page of a PDF.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(tag = "rule", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum ImageRule {
    /// Squares of `cell` pixels, one token each, after a resize to `edge` pixels and `most` tokens.
    Cells {
        /// The edge of a square in pixels.
        cell: NonZeroU32,
        /// The longest edge of the image.
        edge: NonZeroU32,
        /// The most tokens.
        most: NonZeroU32,
        /// The tokens of a page.
        page: u64,
    },
    /// Squares of 32 pixels, times `multiplier`, after a resize to `edge` pixels and `most` squares.
    Patches {
        /// The tokens of a square.
        #[serde(deserialize_with = "factor")]
        multiplier: f64,
        /// The longest edge of the image.
        edge: NonZeroU32,
        /// The most squares.
        most: NonZeroU32,
        /// The tokens of a page.
        page: u64,
    },
    /// `base`, and `tile` for each square of 512 pixels, after a resize.
    Tiles {
        /// The tokens of every image.
        base: u64,
        /// The tokens of a square.
        tile: u64,
        /// The tokens of a page.
        page: u64,
    },
    /// `tile` for each square of 768 pixels.
    Squares {
        /// The tokens of a square.
        tile: u64,
        /// The tokens of a page.
        page: u64,
    },
    /// The same for every image.
    Fixed {
        /// The tokens of an image.
        tokens: u64,
        /// The tokens of a page.
        page: u64,
    },
}

impl ImageRule {
    /// The rule of a model that the table has no rule for: about the size of Anthropic's.
    pub(crate) const UNKNOWN: Self = Self::Fixed { tokens: 1500, page: 2300 };

    /// Returns the tokens of an image of this width and height in pixels.
    pub(crate) fn tokens(self, width: u32, height: u32) -> u64 {
        let (w, h) = (f64::from(width.max(1)), f64::from(height.max(1)));
        match self {
            Self::Cells { cell, edge, most, .. } => {
                cells(w, h, [cell, edge, most].map(|n| f64::from(n.get())))
            }
            Self::Patches { multiplier, edge, most, .. } => {
                (patches(w, h, [edge, most].map(|n| f64::from(n.get()))) as f64 * multiplier).ceil()
                    as u64
            }
            Self::Tiles { base, tile, .. } => base + tile * tiles(w, h),
            Self::Squares { tile, .. } if width.max(height) <= SQUARE.1 => tile,
            Self::Squares { tile, .. } => {
                tile * u64::from(width.max(1).div_ceil(SQUARE.0))
                    * u64::from(height.max(1).div_ceil(SQUARE.0))
            }
            Self::Fixed { tokens, .. } => tokens,
        }
    }

    /// Returns the tokens of a page of a PDF.
    pub(crate) fn page(self) -> u64 {
        match self {
            Self::Cells { page, .. }
            | Self::Patches { page, .. }
            | Self::Tiles { page, .. }
            | Self::Squares { page, .. }
            | Self::Fixed { page, .. } => page,
        }
    }
}

/// Reads a factor, which is more than 0 and not absurd.
pub(super) fn factor<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    use serde::de::Error;
    match f64::deserialize(deserializer)? {
        factor if factor > 0.0 && factor <= 100.0 => Ok(factor),
        other => {
            Err(D::Error::custom(format!("expected more than 0 and up to 100, found {other}")))
        }
    }
}

fn fitted(w: f64, h: f64, edge: f64) -> (f64, f64) {
    let scale = (edge / w.max(h)).min(1.0);
    (w * scale, h * scale)
}

/// Anthropic's rule: the largest image of the same shape within both bounds.
fn cells(w: f64, h: f64, [cell, edge, most]: [f64; 3]) -> u64 {
    let count = |w: f64, h: f64| (w / cell).ceil() * (h / cell).ceil();
    let (w, h) = fitted(w, h, edge);
    if count(w, h) <= most {
        return count(w, h) as u64;
    }
    // bisect the scale: the count grows with it
    let (mut low, mut high) = (0.0, 1.0);
    for _ in 0..40 {
        let scale = (low + high) / 2.0;
        match count((w * scale).floor().max(1.0), (h * scale).floor().max(1.0)) <= most {
            true => low = scale,
            false => high = scale,
        }
    }
    count((w * low).floor().max(1.0), (h * low).floor().max(1.0)) as u64
}

/// OpenAI's rule for its newer models.
fn patches(w: f64, h: f64, [edge, most]: [f64; 2]) -> u64 {
    let (w, h) = fitted(w, h, edge);
    let count = (w / PATCH).ceil() * (h / PATCH).ceil();
    if count <= most {
        return count as u64;
    }
    let scale = (PATCH * PATCH * most / (w * h)).sqrt();
    let (across, down) = (w * scale / PATCH, h * scale / PATCH);
    // the scale is lowered until the patches of both sides are whole
    let whole = (across.floor() / across).min(down.floor() / down);
    let scale = if whole > 0.0 { scale * whole } else { scale };
    let sides =
        (w * scale / PATCH - 1e-9).ceil().max(1.0) * (h * scale / PATCH - 1e-9).ceil().max(1.0);
    sides.min(most) as u64
}

/// OpenAI's rule for its older models.
fn tiles(w: f64, h: f64) -> u64 {
    let (w, h) = fitted(w, h, TILES_FIT.0);
    let scale = (TILES_FIT.1 / w.min(h)).min(1.0);
    let across = |side: f64| (side * scale / TILE - 1e-9).ceil().max(1.0) as u64;
    across(w) * across(h)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn n(number: u32) -> NonZeroU32 {
        NonZeroU32::new(number).unwrap()
    }

    const HIGH: ImageRule = ImageRule::Cells { cell: n(28), edge: n(2576), most: n(4784), page: 0 };
    const STANDARD: ImageRule =
        ImageRule::Cells { cell: n(28), edge: n(1568), most: n(1568), page: 0 };
    const PATCHES: ImageRule =
        ImageRule::Patches { multiplier: 1.2, edge: n(2048), most: n(2500), page: 0 };
    const TILES: ImageRule = ImageRule::Tiles { base: 85, tile: 170, page: 0 };
    const SQUARES: ImageRule = ImageRule::Squares { tile: 258, page: 0 };

    #[test]
    fn images_have_the_tokens_of_the_published_examples() {
        for (rule, width, height, tokens) in [
            (HIGH, 1920, 1080, 2691),
            (STANDARD, 1920, 1080, 1560),
            (HIGH, 1344, 756, 1296),
            (STANDARD, 1344, 756, 1296),
            (PATCHES, 1024, 1024, 1229),
            (PATCHES, 2048, 2048, 3000),
            (TILES, 1024, 1024, 85 + 4 * 170),
            (TILES, 512, 512, 85 + 170),
            (TILES, 2048, 4096, 85 + 6 * 170),
            (SQUARES, 384, 384, 258),
            (SQUARES, 385, 384, 258),
            (SQUARES, 769, 768, 2 * 258),
        ] {
            assert_eq!(rule.tokens(width, height), tokens, "{rule:?} of {width}x{height}");
        }
    }

    #[test]
    fn no_size_exceeds_the_cap_of_its_rule() {
        for (width, height) in
            [(0, 0), (1, 1), (1, u32::MAX), (u32::MAX, 1), (u32::MAX, u32::MAX), (8000, 3001)]
        {
            assert!((1..=4784).contains(&HIGH.tokens(width, height)));
            assert!((1..=1568).contains(&STANDARD.tokens(width, height)));
            assert!((1..=3000).contains(&PATCHES.tokens(width, height)));
            assert!(TILES.tokens(width, height) > 85);
        }
    }
}
