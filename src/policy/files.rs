//! The files of a folder of policies, modules or plugins.
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The files with an extension directly in a folder, by their name without it. Hidden files are an
/// editor's; a folder that is not there holds none.
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
