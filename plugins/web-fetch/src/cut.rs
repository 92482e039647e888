//! A part of a long text: from a cursor on, at most so many characters, up to the end of a block.
use tidegate_sdk::{Problem, Result};

/// A part, and where the next one begins.
#[derive(Debug, PartialEq, Eq)]
pub struct Part {
    /// Its text.
    pub text: String,
    /// In characters of the whole; `None` at its end.
    pub next: Option<usize>,
}

/// Cursors count characters. A part ends with a block (a blank line) if one ends in its second half,
/// else with a line, else with a word, else where it must.
pub fn part(whole: &str, cursor: usize, most: usize) -> Result<Part> {
    let mut indices = whole.char_indices().map(|(at, _)| at);
    let begin = match cursor {
        0 => 0,
        _ => indices.by_ref().nth(cursor).ok_or_else(|| beyond(whole, cursor))?,
    };
    let rest = &whole[begin..];
    let Some((end, _)) = rest.char_indices().nth(most) else {
        return Ok(Part { text: rest.trim_end().to_owned(), next: None });
    };
    let window = &rest[..end];
    let half = window.len() / 2;
    let ends = [last(window, "\n\n"), last(window, "\n"), last(window, " ")];
    let end = ends.into_iter().flatten().find(|end| *end > half).unwrap_or(end);
    let taken = &rest[..end];
    let next = cursor + taken.chars().count();
    Ok(Part { text: taken.trim_end().to_owned(), next: Some(next) })
}

/// Behind the last one of it.
fn last(window: &str, what: &str) -> Option<usize> {
    window.rfind(what).map(|at| at + what.len())
}

fn beyond(whole: &str, cursor: usize) -> Problem {
    let all = whole.chars().count();
    let message = format!(
        "`cursor` is {cursor}, but the text has {all} characters: use the `next_cursor` of a result"
    );
    Problem::new("invalid_tool_input", message)
}
