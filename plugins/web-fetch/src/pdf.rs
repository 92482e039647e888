//! The text of PDF files: built from the drawn glyphs by their positions.
use hayro_interpret::font::{Glyph, GlyphRun};
use hayro_interpret::hayro_cmap::BfString;
use hayro_interpret::hayro_syntax::Pdf;
use hayro_interpret::kurbo::{Affine, BezPath, Point};
use hayro_interpret::{
    BlendMode, ClipPath, Context, Device, DrawMode, DrawProps, Image, ImageDrawProps,
    InterpreterCache, InterpreterSettings, RectExt, SoftMask, interpret_page,
};
use tidegate_sdk::{Problem, Result, host};

use crate::charset::End;
use crate::inflated;

/// The largest number of pages; later pages are left out.
const MAX_PAGES: usize = 500;
/// The most bytes of the drawing commands of all pages, which stay in memory.
const MAX_COMMANDS: usize = 24 << 20;
/// The nanoseconds after which no further page is read.
const MAX_TIME: u64 = 8_000_000_000;
/// Distances are in thousandths of the font's size. This distance starts another line.
const LINE: f64 = 500.0;
/// This distance starts another paragraph.
const PARAGRAPH: f64 = 1800.0;
/// This distance starts another word.
const WORD: f64 = 150.0;

/// The text of a file.
pub struct Read {
    pub title: Option<String>,
    /// The text, with a blank line between pages.
    pub text: String,
    /// Pages at the end of the file are missing.
    pub is_beginning: bool,
}

/// Reads a file.
///
/// Fails if the file cannot be read, or has no text.
pub fn read(body: Vec<u8>, end: End) -> Result<Read> {
    let is_cut = end == End::Cut;
    if inflated::is_too_large(&body) {
        let message = "the PDF file has streams that are too large to be read";
        return Err(Problem::new("content_too_large", message));
    }
    let pdf = Pdf::new(body).map_err(|_| match is_cut {
        true => Problem::new(
            "content_too_large",
            "the PDF file is larger than 5 MiB, and its beginning cannot be read without its end",
        ),
        false => unsupported("the PDF file is locked or damaged: it cannot be read"),
    })?;
    let cache = InterpreterCache::new();
    let started = host::clock();
    let mut commands = 0;
    let mut whole = String::new();
    let mut pages = pdf.pages().iter();
    for page in pages.by_ref().take(MAX_PAGES) {
        let bounds = page.intersected_crop_box().to_kurbo();
        let settings = InterpreterSettings::default();
        let mut context = Context::new(Affine::IDENTITY, bounds, &cache, pdf.xref(), settings);
        let mut lines = Lines::default();
        interpret_page(page, &mut context, &mut lines);
        let text = lines.finish();
        if !text.is_empty() && !whole.is_empty() {
            whole.push_str("\n\n");
        }
        whole.push_str(&text);
        commands += page.page_stream().map_or(0, <[u8]>::len);
        if commands > MAX_COMMANDS || host::clock().saturating_sub(started) > MAX_TIME {
            break;
        }
    }
    let is_beginning = is_cut || pages.next().is_some();
    match (whole.is_empty(), is_beginning) {
        (false, _) => Ok(Read { title: title(&pdf), text: whole, is_beginning }),
        (true, true) => Err(Problem::new(
            "content_too_large",
            "the PDF file is too large, and its first pages have no text",
        )),
        (true, false) => Err(unsupported("the PDF file has no text in it, only pictures")),
    }
}

fn unsupported(message: &str) -> Problem {
    Problem::new("unsupported_content_type", message)
}

/// Decodes a title: UTF-16 with its byte order mark, or one byte per character.
fn title(pdf: &Pdf) -> Option<String> {
    let bytes = pdf.metadata().title.as_deref()?;
    let title = match bytes {
        [0xfe, 0xff, rest @ ..] => {
            let units = rest.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]]));
            char::decode_utf16(units).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
        }
        _ => String::from_utf8(bytes.to_vec())
            .unwrap_or_else(|_| bytes.iter().map(|b| char::from(*b)).collect()),
    };
    let title = title.trim().to_owned();
    Some(title).filter(|title| !title.is_empty())
}

/// A device that draws nothing and collects the text of the glyphs.
#[derive(Default)]
struct Lines {
    whole: String,
    line: String,
    last: Option<Placed>,
}

/// The place and the width of a glyph.
struct Placed {
    place: Affine,
    advance: f64,
}

impl Lines {
    fn push(&mut self, glyph: &Glyph<'_>, place: Affine) {
        let Some(text) = glyph.as_unicode() else { return };
        if place.determinant().abs() < f64::EPSILON {
            return;
        }
        if let Some(last) = &self.last {
            // relative to the previous glyph, for any text direction
            let at = last.place.inverse() * (place * Point::ORIGIN);
            let gap = at.x - last.advance;
            self.separate(at.y.abs(), gap);
        }
        match text {
            BfString::Char(c) => self.line.push(c),
            BfString::String(text) => self.line.push_str(&text),
        }
        self.last = Some(Placed { place, advance: advance(glyph) });
    }

    /// Separates the next glyph by its distance from the line and from the end of the last glyph.
    fn separate(&mut self, off: f64, gap: f64) {
        if off > LINE {
            self.end_line();
            if off > PARAGRAPH && !self.whole.is_empty() {
                self.whole.push('\n');
            }
        } else if gap > WORD && !self.line.ends_with(' ') {
            self.line.push(' ');
        }
    }

    fn end_line(&mut self) {
        let line = self.line.trim();
        if !line.is_empty() {
            self.whole.push_str(line);
            self.whole.push('\n');
        }
        self.line.clear();
    }

    fn finish(mut self) -> String {
        self.end_line();
        let printable = |c: &char| !c.is_control() || *c == '\n';
        self.whole.trim().chars().filter(printable).collect()
    }
}

fn advance(glyph: &Glyph<'_>) -> f64 {
    let told = match glyph {
        Glyph::Outline(glyph) => glyph.advance_width(),
        Glyph::Type3(glyph) => glyph.advance_width(),
    };
    told.map_or(LINE, f64::from)
}

impl<'a> Device<'a> for Lines {
    fn draw_glyph_run(&mut self, run: &GlyphRun<'_, 'a>, props: DrawProps<'a>, _: &DrawMode) {
        for glyph in run.glyphs() {
            self.push(glyph, props.transform * glyph.transform());
        }
    }

    fn draw_path(&mut self, _: &BezPath, _: DrawProps<'a>, _: &DrawMode) {}
    fn push_clip_path(&mut self, _: &ClipPath) {}
    fn push_transparency_group(&mut self, _: f32, _: Option<SoftMask<'a>>, _: BlendMode) {}
    fn draw_image(&mut self, _: Image<'a, '_>, _: ImageDrawProps<'a>) {}
    fn pop_clip(&mut self) {}
    fn pop_transparency_group(&mut self) {}
}
