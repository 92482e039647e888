//! Files that a plugin publishes in `tidegate plugin call`: they go into a folder for the user.
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::error::{Error, ErrorKind};
use crate::plugin_host::{File, FilesConfig, Publish};

/// Keeps files as a gateway with this config would, and prints the path of each on standard error. The
/// folder is created with the first file, within the system's temporary folder, and is not removed.
pub(super) fn publish(config: &FilesConfig) -> Publish {
    let most = config.max_bytes;
    let folder: Mutex<Option<PathBuf>> = Mutex::default();
    Arc::new(move |file| {
        let size = (file.media_type.len() + file.content.len()) as u64;
        if size > most {
            let message =
                format!("the file is larger than the limit of {most} bytes for all files");
            return Err(Error::new(ErrorKind::RequestTooLarge, message));
        }
        let mut folder = folder.lock();
        let path = keep(&mut folder, &file)
            .map_err(|e| Error::new(ErrorKind::Api, format!("the file cannot be written: {e}")))?;
        let File { media_type, content } = file;
        let length = content.len();
        eprintln!("published {}: `{media_type}`, {length} bytes", path.display());
        let address = url::Url::from_file_path(&path);
        address.map(String::from).map_err(|()| {
            Error::new(ErrorKind::Api, format!("`{}` is not a valid address", path.display()))
        })
    })
}

fn keep(folder: &mut Option<PathBuf>, file: &File) -> io::Result<PathBuf> {
    let folder = match folder {
        Some(folder) => folder,
        None => folder.insert(fresh(&std::env::temp_dir())?),
    };
    let number = fs::read_dir(&*folder)?.count() + 1;
    let path = folder.join(format!("{number}.{}", ending(&file.media_type)));
    fs::write(&path, &file.content)?;
    Ok(path)
}

/// Creates a new folder. An existing one may belong to another user.
fn fresh(parent: &Path) -> io::Result<PathBuf> {
    let mut random = [0; 8];
    getrandom::fill(&mut random).map_err(io::Error::other)?;
    let folder = std::path::absolute(parent)?.join(format!("tidegate-{}", hex::encode(random)));
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(&folder)?;
    Ok(folder)
}

/// Returns the file extension, so that a viewer recognizes the type.
fn ending(media_type: &str) -> &'static str {
    match media_type.split(';').next().unwrap_or_default().trim() {
        "image/png" => "png",
        "image/jpeg" => "jpg",
        "image/webp" => "webp",
        "image/gif" => "gif",
        "image/svg+xml" => "svg",
        "application/pdf" => "pdf",
        "application/json" => "json",
        "text/html" => "html",
        "text/csv" => "csv",
        "text/markdown" => "md",
        text if text.starts_with("text/") => "txt",
        _ => "bin",
    }
}
