//! The book is complete: its summary, its links, and the reference pages agree with the code.
mod cli_page;
mod config_page;
mod manual;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Component, Path, PathBuf};

use crate::shown::page::blocks;
use crate::shown::pages::of_the_book;
use crate::shown::{root, text};

/// A link of a page: its text and its target.
struct Link {
    text: String,
    target: String,
}

/// The links of a page outside of its fenced blocks.
fn links(page: &str) -> Vec<Link> {
    let mut found = Vec::new();
    for line in outside_of_blocks(page) {
        let parts: Vec<&str> = line.split("](").collect();
        for pair in parts.windows(2) {
            let text = pair[0].rsplit('[').next().unwrap().to_owned();
            let target = pair[1].split(')').next().unwrap().to_owned();
            found.push(Link { text, target });
        }
    }
    found
}

fn outside_of_blocks(page: &str) -> impl Iterator<Item = &str> {
    let mut is_in_block = false;
    page.lines().filter(move |line| {
        let is_fence = line.starts_with("```");
        is_in_block ^= is_fence;
        !is_in_block && !is_fence
    })
}

/// The anchor of a heading.
fn slug(heading: &str) -> String {
    let words = heading.trim_start_matches('#').trim().to_lowercase().replace(' ', "-");
    words.chars().filter(|c| c.is_alphanumeric() || *c == '-' || *c == '_').collect()
}

fn anchors(page: &str) -> BTreeSet<String> {
    outside_of_blocks(page).filter(|line| line.starts_with('#')).map(slug).collect()
}

/// A path without `.` and `..`.
fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                assert!(normal.pop(), "{} leaves the repository", path.display())
            }
            Component::CurDir => {}
            part => normal.push(part),
        }
    }
    normal
}

#[test]
fn the_summary_names_every_page_by_its_title() {
    let summary = links(&text("docs/SUMMARY.md"));
    let named: Vec<String> = summary.iter().map(|link| format!("docs/{}", link.target)).collect();
    let unique: BTreeSet<&String> = named.iter().collect();
    assert_eq!(unique.len(), named.len(), "a page is named twice");
    assert_eq!(unique, of_the_book().iter().collect());
    for (link, name) in summary.iter().zip(&named) {
        let title = text(name).lines().next().unwrap().trim_start_matches("# ").to_owned();
        assert_eq!(link.text, title, "{name}");
    }
}

#[test]
fn every_link_between_pages_resolves() {
    let names = of_the_book();
    let examples = ["failover", "keys", "plugins", "quickstart"];
    let examples = examples.map(|name| format!("examples/{name}/README.md"));
    let others = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md"]
        .into_iter()
        .chain(["docs/SUMMARY.md", "benches/README.md", "tests/README.md"])
        .chain(["tests/clients/README.md"]);
    let others: Vec<String> = others.map(str::to_owned).chain(examples).collect();
    for name in names.iter().chain(&others) {
        let page = text(name);
        for Link { target, .. } in links(&page).iter().filter(|link| !link.target.contains("://")) {
            let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
            let file = match path {
                "" => PathBuf::from(name),
                path => normal(&Path::new(name).parent().unwrap().join(path)),
            };
            assert!(root().join(&file).exists(), "{name} links to {target}");
            // the built book has its pages and pictures, and nothing else of the repository
            let is_picture =
                file.starts_with("docs") && file.extension().is_some_and(|it| it == "png");
            let is_page = is_picture || names.iter().any(|page| Path::new(page) == file);
            let is_fine = is_page || !name.starts_with("docs/");
            assert!(is_fine, "{name} links out of the book: {target}");
            if !anchor.is_empty() {
                let found = anchors(&text(file.to_str().unwrap()));
                assert!(found.contains(anchor), "{name} links to {target}, of {found:?}");
            }
        }
    }
}

#[test]
fn a_page_is_short() {
    for name in of_the_book().iter().filter(|name| !name.starts_with("docs/reference/")) {
        let lines = text(name).lines().count();
        assert!(lines <= 170 || name.ends_with("policies/reference.md"), "{name}: {lines} lines");
    }
}

/// The names after a prefix in a text, such as `target` of `x-tidegate-target`.
fn names_after(text: &str, prefix: &str) -> BTreeSet<String> {
    let ends = text.split(prefix).skip(1);
    let names = ends.map(|rest| rest.split(|c: char| !c.is_ascii_lowercase() && c != '-').next());
    let names = names.map(|name| name.unwrap().trim_end_matches('-').to_owned());
    names.filter(|name| !name.is_empty()).collect()
}

/// The text of all files with this ending, without tests.
fn sources(folder: &Path, ending: &str, found: &mut String) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() && name != "tests" {
            sources(&path, ending, found);
        } else if name.ends_with(ending) && name != "tests.rs" {
            found.push_str(&fs::read_to_string(&path).unwrap());
        }
    }
}

#[test]
fn the_headers_page_has_every_header_of_the_gateway_and_no_other() {
    let mut code = String::new();
    sources(&root().join("src"), ".rs", &mut code);
    sources(&root().join("policies"), ".rhai", &mut code);
    let mut expected = names_after(&code, "x-tidegate-");
    let requested = text("src/exchange/requested/mod.rs");
    let members = requested.split("const MEMBERS").nth(1).unwrap().split("];").next().unwrap();
    let members = members.split('"').skip(1).step_by(2).map(|name| name.replace('_', "-"));
    expected.extend(members);
    assert!(expected.len() > 15, "{expected:?}");
    assert_eq!(names_after(&text("docs/reference/headers.md"), "`x-tidegate-"), expected);
}

#[test]
fn the_plugin_reference_has_every_function_of_the_interface() {
    let (wit, page) = (text("sdk/wit/tidegate.wit"), text("docs/plugins/reference.md"));
    let code = wit.lines().map(str::trim).filter(|line| !line.starts_with("//"));
    let functions = code.filter_map(|line| line.split_once(": func("));
    let names: BTreeSet<&str> =
        functions.map(|(name, _)| name.trim_start_matches("export ")).collect();
    assert!(names.len() > 15, "{names:?}");
    for name in names.into_iter().chain(["next", "route", "respond", "deny", "pass-over"]) {
        assert!(page.contains(&format!("`{name}`")), "the page has no `{name}`");
    }
}

#[test]
fn the_sdk_compiles_the_rust_code_of_every_page_for_plugins() {
    let sdk = text("sdk/src/lib.rs");
    let mut included = 0;
    for name in of_the_book() {
        if blocks(&text(&name)).iter().any(|block| block.info == "rust") {
            assert!(sdk.contains(&format!("\"../../{name}\"")), "sdk/src/lib.rs leaves out {name}");
            included += 1;
        }
    }
    assert!(included >= 5, "the examples are gone");
}
