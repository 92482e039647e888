//! `cargo xtask keep`: keeps the examples of this version in `tests/compat/VERSION`, for the tests of later versions.
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use tidegate_builder::shell::say;

use crate::release::VERSION;
use crate::shell::root;

/// The plugins to keep: one with a tool, one with hooks.
const PLUGINS: [&str; 2] = ["datetime", "strictness"];
/// The info string of a config in the book.
const CONFIG: &str = "yaml tidegate";
/// Files that the configs name, with the page and the info string of their example.
const NAMED: [(&str, &str, &str); 2] = [
    ("models.yaml", "docs/operate/model-table.md", "yaml models.yaml"),
    ("prices.yaml", "docs/operate/prices.md", "yaml"),
];

/// Writes the folder; fails if it exists, since a release does not change.
pub fn keep(args: &[&str]) -> Result<()> {
    if !args.is_empty() {
        bail!("usage: cargo xtask keep");
    }
    let folder = root().join("tests/compat").join(VERSION);
    if folder.exists() {
        bail!("{} exists: a release does not change; raise the version first", folder.display());
    }
    let mut configs = String::new();
    for page in files(&root().join("docs"), "md")? {
        let text = fs::read_to_string(&page)?;
        let name = page.strip_prefix(root())?.display();
        for block in blocks(&text, CONFIG) {
            configs += &format!("# {name}\n{block}---\n");
        }
    }
    fs::create_dir_all(folder.join("plugins"))?;
    fs::write(folder.join("configs.yaml"), configs.trim_end_matches("---\n"))?;
    for (file, page, info) in NAMED {
        let page = fs::read_to_string(root().join(page))?;
        let block = blocks(&page, info).into_iter().next();
        fs::write(
            folder.join(file),
            block.with_context(|| format!("no block `{info}` for {file}"))?,
        )?;
    }
    let policies = root().join("policies");
    for file in [files(&policies, "rhai")?, files(&policies, "yaml")?].concat() {
        copy(&file, &folder.join("policies").join(file.strip_prefix(&policies)?))?;
    }
    for name in PLUGINS {
        let file = format!("plugins/{name}.wasm");
        copy(&root().join(&file), &folder.join(&file))?;
    }
    say(&format!("kept: {}", folder.display()));
    Ok(())
}

/// Returns the blocks of a page with this info string. A config may name its file after it.
fn blocks(page: &str, info: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        let rest = line.strip_prefix("```").and_then(|own| own.strip_prefix(info));
        if rest.is_some_and(|rest| rest.is_empty() || info == CONFIG && rest.starts_with(' ')) {
            let inner = lines.by_ref().take_while(|line| !line.starts_with("```"));
            found.push(inner.map(|line| format!("{line}\n")).collect());
        }
    }
    found
}

/// Returns the files with this extension below a folder, in the order of names.
fn files(folder: &Path, extension: &str) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in
            fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))?
        {
            let path = entry?.path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|own| own == extension) {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to.parent().context("a file has a folder")?)?;
    fs::copy(from, to).with_context(|| format!("cannot copy {}", from.display()))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configs_of_a_page_are_found() {
        let page = "# A\n```yaml tidegate\na: 1\n```\n```yaml\nb: 2\n```\n```yaml tidegate x.yaml\nc: 3\n```\n";
        assert_eq!(blocks(page, CONFIG), ["a: 1\n", "c: 3\n"]);
        assert_eq!(blocks(page, "yaml"), ["b: 2\n"]);
    }
}
