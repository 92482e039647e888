//! The parts of pages that are made from the code.
use std::fs;

use super::repository::{root, text};

const END: &str = "<!-- end of the generated part -->\n";

/// Compares the part of a page between the line `begin` and the end with `made`; with `UPDATE_FIXTURES` writes it.
pub fn check_generated(name: &str, begin: &str, made: &str) {
    let page = text(name);
    let (before, rest) = page.split_once(begin).unwrap_or_else(|| panic!("{name} lacks {begin}"));
    let (_, after) = rest.split_once(END).unwrap_or_else(|| panic!("{name} lacks {END}"));
    let wanted = format!("{before}{begin}{made}{END}{after}");
    if std::env::var_os("UPDATE_FIXTURES").is_some() {
        fs::write(root().join(name), wanted).unwrap();
        return;
    }
    assert!(page == wanted, "{name} is old: run the test with UPDATE_FIXTURES=1");
}
