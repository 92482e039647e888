//! The files of a folder of policies, modules or plugins.
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::disk;
use crate::error::Problem;

/// Returns the files with the given extension directly in a folder, keyed by name without the extension.
/// Hidden files belong to editors and are skipped. A missing folder counts as empty.
///
/// Fails if the folder cannot be listed, and for each name that no config could contain.
pub(super) fn sources(
    dir: &Path,
    extension: &str,
) -> Result<BTreeMap<String, PathBuf>, Vec<Problem>> {
    let entries = disk::entries(dir).map_err(|unread| vec![unread.at(dir)])?;
    let mut files = BTreeMap::new();
    let mut problems = Vec::new();
    for path in entries.unwrap_or_default() {
        let name = path.file_name().unwrap_or_default();
        let is_hidden = name.as_encoded_bytes().starts_with(b".");
        if is_hidden || path.extension().is_none_or(|found| found != extension) {
            continue;
        }
        match path.file_stem().and_then(|stem| stem.to_str()) {
            Some(name) => {
                files.insert(name.to_owned(), path);
            }
            None => {
                let message = "its name is no UTF-8: rename the file";
                problems.push(Problem::new(path.display().to_string(), message));
            }
        }
    }
    if problems.is_empty() { Ok(files) } else { Err(problems) }
}
