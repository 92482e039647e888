//! `mask`, `masked` and `normalized`: patterns over the texts of a request, natively and in one pass.
use std::borrow::Cow;
use std::ops::Range;
use std::rc::Rc;

use bytes::Bytes;
use rhai::{Dynamic, Engine, FnPtr, ImmutableString, Map, NativeCallContext};

use crate::error::Result;
use crate::policy::script::error::{AuthorError, ScriptResult};
use crate::policy::script::normal::Normal;
use crate::policy::script::patterns::{Match, Patterns};
use crate::policy::script::place::{List, Object, Place};
use crate::policy::script::run::Run;
use crate::policy::script::strings::check_length;
use crate::policy::script::tokens::{self, Token};
use crate::policy::script::walk;
use crate::wire::Step;
use crate::wire::content::places::Part;
use crate::wire::document::texts::Name;
use crate::wire::escape::{escapes, unescaped};
use crate::wire::layers::move_back;

/// Everything that a guard sees.
const PARTS: &[Part] = &[
    Part::System,
    Part::Messages,
    Part::ToolResults,
    Part::ToolInputs,
    Part::Tools,
    Part::References,
    Part::User,
    Part::Unknown,
];

/// Registers the functions with an engine.
pub(super) fn register(engine: &mut Engine) {
    type Ctx<'a> = NativeCallContext<'a>;
    engine
        .register_fn("mask", |ctx: Ctx<'_>, at: &mut Object, what: Dynamic, with: Dynamic| {
            Masking::new(&ctx, &what, with)?.place(&at.0)
        })
        .register_fn("mask", |ctx: Ctx<'_>, at: &mut List, what: Dynamic, with: Dynamic| {
            Masking::new(&ctx, &what, with)?.place(&at.0)
        })
        .register_fn(
            "mask",
            |ctx: Ctx<'_>, text: &mut ImmutableString, what: Dynamic, with: Dynamic| {
                let mut masking = Masking::new(&ctx, &what, with)?;
                if let Some(masked) = masking.text(text)? {
                    *text = masked.into();
                }
                Ok::<_, Box<rhai::EvalAltResult>>(masking.count)
            },
        )
        .register_fn(
            "masked",
            |ctx: Ctx<'_>, text: ImmutableString, what: Dynamic, with: Dynamic| {
                let masked = Masking::new(&ctx, &what, with)?.text(&text)?;
                Ok::<_, Box<rhai::EvalAltResult>>(masked.map_or(text, ImmutableString::from))
            },
        )
        .register_fn("normalized", |ctx: Ctx<'_>, text: &str| -> ScriptResult<String> {
            Run::check_time()?;
            let normal = Normal::of(text).into_text();
            check_length(&ctx, normal.len())?;
            Ok(normal)
        });
}

/// One call of `mask`.
struct Masking<'a> {
    ctx: &'a NativeCallContext<'a>,
    patterns: Rc<Patterns>,
    with: Replacement,
    /// The number of replacements so far.
    count: i64,
    /// The bytes of all new texts so far.
    written: usize,
}

/// The replacement of matches.
enum Replacement {
    /// The same text for all.
    Text(ImmutableString),
    /// A text for each pattern, in the order of the patterns.
    Named(Vec<ImmutableString>),
    /// A function of the match: it returns the new text, or nothing to keep it.
    Function(FnPtr),
}

/// A text of the document with a match in it.
struct Hit {
    path: Vec<Name>,
    json: Bytes,
    /// Whether every string in the JSON is a text.
    is_values: bool,
}

/// The parts of a text to replace, in order, and their replacements.
#[derive(Default)]
struct Edits {
    ranges: Vec<Range<usize>>,
    texts: Vec<ImmutableString>,
}

impl<'a> Masking<'a> {
    fn new(
        ctx: &'a NativeCallContext<'a>,
        patterns: &Dynamic,
        with: Dynamic,
    ) -> ScriptResult<Self> {
        let patterns = Patterns::of(patterns)?;
        let with = Replacement::of(with, &patterns)?;
        Ok(Self { ctx, patterns, with, count: 0, written: 0 })
    }

    /// Masks the texts below a place. Texts without a match keep their bytes.
    fn place(mut self, place: &Place) -> ScriptResult<i64> {
        for hit in self.hits(place)? {
            Run::check_time()?;
            let changed = match hit.is_values {
                true => self.values(&hit.json)?,
                false => self.string(&hit.json)?,
            };
            let Some(json) = changed else { continue };
            self.written += json.len();
            check_length(self.ctx, self.written)?;
            place.with(None, |document, start| {
                let path: Vec<Step<'_>> =
                    start.iter().copied().chain(hit.path.iter().map(Name::step)).collect();
                document.set(&path, json)
            })?;
        }
        Ok(self.count)
    }

    /// Returns the texts with a match. The document is free again before any function of the script runs.
    fn hits(&self, place: &Place) -> ScriptResult<Vec<Hit>> {
        let mut hits = Vec::new();
        walk::texts(place, PARTS, |found, is_values| {
            let is_hit = match is_values {
                true => self.is_in_values(&found.json)?,
                false => self.is_in(&found.json),
            };
            if is_hit {
                hits.push(Hit { path: found.path.to_vec(), json: found.json, is_values });
            }
            Ok(())
        })?;
        Ok(hits)
    }

    fn is_in(&self, json: &[u8]) -> bool {
        let text = unescaped(inner(json));
        self.patterns.is_match(Normal::of(&text).text())
    }

    fn is_in_values(&self, json: &[u8]) -> Result<bool> {
        for token in tokens::of(json) {
            let Token::String { range, .. } = token else { continue };
            walk::in_time()?;
            if self.is_in(&json[range]) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Returns a text with its matches replaced, if there are any.
    fn text(&mut self, text: &str) -> ScriptResult<Option<String>> {
        let edits = self.edits(text)?;
        if edits.ranges.is_empty() {
            return Ok(None);
        }
        let masked =
            edits.applied(text.as_bytes(), |new, out| out.extend_from_slice(new.as_bytes()));
        check_length(self.ctx, masked.len())?;
        Ok(Some(String::from_utf8_lossy(&masked).into_owned()))
    }

    /// Returns the JSON of a string with its matches replaced, if there are any. The rest keeps its escapes.
    fn string(&mut self, json: &[u8]) -> ScriptResult<Option<Vec<u8>>> {
        let inner = inner(json);
        let text = unescaped(inner);
        let mut edits = self.edits(&text)?;
        if edits.ranges.is_empty() {
            return Ok(None);
        }
        if let Cow::Owned(_) = text {
            move_back(&mut edits.ranges, escapes(inner));
        }
        let mut masked = vec![b'"'];
        masked.extend(edits.applied(inner, |new, out| {
            let quoted = serde_json::Value::from(new).to_string();
            out.extend_from_slice(quoted.as_bytes().get(1..quoted.len() - 1).unwrap_or_default());
        }));
        masked.push(b'"');
        Ok(Some(masked))
    }

    /// Returns JSON with the matches in all its strings replaced, names of members too.
    fn values(&mut self, json: &[u8]) -> ScriptResult<Option<Vec<u8>>> {
        let mut strings = tokens::Rewriting::of(json);
        for token in tokens::of(json) {
            let new = match &token {
                Token::String { range, .. } => self.string(&json[range.clone()])?,
                _ => None,
            };
            strings.add(token, new);
        }
        Ok(strings.finish())
    }

    /// Returns the parts of a text to replace. The patterns read its normal form.
    fn edits(&mut self, text: &str) -> ScriptResult<Edits> {
        let normal = Normal::of(text);
        let mut edits = Edits::default();
        for found in self.patterns.matches(normal.text())? {
            if let Some(new) = self.with.of_match(self.ctx, &found, normal.text())? {
                check_length(self.ctx, self.written.saturating_add(new.len()))?;
                self.written += new.len();
                edits.ranges.push(found.range);
                edits.texts.push(new);
            }
        }
        self.count += edits.ranges.len() as i64;
        normal.to_original(&mut edits.ranges);
        Ok(edits)
    }
}

impl Replacement {
    fn of(value: Dynamic, patterns: &Patterns) -> ScriptResult<Self> {
        if let Ok(text) = value.as_immutable_string_ref() {
            return Ok(Self::Text(text.clone()));
        }
        if let Some(map) = value.read_lock::<Map>() {
            return Self::named(&map, patterns);
        }
        let kind = value.type_name();
        value.try_cast::<FnPtr>().map(Self::Function).ok_or_else(|| {
            AuthorError(format!(
                "`mask` takes a text, a map of texts or a function as the replacement, not a value of type `{kind}`"
            ))
            .into()
        })
    }

    fn named(map: &Map, patterns: &Patterns) -> ScriptResult<Self> {
        let mut texts = Vec::new();
        for name in patterns.names() {
            let text = name.and_then(|name| map.get(name.as_str()));
            let text = text.and_then(|text| text.clone().into_immutable_string().ok());
            let text = text.ok_or_else(|| {
                AuthorError(
                    "a map of replacements needs a map of patterns, and a text for each name in it"
                        .to_owned(),
                )
            })?;
            texts.push(text);
        }
        Ok(Self::Named(texts))
    }

    /// Returns the text in place of a match; `None` if the match stays.
    fn of_match(
        &self,
        ctx: &NativeCallContext<'_>,
        found: &Match,
        text: &str,
    ) -> ScriptResult<Option<ImmutableString>> {
        match self {
            Self::Text(text) => Ok(Some(text.clone())),
            Self::Named(texts) => Ok(texts.get(found.pattern).cloned()),
            Self::Function(function) => {
                Run::check_time()?;
                let found = text[found.range.clone()].to_owned();
                let new: Dynamic = function.call_within_context(ctx, (found,))?;
                if new.is_unit() {
                    return Ok(None);
                }
                let new = new.into_immutable_string().map_err(|kind| {
                    AuthorError(format!(
                        "the function given to `mask` must return the new text or nothing, not a value of type `{kind}`"
                    ))
                })?;
                Ok(Some(new))
            }
        }
    }
}

impl Edits {
    /// Returns the bytes of a text with the replacements; `write` adds one.
    fn applied(&self, text: &[u8], write: impl Fn(&str, &mut Vec<u8>)) -> Vec<u8> {
        let mut out = Vec::with_capacity(text.len());
        let mut done = 0;
        for (range, new) in self.ranges.iter().zip(&self.texts) {
            out.extend_from_slice(&text[done..range.start]);
            write(new, &mut out);
            done = range.end;
        }
        out.extend_from_slice(&text[done..]);
        out
    }
}

/// Returns the bytes between the quotes of a JSON string.
fn inner(json: &[u8]) -> &[u8] {
    json.get(1..json.len().saturating_sub(1)).unwrap_or_default()
}
