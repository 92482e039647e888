//! Texts: functions of Rhai that are bounded before they build large values, and functions that Rhai lacks.
use rhai::{Array, Dynamic, Engine, EvalAltResult, ImmutableString, NativeCallContext, Position};

use crate::policy::script::error::{AuthorError, ScriptResult};
use crate::policy::script::place::List;
use crate::policy::script::run::Run;

/// The pieces between two checks of the deadline.
const STRIDE: usize = 1024;

/// Registers the functions with an engine, in place of Rhai's own.
pub(super) fn register(engine: &mut Engine) {
    replaces(engine);
    splits(engine);
    engine
        .register_fn("pad", pad)
        .register_fn(
            "pad",
            |ctx: NativeCallContext<'_>, text: &mut ImmutableString, len: i64, with: char| {
                pad(ctx, text, len, with.encode_utf8(&mut [0; 4]))
            },
        )
        .register_fn("trimmed", |text: &str| ImmutableString::from(text.trim()))
        .register_fn("strip_prefix", |text: ImmutableString, prefix: &str| {
            text.strip_prefix(prefix).map_or_else(|| text.clone(), Into::into)
        })
        .register_fn("strip_suffix", |text: ImmutableString, suffix: &str| {
            text.strip_suffix(suffix).map_or_else(|| text.clone(), Into::into)
        })
        .register_fn("shortened", shortened)
        .register_fn("join", |ctx: NativeCallContext<'_>, items: Array, between: &str| {
            join(&ctx, items.into_iter().map(Ok), between)
        })
        .register_fn("join", |ctx: NativeCallContext<'_>, items: List, between: &str| {
            join(&ctx, items.into_iter(), between)
        });
}

/// Fails if a text of that many bytes would exceed the limit.
pub(super) fn check_length(ctx: &NativeCallContext<'_>, bytes: usize) -> ScriptResult<()> {
    if bytes <= ctx.engine().max_string_size() {
        return Ok(());
    }
    Err(EvalAltResult::ErrorDataTooLarge("Length of string".to_owned(), Position::NONE).into())
}

/// Returns the error of an array that would exceed the limit.
pub(super) fn too_many() -> Box<EvalAltResult> {
    EvalAltResult::ErrorDataTooLarge("Size of array/BLOB".to_owned(), Position::NONE).into()
}

fn replaces(engine: &mut Engine) {
    type TextArgument<'a> = &'a mut ImmutableString;
    type Ctx<'a> = NativeCallContext<'a>;
    engine
        .register_fn("replaced", |ctx: Ctx<'_>, text: &str, find: &str, with: &str| {
            replaced(&ctx, text, find, with)
        })
        .register_fn("replace", |ctx: Ctx<'_>, text: TextArgument<'_>, find: &str, with: &str| {
            replace(&ctx, text, find, with)
        })
        .register_fn("replace", |ctx: Ctx<'_>, text: TextArgument<'_>, find: &str, with: char| {
            replace(&ctx, text, find, with.encode_utf8(&mut [0; 4]))
        })
        .register_fn("replace", |ctx: Ctx<'_>, text: TextArgument<'_>, find: char, with: &str| {
            replace(&ctx, text, find.encode_utf8(&mut [0; 4]), with)
        })
        .register_fn("replace", |ctx: Ctx<'_>, text: TextArgument<'_>, find: char, with: char| {
            replace(&ctx, text, find.encode_utf8(&mut [0; 4]), with.encode_utf8(&mut [0; 4]))
        });
}

fn replace(
    ctx: &NativeCallContext<'_>,
    text: &mut ImmutableString,
    find: &str,
    with: &str,
) -> ScriptResult<()> {
    *text = replaced(ctx, text, find, with)?.into();
    Ok(())
}

/// Replaces text. Rhai's own function builds the whole result before it checks the limit.
fn replaced(
    ctx: &NativeCallContext<'_>,
    text: &str,
    find: &str,
    with: &str,
) -> ScriptResult<String> {
    let mut out = String::new();
    let mut done = 0;
    for (n, (at, found)) in text.match_indices(find).enumerate() {
        if n.is_multiple_of(STRIDE) {
            Run::check_time()?;
        }
        check_length(ctx, out.len() + (at - done) + with.len())?;
        out.push_str(&text[done..at]);
        out.push_str(with);
        done = at + found.len();
    }
    check_length(ctx, out.len() + text.len() - done)?;
    out.push_str(&text[done..]);
    Ok(out)
}

fn splits(engine: &mut Engine) {
    type Ctx<'a> = NativeCallContext<'a>;
    engine
        .register_fn("split", |ctx: Ctx<'_>, text: &str| pieces(&ctx, text.split_whitespace()))
        .register_fn("split", |ctx: Ctx<'_>, text: &str, by: &str| pieces(&ctx, text.split(by)))
        .register_fn("split", |ctx: Ctx<'_>, text: &str, by: char| pieces(&ctx, text.split(by)))
        .register_fn("split", |ctx: Ctx<'_>, text: &str, by: &str, most: i64| {
            pieces(&ctx, text.splitn(at_least_one(most), by))
        })
        .register_fn("split", |ctx: Ctx<'_>, text: &str, by: char, most: i64| {
            pieces(&ctx, text.splitn(at_least_one(most), by))
        })
        .register_fn("split_rev", |ctx: Ctx<'_>, text: &str, by: &str| {
            pieces(&ctx, text.rsplit(by))
        })
        .register_fn("split_rev", |ctx: Ctx<'_>, text: &str, by: char| {
            pieces(&ctx, text.rsplit(by))
        })
        .register_fn("split_rev", |ctx: Ctx<'_>, text: &str, by: &str, most: i64| {
            pieces(&ctx, text.rsplitn(at_least_one(most), by))
        })
        .register_fn("split_rev", |ctx: Ctx<'_>, text: &str, by: char, most: i64| {
            pieces(&ctx, text.rsplitn(at_least_one(most), by))
        })
        .register_fn("to_chars", |ctx: Ctx<'_>, text: &str| {
            limited(&ctx, text.chars().map(Dynamic::from))
        });
}

fn at_least_one(most: i64) -> usize {
    usize::try_from(most).unwrap_or_default().max(1)
}

fn pieces<'a>(
    ctx: &NativeCallContext<'_>,
    pieces: impl Iterator<Item = &'a str>,
) -> ScriptResult<Array> {
    limited(ctx, pieces.map(Into::into))
}

fn limited(
    ctx: &NativeCallContext<'_>,
    items: impl Iterator<Item = Dynamic>,
) -> ScriptResult<Array> {
    let most = ctx.engine().max_array_size();
    let all: Array = items.take(most + 1).collect();
    if all.len() > most { Err(too_many()) } else { Ok(all) }
}

/// Pads a text. Rhai's own function never ends if the padding is empty.
fn pad(
    ctx: NativeCallContext<'_>,
    text: &mut ImmutableString,
    len: i64,
    with: &str,
) -> ScriptResult<()> {
    let missing = usize::try_from(len).unwrap_or_default().saturating_sub(text.chars().count());
    if missing == 0 {
        return Ok(());
    }
    let unit = with.chars().count();
    if unit == 0 {
        return Err(
            AuthorError("`pad` needs a text to pad with, not an empty one".to_owned()).into()
        );
    }
    let rest = with.char_indices().nth(missing % unit).map_or(0, |(end, _)| end);
    let whole = (missing / unit).saturating_mul(with.len());
    check_length(&ctx, text.len().saturating_add(whole).saturating_add(rest))?;
    let mut padded = String::with_capacity(text.len() + whole + rest);
    padded.push_str(text);
    padded.extend(std::iter::repeat_n(with, missing / unit));
    padded.push_str(&with[..rest]);
    *text = padded.into();
    Ok(())
}

fn shortened(text: ImmutableString, characters: i64) -> ImmutableString {
    let most = usize::try_from(characters).unwrap_or_default();
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", &text[..end]).into(),
        None => text,
    }
}

fn join(
    ctx: &NativeCallContext<'_>,
    items: impl Iterator<Item = ScriptResult>,
    between: &str,
) -> ScriptResult<String> {
    let mut all = String::new();
    for (n, item) in items.enumerate() {
        Run::check_time()?;
        let item = item?;
        let text = match item.as_immutable_string_ref() {
            Ok(text) => text.clone(),
            Err(_) if item.is_int() || item.is_float() || item.is_bool() || item.is_char() => {
                item.to_string().into()
            }
            Err(kind) => {
                let message = format!(
                    "`join` takes texts, numbers and booleans, not a value of type `{kind}`"
                );
                return Err(AuthorError(message).into());
            }
        };
        check_length(ctx, all.len() + between.len() + text.len())?;
        if n > 0 {
            all.push_str(between);
        }
        all.push_str(&text);
    }
    Ok(all)
}
