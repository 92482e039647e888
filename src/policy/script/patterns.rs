//! `Patterns`: the patterns of one `mask`, compiled once per thread and searched in one pass.
use std::cell::{OnceCell, RefCell};
use std::collections::HashMap;
use std::ops::Range;
use std::rc::Rc;

use regex::Regex;
use regex_automata::meta;
use regex_automata::util::syntax;
use rhai::{Array, Dynamic, ImmutableString, Map};

use crate::policy::script::checks::Check;
use crate::policy::script::error::{AuthorError, ScriptResult};
use crate::policy::script::place::List;
use crate::policy::script::regex::{MAX_NESTING, MAX_PATTERN, compiled, prepared};
use crate::policy::script::run::Run;

/// The most patterns of one set.
const MAX_PATTERNS: usize = 256;
/// The most bytes of the program that searches for all patterns, and again of its working memory.
const MAX_PROGRAM: usize = 8 * 1024 * 1024;
/// The most sets that a thread keeps. A script that computes many sets replaces them all.
const MAX_KEPT: usize = 64;
/// The matches between two checks of the deadline.
const STRIDE: usize = 64;
/// The name of a group that stands for the part of a match to replace.
const GROUP: &str = "mask";

/// A set of patterns.
pub(super) struct Patterns {
    /// Finds the first match of any pattern; absent if the set is too big for one program.
    all: Option<meta::Regex>,
    written: Vec<Written>,
    /// The patterns one by one. Most texts have no match, and never need them.
    each: OnceCell<Vec<Pattern>>,
}

struct Pattern {
    regex: Rc<Regex>,
    /// The number of the group named `mask`.
    group: Option<usize>,
    check: Option<Check>,
}

/// A part of a text that a pattern matches.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Match {
    /// The bytes to replace.
    pub(super) range: Range<usize>,
    /// The index of the pattern.
    pub(super) pattern: usize,
}

/// One pattern as a script writes it.
#[derive(PartialEq, Eq, Hash, Clone)]
struct Written {
    name: Option<ImmutableString>,
    pattern: ImmutableString,
    check: Option<Check>,
}

thread_local! {
    static KEPT: RefCell<HashMap<Vec<Written>, Rc<Patterns>>> = RefCell::default();
}

impl Patterns {
    /// Reads and compiles a set: a pattern, a list of patterns, or a map of them. Each is a text, or a map with
    /// `pattern` and `check`.
    pub(super) fn of(value: &Dynamic) -> ScriptResult<Rc<Self>> {
        Run::check_time()?;
        let written = written(value)?;
        if let Some(kept) = KEPT.with_borrow(|kept| kept.get(&written).cloned()) {
            return Ok(kept);
        }
        if written.len() > MAX_PATTERNS {
            return Err(AuthorError(format!("`mask` takes at most {MAX_PATTERNS} patterns")).into());
        }
        let patterns = Rc::new(Self::compile(written.clone())?);
        KEPT.with_borrow_mut(|kept| {
            if kept.len() >= MAX_KEPT {
                kept.clear();
            }
            kept.insert(written, Rc::clone(&patterns));
        });
        Ok(patterns)
    }

    fn compile(written: Vec<Written>) -> ScriptResult<Self> {
        let config = meta::Config::new()
            .nfa_size_limit(Some(MAX_PROGRAM))
            .hybrid_cache_capacity(MAX_PROGRAM);
        let texts: Vec<&str> = written.iter().map(|one| one.pattern.as_str()).collect();
        let is_short = texts.iter().all(|text| text.len() <= MAX_PATTERN);
        let nested = syntax::Config::new().nest_limit(MAX_NESTING);
        let mut builder = meta::Regex::builder();
        builder.configure(config).syntax(nested);
        let all = if is_short { prepared(|| builder.build_many(&texts)).ok() } else { None };
        let patterns = Self { all, written, each: OnceCell::new() };
        if patterns.all.is_none() {
            // each pattern may be fine by itself; if not, its own error says why
            patterns.each()?;
        }
        Ok(patterns)
    }

    fn each(&self) -> ScriptResult<&[Pattern]> {
        if self.each.get().is_none() {
            let compiled: ScriptResult<Vec<Pattern>> =
                self.written.iter().map(Pattern::compile).collect();
            let _ = self.each.set(compiled?);
        }
        Ok(self.each.get().map_or(&[], Vec::as_slice))
    }

    /// Returns the names of the patterns.
    pub(super) fn names(&self) -> impl Iterator<Item = Option<&ImmutableString>> {
        self.written.iter().map(|pattern| pattern.name.as_ref())
    }

    /// Returns whether any pattern matches, without the checks of the matches.
    pub(super) fn is_match(&self, text: &str) -> bool {
        match &self.all {
            Some(all) => all.is_match(text),
            // they are compiled: the set was built from them
            None => self.each.get().into_iter().flatten().any(|each| each.regex.is_match(text)),
        }
    }

    /// Returns the parts of a text that the patterns match, in order. Where matches overlap, they are one: no
    /// pattern hides the rest of another one's match.
    pub(super) fn matches(&self, text: &str) -> ScriptResult<Vec<Match>> {
        Run::check_time()?;
        let start = match &self.all {
            Some(all) => match all.find(text) {
                Some(first) => first.start(),
                None => return Ok(Vec::new()),
            },
            None => 0,
        };
        let mut found = Vec::new();
        for (n, pattern) in self.each()?.iter().enumerate() {
            pattern.find(text, start, |range| found.push(Match { range, pattern: n }))?;
        }
        found.sort_unstable_by_key(|found| (found.range.start, found.pattern));
        found.dedup_by(|next, before| {
            let overlaps = next.range.start < before.range.end;
            if overlaps {
                before.range.end = before.range.end.max(next.range.end);
            }
            overlaps
        });
        Ok(found)
    }
}

impl Pattern {
    fn compile(written: &Written) -> ScriptResult<Self> {
        let regex = compiled(&written.pattern)?;
        let group = regex.capture_names().position(|name| name == Some(GROUP));
        Ok(Self { regex, group, check: written.check })
    }

    fn find(
        &self,
        text: &str,
        start: usize,
        mut act: impl FnMut(Range<usize>),
    ) -> ScriptResult<()> {
        let mut at = start;
        for n in 0_usize.. {
            if n.is_multiple_of(STRIDE) {
                Run::check_time()?;
            }
            let Some((whole, range)) = self.next(text, at) else { break };
            if !range.is_empty() && self.check.is_none_or(|check| check.holds(&text[whole.clone()]))
            {
                act(range);
            }
            at = if whole.is_empty() { after(text, whole.end) } else { whole.end };
            if at > text.len() {
                break;
            }
        }
        Ok(())
    }

    /// Returns the next match, and the part of it to replace.
    fn next(&self, text: &str, at: usize) -> Option<(Range<usize>, Range<usize>)> {
        let Some(group) = self.group else {
            let whole = self.regex.find_at(text, at)?.range();
            return Some((whole.clone(), whole));
        };
        let groups = self.regex.captures_at(text, at)?;
        let whole = groups.get(0)?.range();
        let part = groups.get(group).map_or_else(|| whole.clone(), |group| group.range());
        Some((whole, part))
    }
}

/// Returns the position after the character at `at`.
fn after(text: &str, at: usize) -> usize {
    at + text[at..].chars().next().map_or(1, char::len_utf8)
}

fn written(value: &Dynamic) -> ScriptResult<Vec<Written>> {
    if let Some(map) = value.read_lock::<Map>()
        && !is_one(&map)
    {
        let each = map.iter().map(|(name, value)| one(value, Some(name.as_str().into())));
        return each.collect();
    }
    if let Ok(list) = value.as_array_ref() {
        return list.iter().map(|value| one(value, None)).collect();
    }
    let list = value.read_lock::<List>().map(|list| list.clone());
    if let Some(mut list) = list {
        let list: Array = list.elements()?;
        return list.iter().map(|value| one(value, None)).collect();
    }
    Ok(vec![one(value, None)?])
}

/// Returns whether a map is one pattern, and not a map of patterns.
fn is_one(map: &Map) -> bool {
    map.contains_key("pattern")
        && map.keys().all(|key| ["pattern", "check"].contains(&key.as_str()))
}

fn one(value: &Dynamic, name: Option<ImmutableString>) -> ScriptResult<Written> {
    let wrong = || {
        AuthorError(
            "`mask` takes patterns as texts, or as maps with `pattern` and `check`".to_owned(),
        )
    };
    if let Ok(pattern) = value.as_immutable_string_ref() {
        return Ok(Written { name, pattern: pattern.clone(), check: None });
    }
    let map = value.read_lock::<Map>().filter(|map| is_one(map)).ok_or_else(wrong)?;
    let pattern = map.get("pattern").cloned().unwrap_or_default();
    let pattern = pattern.into_immutable_string().map_err(|_| wrong())?;
    let check = match map.get("check") {
        None => None,
        Some(check) if check.is_unit() => None,
        Some(check) => {
            let word = check.clone().into_immutable_string().unwrap_or_default();
            let check = Check::of(&word).ok_or_else(|| {
                AuthorError(format!("`check` of a pattern must be one of {}", Check::words()))
            })?;
            Some(check)
        }
    };
    Ok(Written { name, pattern, check })
}
