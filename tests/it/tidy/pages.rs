//! What `ARCHITECTURE.md` names: files, folders, modules and items that have to be there.
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::imports::Imports;

/// Endings of what the repository is made of.
const ENDINGS: [&str; 9] =
    [".rs", ".rhai", ".wit", ".md", ".toml", ".yaml", ".py", ".mjs", ".json"];

/// All that a page may name.
pub struct Names {
    /// Files and folders, from the root of the repository.
    paths: BTreeSet<String>,
    imports: Imports,
}

impl Names {
    /// Those of the repository and of one of its crates.
    pub fn of(repository: &Path, imports: Imports) -> Self {
        let mut paths = BTreeSet::new();
        walk(repository, "", &mut paths);
        Self { paths, imports }
    }

    /// The same of a repository that has these files.
    pub fn with(paths: &[&str], imports: Imports) -> Self {
        let mut all = BTreeSet::new();
        for path in paths {
            let folders = path.match_indices('/').map(|(end, _)| path[..end].to_owned());
            all.extend(folders.chain([(*path).to_owned()]));
        }
        Self { paths: all, imports }
    }

    /// What a page names that is not there: paths in backticks, modules in blocks of code as well.
    pub fn missing_in(&self, page: &str) -> Vec<String> {
        let words = words(page).into_iter().filter(|word| {
            let file = is_file(word.text, &self.paths).filter(|_| !word.is_in_block);
            let is_lost = file.is_some_and(|path| !self.has_path(path));
            is_lost || is_code_path(word.text) && !self.has_item(word.text)
        });
        words.map(|word| format!("line {}: `{}`", word.line, word.text)).collect()
    }

    /// A page may leave out the folders that its sentence is about.
    fn has_path(&self, path: &str) -> bool {
        let path = path.trim_end_matches('/');
        let end = format!("/{path}");
        self.paths.iter().any(|found| found == path || found.ends_with(&end))
    }

    /// `policy::Hook`, `attempts::send`, `Health::enter`: of methods only the type is looked for.
    fn has_item(&self, word: &str) -> bool {
        let path: Vec<&str> = word.split("::").collect();
        self.imports.has_name(path.strip_prefix(&["crate"]).unwrap_or(&path))
    }
}

/// A word in backticks or in a block of code.
struct Word<'a> {
    text: &'a str,
    line: usize,
    is_in_block: bool,
}

fn words(page: &str) -> Vec<Word<'_>> {
    let mut words = Vec::new();
    let mut is_in_block = false;
    for (n, line) in page.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            is_in_block = !is_in_block;
            continue;
        }
        let spans: Vec<&str> = match is_in_block {
            true => vec![line],
            false => line.split('`').skip(1).step_by(2).collect(),
        };
        let is_between = |c: char| c.is_whitespace() || ",;()".contains(c);
        let found = spans.into_iter().flat_map(|span| span.split(is_between));
        let found = found.map(|text| text.trim_end_matches(['.', ':']));
        words.extend(found.map(|text| Word { text, line: n + 1, is_in_block }));
    }
    words
}

/// The path that a word names, as far as it has no placeholder such as `<name>`.
fn is_file<'a>(word: &'a str, known: &BTreeSet<String>) -> Option<&'a str> {
    let is_fitting = |c: char| c.is_ascii_alphanumeric() || "_-./<>*".contains(c);
    if word.starts_with(['/', '.', '<', '*']) || !word.chars().all(is_fitting) {
        return None;
    }
    let first = word.split('/').next().unwrap_or(word);
    let is_folder = |name: &str| known.contains(name) || known.contains(&format!("src/{name}"));
    let is_path = word.contains('/') && (word.ends_with('/') || is_folder(first));
    if !is_path && !ENDINGS.iter().any(|ending| word.ends_with(ending)) {
        return None;
    }
    let Some(placeholder) = word.find(['<', '*']) else { return Some(word) };
    word[..placeholder].rsplit_once('/').map(|(folder, _)| folder)
}

fn is_code_path(word: &str) -> bool {
    let is_name = |name: &str| {
        let is_fitting = |c: char| c.is_ascii_alphanumeric() || c == '_';
        !name.is_empty() && name.chars().all(is_fitting)
    };
    word.contains("::") && word.split("::").all(is_name)
}

fn walk(dir: &Path, before: &str, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        if name.starts_with('.') || name == "target" || name == "node_modules" {
            continue;
        }
        let path = format!("{before}{name}");
        if entry.path().is_dir() {
            walk(&entry.path(), &format!("{path}/"), found);
        }
        found.insert(path);
    }
}
