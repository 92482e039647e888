//! Regular expressions in linear time, compiled once per thread.
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use regex::{Captures, Regex, RegexBuilder};
use rhai::{Array, Dynamic, Engine, FnPtr, NativeCallContext};

use crate::policy::script::error::{AuthorError, Quoting, ScriptResult};
use crate::policy::script::run::Run;
use crate::policy::script::strings::{check_length, too_many};

/// The longest pattern in bytes; a longer one is rejected before it is parsed.
pub(super) const MAX_PATTERN: usize = 16 * 1024;
/// The most bytes of a compiled pattern, and again of its working memory.
const MAX_PROGRAM: usize = 1024 * 1024;
/// The depth of nested groups.
pub(super) const MAX_NESTING: u32 = 64;
/// The most compiled patterns that a thread keeps. A script that computes many patterns replaces them all.
const MAX_KEPT: usize = 256;
/// The compilations on one thread that take none of the scripts' time.
const MAX_FREE: usize = 1000;
/// The matches between two checks of the deadline.
const STRIDE: usize = 64;

/// Registers the functions with an engine.
pub(super) fn register(engine: &mut Engine) {
    engine
        .register_fn("regex_match", |text: &str, pattern: &str| -> ScriptResult<bool> {
            Ok(compiled(pattern)?.is_match(text))
        })
        .register_fn("regex_find", find)
        .register_fn("regex_find_all", find_all)
        .register_fn("regex_captures", captures)
        .register_fn("regex_replace", replace)
        .register_fn("regex_replace", replace_with);
}

thread_local! {
    static KEPT: RefCell<HashMap<Box<str>, Rc<Regex>>> = RefCell::default();
}

/// Returns the program of a pattern. It is shared: a clone would have to warm up again.
pub(super) fn compiled(pattern: &str) -> ScriptResult<Rc<Regex>> {
    Run::check_time()?;
    if let Some(kept) = KEPT.with_borrow(|kept| kept.get(pattern).cloned()) {
        return Ok(kept);
    }
    if pattern.len() > MAX_PATTERN {
        let message = format!("a regular expression is longer than {MAX_PATTERN} bytes");
        return Err(AuthorError(message).into());
    }
    let mut builder = RegexBuilder::new(pattern);
    builder.size_limit(MAX_PROGRAM).dfa_size_limit(MAX_PROGRAM).nest_limit(MAX_NESTING);
    let built = prepared(|| builder.build());
    let regex = Rc::new(built.map_err(|error| wrong(&error, pattern))?);
    KEPT.with_borrow_mut(|kept| {
        if kept.len() >= MAX_KEPT {
            kept.clear();
        }
        kept.insert(pattern.into(), Rc::clone(&regex));
    });
    Ok(regex)
}

/// Compiles outside of the script's time. After many compilations on this thread, the script seems to compute
/// its patterns, and pays for them.
pub(super) fn prepared<T>(compile: impl FnOnce() -> T) -> T {
    thread_local! {
        static COUNT: Cell<usize> = const { Cell::new(0) };
    }
    COUNT.set(COUNT.get().saturating_add(1));
    match COUNT.get() {
        0..MAX_FREE => Run::untimed(compile),
        _ => compile(),
    }
}

/// Returns the error of a pattern. The crate's own message quotes the pattern, which may come from a body.
fn wrong(error: &regex::Error, pattern: &str) -> Quoting {
    let why = match error {
        regex::Error::Syntax(shown) => {
            let why = shown.rsplit_once("error: ").map_or("it does not parse", |(_, why)| why);
            why.lines().next().unwrap_or_default().to_owned()
        }
        regex::Error::CompiledTooBig(_) => "its compiled form is too big".to_owned(),
        _ => "it cannot be compiled".to_owned(),
    };
    Quoting {
        message: format!("a regular expression is invalid: {why}"),
        quote: pattern.to_owned(),
    }
}

fn find(text: &str, pattern: &str) -> ScriptResult {
    let found = compiled(pattern)?.find(text).map(|found| found.as_str().into());
    Ok(found.unwrap_or_default())
}

fn find_all(ctx: NativeCallContext<'_>, text: &str, pattern: &str) -> ScriptResult<Array> {
    let regex = compiled(pattern)?;
    let most = ctx.engine().max_array_size();
    let mut all = Array::new();
    for (n, found) in regex.find_iter(text).enumerate() {
        if n.is_multiple_of(STRIDE) {
            Run::check_time()?;
        }
        if all.len() == most {
            return Err(too_many());
        }
        all.push(found.as_str().into());
    }
    Ok(all)
}

fn captures(text: &str, pattern: &str) -> ScriptResult {
    let regex = compiled(pattern)?;
    let Some(groups) = regex.captures(text) else { return Ok(Dynamic::UNIT) };
    let groups = groups.iter();
    let groups: Array =
        groups.map(|group| group.map_or(Dynamic::UNIT, |group| group.as_str().into())).collect();
    Ok(groups.into())
}

fn replace(
    ctx: NativeCallContext<'_>,
    text: &str,
    pattern: &str,
    replacement: &str,
) -> ScriptResult<String> {
    let regex = compiled(pattern)?;
    let dollars = replacement.matches('$').count();
    if dollars == 0 {
        let matches = regex.find_iter(text).map(|found| (found.range(), ()));
        return rewritten(&ctx, text, matches, |(), out| {
            check_length(&ctx, out.len() + replacement.len())?;
            out.push_str(replacement);
            Ok(())
        });
    }
    let matches = regex.captures_iter(text).map(|groups| (range(&groups), groups));
    rewritten(&ctx, text, matches, |groups, out| {
        // no group is longer than the whole match: this bound is known before any text is built
        let longest = dollars.saturating_mul(range(&groups).len());
        check_length(&ctx, out.len().saturating_add(replacement.len()).saturating_add(longest))?;
        groups.expand(replacement, out);
        Ok(())
    })
}

fn replace_with(
    ctx: NativeCallContext<'_>,
    text: &str,
    pattern: &str,
    change: FnPtr,
) -> ScriptResult<String> {
    let regex = compiled(pattern)?;
    let matches = regex.find_iter(text).map(|found| (found.range(), found.as_str()));
    rewritten(&ctx, text, matches, |found, out| {
        Run::check_time()?;
        let new: Dynamic = change.call_within_context(&ctx, (found.to_owned(),))?;
        if new.is_unit() {
            out.push_str(found);
            return Ok(());
        }
        let new = new.into_immutable_string().map_err(|kind| {
            AuthorError(format!(
                "the function given to `regex_replace` must return the new text or nothing, not a value of type `{kind}`"
            ))
        })?;
        check_length(&ctx, out.len() + new.len())?;
        out.push_str(&new);
        Ok(())
    })
}

fn range(groups: &Captures<'_>) -> std::ops::Range<usize> {
    groups.get(0).map_or(0..0, |whole| whole.range())
}

/// Returns the text in which `write` replaces each match.
fn rewritten<M>(
    ctx: &NativeCallContext<'_>,
    text: &str,
    matches: impl Iterator<Item = (std::ops::Range<usize>, M)>,
    mut write: impl FnMut(M, &mut String) -> ScriptResult<()>,
) -> ScriptResult<String> {
    let mut out = String::new();
    let mut done = 0;
    for (n, (place, found)) in matches.enumerate() {
        if n.is_multiple_of(STRIDE) {
            Run::check_time()?;
        }
        out.push_str(&text[done..place.start]);
        write(found, &mut out)?;
        done = place.end;
    }
    check_length(ctx, out.len() + text.len() - done)?;
    out.push_str(&text[done..]);
    Ok(out)
}
