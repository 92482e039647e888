//! The fenced blocks of a Markdown page, and what happens when they are run in their order.
use std::path::Path;

use serde_json::Value;
use tidegate::gateway::reload::Reloaded;

use super::Shown;
use crate::support::client::{Answer, Ask};

/// A fenced block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// All that stands behind the opening fence: `sh`, `yaml tidegate`, `rhai policies/x.rhai`.
    pub info: String,
    /// What stands between the fences.
    pub text: String,
    /// Where it begins.
    pub line: usize,
}

/// The fenced blocks of a page, in order.
pub fn blocks(page: &str) -> Vec<Block> {
    let mut found = Vec::new();
    let mut open: Option<Block> = None;
    for (n, line) in page.lines().enumerate() {
        match (&mut open, line.strip_prefix("```")) {
            (None, Some(info)) => {
                open = Some(Block { info: info.to_owned(), text: String::new(), line: n + 1 });
            }
            (Some(_), Some("")) => found.extend(open.take()),
            (Some(block), _) => {
                block.text.push_str(line);
                block.text.push('\n');
            }
            (None, None) => {}
        }
    }
    assert_eq!(open, None, "a block is never closed");
    found
}

/// What a run of a page has shown.
#[derive(Debug, Default)]
pub struct Tally {
    /// Requests sent.
    pub requests: usize,
    /// Answers and headers that were as the page says.
    pub answers: usize,
    /// Files written.
    pub files: usize,
}

/// Runs a page from its top: sends what `curl` sends, compares the `json`, `http` and `events`
/// blocks below with the answer, and writes a block that names a file in the folder of the config.
pub async fn play(page: &str, folder: &Path, at: &Shown) -> Tally {
    let mut tally = Tally::default();
    let mut last: Option<Answer> = None;
    for block in blocks(page) {
        let place = format!("line {}:\n{}", block.line, block.text);
        match block.info.split_once(' ').unwrap_or((&block.info, "")) {
            ("sh", "") if block.text.contains("curl ") => {
                last = Some(curl(&block.text, folder, at).await);
                tally.requests += 1;
            }
            ("json", "") => {
                let answer = last.as_ref().unwrap_or_else(|| panic!("nothing is asked {place}"));
                let expected: Value = serde_json::from_str(&block.text).unwrap();
                let found = answer.json();
                assert!(holds(&found, &expected), "{place}\nthe answer is {found}");
                tally.answers += 1;
            }
            ("http", "") => {
                let answer = last.as_ref().unwrap_or_else(|| panic!("nothing is asked {place}"));
                has_head(answer, &block.text);
                tally.answers += 1;
            }
            ("events", "") => {
                let answer = last.as_ref().unwrap_or_else(|| panic!("nothing is asked {place}"));
                assert_eq!(event_names(answer).join(" "), block.text.trim(), "{place}");
                tally.answers += 1;
            }
            ("rhai", path) if !path.is_empty() => {
                let reloaded = at.write(path, &block.text).await;
                assert!(matches!(reloaded, Reloaded::Swapped(_)), "{place}\n{reloaded:?}");
                tally.files += 1;
            }
            _ => {}
        }
    }
    tally
}

/// The names of the events in their order: repeated ones once, and no pings.
fn event_names(answer: &Answer) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for event in answer.events() {
        let name = event.kind.as_str();
        if name != "ping" && names.last().is_none_or(|last| last != name) {
            names.push(name.to_owned());
        }
    }
    names
}

/// The status line and some of the headers. A value may end with `…` for the rest.
fn has_head(answer: &Answer, text: &str) {
    for line in text.lines() {
        match line.split_once(": ") {
            Some((name, value)) => {
                let found = answer.header(name).unwrap_or_else(|| panic!("no header: {line}"));
                match value.strip_suffix('…') {
                    Some(start) => assert!(found.starts_with(start), "{line}, not {found}"),
                    None => assert_eq!(found, value, "{line}"),
                }
            }
            None => assert_eq!(line.split(' ').nth(1), Some(answer.status.to_string().as_str())),
        }
    }
}

/// Sends what a curl command would. Files are found in `folder` by their last name.
async fn curl(command: &str, folder: &Path, at: &Shown) -> Answer {
    let words = words(command);
    let mut headers: Vec<&str> = Vec::new();
    let mut is_post = false;
    let (mut path, mut body, mut to) = ("", String::new(), at.gateway.address);
    let mut words = words.iter().skip_while(|word| *word != "curl").skip(1);
    while let Some(word) = words.next() {
        match word.as_str() {
            "-H" => headers.push(words.next().unwrap()),
            "-X" => is_post = words.next().is_some_and(|method| method == "POST"),
            "-d" => body = data(words.next().unwrap(), folder),
            word if word.starts_with('-') => {}
            url => {
                let rest = url.strip_prefix("http://127.0.0.1:").unwrap_or_else(|| panic!("{url}"));
                let port;
                (port, path) = rest.split_at(4);
                if port == "4001" {
                    to = at.gateway.admin;
                }
            }
        }
    }
    assert_ne!(path, "", "no URL: {command}");
    let is_post = is_post || !body.is_empty();
    let ask = if is_post { Ask::post(path, body) } else { Ask::get(path) };
    let headers = headers.iter().map(|header| header.split_once(": ").unwrap());
    let ask = if to == at.gateway.admin { ask.admin() } else { ask };
    headers.fold(ask, |ask, (name, value)| ask.header(name, value)).send(to).await
}

fn data(word: &str, folder: &Path) -> String {
    let Some(path) = word.strip_prefix('@') else { return word.to_owned() };
    let file = folder.join(Path::new(path).file_name().unwrap());
    std::fs::read_to_string(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()))
}

/// The words of a command as a shell splits them: blanks, quotes, lines that go on.
fn words(command: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut rest = command.chars();
    while let Some(c) = rest.next() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (Some(_), c) => word.get_or_insert_default().push(c),
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, '\\') => {
                rest.next();
            }
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            (None, c) => word.get_or_insert_default().push(c),
        }
    }
    assert_eq!(quote, None, "a quote is never closed: {command}");
    words.extend(word);
    words
}

/// Everything in `expected` is in `found` as well.
pub fn holds(found: &Value, expected: &Value) -> bool {
    match (found, expected) {
        (Value::Object(found), Value::Object(expected)) => expected
            .iter()
            .all(|(key, value)| found.get(key).is_some_and(|found| holds(found, value))),
        (Value::Array(found), Value::Array(expected)) => {
            found.len() == expected.len()
                && found.iter().zip(expected).all(|(found, expected)| holds(found, expected))
        }
        (found, expected) => found == expected,
    }
}
