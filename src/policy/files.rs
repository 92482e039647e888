//! The files of a folder of policies, modules or plugins.
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Returns the files with the given extension directly in a folder, keyed by name without the extension.
/// Hidden files belong to editors and are skipped. A missing folder counts as empty.
pub(super) fn sources(dir: &Path, extension: &str) -> BTreeMap<String, PathBuf> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let files = entries
        .map(|entry| entry.path())
        .filter(|path| path.is_file() && path.extension().is_some_and(|found| found == extension));
    files
        .filter_map(|path| Some((path.file_stem()?.to_str()?.to_owned(), path)))
        .filter(|(name, _)| !name.starts_with('.'))
        .collect()
}
