//! `Journal`: a file of lines that only grows, and the older files that it was renamed to.
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

#[cfg(unix)]
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};

/// The file. When it would grow beyond its bound, it becomes `<name>.1`, that one `<name>.2`, and so on.
#[derive(Debug, Clone)]
pub(super) struct Journal {
    path: PathBuf,
    max_bytes: u64,
    /// The most files, with the one that is written.
    files: u32,
}

/// The lines that could not be written, and the reason.
pub(super) type Unwritten = (Vec<Vec<u8>>, io::Error);

impl Journal {
    /// Names the file; writes nothing.
    pub(super) fn new(path: &Path, max_bytes: u64, files: u32) -> Self {
        Self { path: path.to_owned(), max_bytes, files }
    }

    /// Creates the file and its folder, unless they exist. Only the gateway's user may read what is created.
    pub(super) fn create(&self) -> io::Result<()> {
        self.open().map(|_| ())
    }

    /// Fails if [`Journal::create`] would. Creates nothing.
    pub(super) fn check(&self) -> io::Result<()> {
        match fs::metadata(&self.path) {
            Ok(meta) if !meta.is_file() => Err(no_file()),
            Ok(_) => OpenOptions::new().append(true).open(&self.path).map(drop),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let absolute = std::path::absolute(&self.path)?;
                let folder = absolute.ancestors().skip(1).find(|folder| folder.exists());
                folder.map_or(Ok(()), takes_files)
            }
            Err(error) => Err(error),
        }
    }

    /// Adds lines at the end of the file; each has its line end. A failure leaves no part of a line.
    ///
    /// Fails with the lines that are not in a file.
    pub(super) fn append(&self, mut lines: Vec<Vec<u8>>) -> Result<(), Unwritten> {
        while !lines.is_empty() {
            match self.append_some(&lines) {
                Ok(number) => drop(lines.drain(..number)),
                Err(error) => return Err((lines, error)),
            }
        }
        Ok(())
    }

    /// Writes the first lines, as many as fit into one file. Returns their number, at least 1.
    fn append_some(&self, lines: &[Vec<u8>]) -> io::Result<usize> {
        let (mut file, mut size) = self.open()?;
        let first = lines.first().map_or(0, Vec::len) as u64;
        if size > 0 && size + first > self.max_bytes {
            drop(file);
            self.rotate()?;
            (file, size) = self.open()?;
        }
        let mut end = size;
        let fitting = lines.iter().take_while(|line| {
            end += line.len() as u64;
            end <= self.max_bytes
        });
        let number = fitting.count().max(1);
        if let Err(error) = file.write_all(&lines[..number].concat()) {
            // without this the next line would continue the torn one
            file.set_len(size)?;
            return Err(error);
        }
        Ok(number)
    }

    /// Opens the file at its end. Also returns its size. A line that another process left without its end is ended.
    fn open(&self) -> io::Result<(File, u64)> {
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
        if let Some(folder) = folder.filter(|folder| !folder.is_dir()) {
            create_folder(folder)?;
        }
        let mut options = OpenOptions::new();
        options.read(true).append(true).create(true);
        #[cfg(unix)]
        options.mode(0o600);
        let mut file = options.open(&self.path)?;
        let meta = file.metadata()?;
        if !meta.is_file() {
            return Err(no_file());
        }
        let mut size = meta.len();
        if size > 0 {
            let mut last = [0];
            file.seek(SeekFrom::End(-1))?;
            file.read_exact(&mut last)?;
            if last != *b"\n" {
                file.write_all(b"\n")?;
                size += 1;
            }
        }
        Ok((file, size))
    }

    /// Renames the file and the older ones. The oldest one is deleted.
    fn rotate(&self) -> io::Result<()> {
        let older = self.files - 1;
        if older == 0 {
            return fs::remove_file(&self.path);
        }
        for n in (1..older).rev() {
            match fs::rename(self.older(n), self.older(n + 1)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        fs::rename(&self.path, self.older(1))
    }

    /// Returns the name of an older file.
    pub(super) fn older(&self, n: u32) -> PathBuf {
        let mut name = self.path.as_os_str().to_owned();
        name.push(format!(".{n}"));
        name.into()
    }
}

fn no_file() -> io::Error {
    io::Error::other("it is no regular file")
}

/// Fails if no file can be made in a folder: makes one without a name, which is gone at once.
#[cfg(target_os = "linux")]
fn takes_files(folder: &Path) -> io::Result<()> {
    let made = OpenOptions::new().write(true).custom_flags(libc::O_TMPFILE).open(folder);
    match made.map_err(|error| (error.kind(), error)) {
        Ok(_) => Ok(()),
        Err((io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem, error)) => {
            Err(error)
        }
        Err((io::ErrorKind::NotADirectory, error)) => Err(error),
        // not every file system has such files
        Err(_) => Ok(()),
    }
}

/// Fails if a folder takes no files.
#[cfg(not(target_os = "linux"))]
fn takes_files(folder: &Path) -> io::Result<()> {
    let meta = fs::metadata(folder)?;
    match (meta.is_dir(), meta.permissions().readonly()) {
        (true, false) => Ok(()),
        (false, _) => Err(io::ErrorKind::NotADirectory.into()),
        (true, true) => Err(io::ErrorKind::PermissionDenied.into()),
    }
}

fn create_folder(folder: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    builder.mode(0o700);
    builder.create(folder)
}

#[cfg(test)]
mod tests;
