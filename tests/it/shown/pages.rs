//! The pages of the book under `docs/`.
use std::fs;

use super::page::{Block, blocks};
use super::{root, text};

/// The paths of all pages of the book, `docs/README.md` among them, without `docs/SUMMARY.md`.
pub fn of_the_book() -> Vec<String> {
    let mut found = Vec::new();
    collect("docs", &mut found);
    found.retain(|name| name != "docs/SUMMARY.md");
    found.sort();
    assert!(found.len() > 60, "the book is gone: {found:?}");
    found
}

fn collect(folder: &str, found: &mut Vec<String>) {
    for entry in fs::read_dir(root().join(folder)).unwrap() {
        let entry = entry.unwrap();
        let name = format!("{folder}/{}", entry.file_name().to_str().unwrap());
        if entry.path().is_dir() {
            collect(&name, found);
        } else if name.ends_with(".md") {
            found.push(name);
        }
    }
}

/// The fenced blocks of the README and of all pages of the book, with their places.
pub fn all_blocks(info: &str) -> Vec<(String, Block)> {
    let mut names = of_the_book();
    names.push("README.md".to_owned());
    let mut found = Vec::new();
    for name in names {
        let fitting = blocks(&text(&name)).into_iter().filter(|block| {
            block.info == info || block.info.strip_prefix(info).is_some_and(|r| r.starts_with(' '))
        });
        found.extend(fitting.map(|block| (format!("{name}:{}", block.line), block)));
    }
    found
}
