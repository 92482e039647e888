//! Cuts a part of a long text: from a cursor, at most a number of characters, to the end of a
//! block.
use tidegate_sdk::{Problem, Result};

/// A part, and the start of the next one.
#[derive(Debug, PartialEq, Eq)]
pub struct Part {
    /// The text of the part.
    pub text: String,
    /// The cursor of the next part, in characters of the whole text; `None` at the end.
    pub next: Option<usize>,
}

/// Returns the part at a cursor; cursors count characters. A part ends with a block (a blank line)
/// if one ends in its second half, else with a line, else with a word, else at the limit.
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

/// Returns the end of the last occurrence.
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
