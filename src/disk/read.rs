//! Reads regular files and lists folders. Everything else at a path is an error.
use std::fs::{self, File, FileType, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::disk::Unread;
use crate::disk::limit::within;

/// The largest file in bytes. No policy, plugin or secret comes near it.
const MOST: u64 = 256 << 20;

/// Returns the content of a regular file, after links.
pub(crate) fn bytes(path: &Path) -> Result<Vec<u8>, Unread> {
    within(path, content)
}

/// Returns whether there is anything at a path. A link that leads nowhere is an error, and so is everything
/// that prevents an answer.
pub(crate) fn exists(path: &Path) -> Result<bool, Unread> {
    within(path, |path| Ok(found(path)?.is_some()))
}

/// Returns the paths of all entries of a folder in name order; `None` if there is no such folder.
pub(crate) fn entries(dir: &Path) -> Result<Option<Vec<PathBuf>>, Unread> {
    within(dir, |dir| {
        let Some(metadata) = found(dir)? else { return Ok(None) };
        if !metadata.is_dir() {
            let kind = name_of(metadata.file_type());
            return Err(Unread::new(format_args!("it is {kind}, not a folder")));
        }
        let entries = fs::read_dir(dir)?.map(|entry| Ok(entry?.path()));
        let mut entries = entries.collect::<io::Result<Vec<_>>>()?;
        entries.sort();
        Ok(Some(entries))
    })
}

fn content(path: &Path) -> Result<Vec<u8>, Unread> {
    // opening a device or a pipe may have effects, or wait for its other end
    match found(path)? {
        None => return Err(io::Error::from_raw_os_error(libc::ENOENT).into()),
        Some(metadata) => check_regular(&metadata)?,
    }
    // another file may have replaced it since: opening that one must not wait either
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    let metadata = file.metadata()?;
    check_regular(&metadata)?;
    all_of(file, metadata.len())
}

fn all_of(file: File, len: u64) -> Result<Vec<u8>, Unread> {
    let mut content = Vec::with_capacity(len.min(MOST) as usize);
    file.take(MOST + 1).read_to_end(&mut content)?;
    match content.len() as u64 > MOST {
        true => Err(Unread::new(format_args!("it is larger than {} MiB", MOST >> 20))),
        false => Ok(content),
    }
}

fn check_regular(metadata: &Metadata) -> Result<(), Unread> {
    match metadata.is_file() {
        true => Ok(()),
        false => {
            let kind = name_of(metadata.file_type());
            Err(Unread::new(format_args!("it is {kind}, not a regular file")))
        }
    }
}

fn name_of(kind: FileType) -> &'static str {
    match () {
        () if kind.is_file() => "a file",
        () if kind.is_dir() => "a folder",
        () if kind.is_fifo() => "a named pipe",
        () if kind.is_socket() => "a socket",
        () => "a device",
    }
}

/// Returns the metadata of a path, after links; `None` if there is nothing.
fn found(path: &Path) -> Result<Option<Metadata>, Unread> {
    match fs::metadata(path) {
        Ok(metadata) => Ok(Some(metadata)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => match dangling(path) {
            Some(link) => {
                let link = link.display();
                Err(Unread::new(format_args!("the link `{link}` leads nowhere")))
            }
            None => Ok(None),
        },
        Err(e) => Err(e.into()),
    }
}

/// Returns the first part of a path without a file that is a link.
fn dangling(path: &Path) -> Option<&Path> {
    let mut parts = path.ancestors().filter(|part| !part.as_os_str().is_empty());
    let nearest = parts.find_map(|part| Some((part, fs::symlink_metadata(part).ok()?)));
    // a folder at the end of the existing part: the rest is simply absent
    nearest.filter(|(part, metadata)| metadata.is_symlink() && !part.exists()).map(|(part, _)| part)
}
