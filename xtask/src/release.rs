//! The facts about a release: version, target, time.
use tidegate_builder::shell::output_of;

use crate::shell::{env, root};

/// The version of every package of the workspace.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The only target of the packages.
pub const TARGET: &str = "x86_64-unknown-linux-gnu";

/// Returns the time that all files of a release have, in seconds: `SOURCE_DATE_EPOCH`, or that of the last commit.
pub fn epoch() -> String {
    let of_commit =
        || output_of(root(), "git", &["log", "-1", "--format=%ct"]).filter(|text| !text.is_empty());
    env("SOURCE_DATE_EPOCH").or_else(of_commit).unwrap_or_else(|| "0".to_owned())
}
