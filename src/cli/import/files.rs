//! Writes the files of an import: all or none, and each of them as a whole.
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use crate::error::Problem;

/// The treatment of a file that exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Existing {
    /// It stays, and nothing is written.
    Keep,
    /// It is replaced.
    Replace,
}

/// Writes each text to its path, in order.
///
/// Fails with the path and the reason; new files that it made are then removed.
pub(super) fn write(files: &[(PathBuf, &str)], existing: Existing) -> Result<(), Problem> {
    let mut made: Vec<&Path> = Vec::new();
    let reserved = files.iter().try_for_each(|(path, _)| match existing {
        Existing::Replace => Ok(()),
        Existing::Keep => {
            reserve(path)?;
            made.push(path);
            Ok(())
        }
    });
    let written = reserved.and_then(|()| {
        let news: Vec<(PathBuf, &PathBuf)> =
            files.iter().map(|(path, _)| (beside(path), path)).collect();
        let filled = files.iter().zip(&news).try_for_each(|((path, text), (new, _))| {
            fill(new, text).map_err(|error| wrong(path, &error))
        });
        let renamed = filled.and_then(|()| {
            let mut all = news.iter();
            all.try_for_each(|(new, path)| {
                fs::rename(new, path).map_err(|error| wrong(path, &error))
            })
        });
        if renamed.is_err() {
            // those that were renamed are gone already
            news.iter().for_each(|(new, _)| drop(fs::remove_file(new)));
        }
        renamed
    });
    if written.is_err() {
        made.into_iter().for_each(|path| drop(fs::remove_file(path)));
    }
    written
}

/// Makes an empty file where none exists.
fn reserve(path: &Path) -> Result<(), Problem> {
    match OpenOptions::new().write(true).create_new(true).open(path) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            let message = "the file exists, and nothing was written: name another with `--out`, or overwrite it with `--force`";
            Err(Problem::new(path.display().to_string(), message))
        }
        Err(error) => Err(wrong(path, &error)),
    }
}

fn beside(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.{}.new", std::process::id()))
}

fn fill(path: &Path, text: &str) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

fn wrong(path: &Path, error: &io::Error) -> Problem {
    Problem::new(path.display().to_string(), format!("cannot be written: {error}"))
}
