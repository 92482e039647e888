//! The files of archives and packages: their sources in the repository, and a folder in which they are put together.
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The places that files are taken from.
#[derive(Clone, Copy)]
pub struct Sources<'a> {
    /// The root of the repository.
    pub root: &'a Path,
    /// The stripped binary.
    pub binary: &'a Path,
}

impl Sources<'_> {
    /// Returns the files of a folder of the repository whose names have this end, in the order of names.
    pub fn list(&self, folder: &str, end: &str) -> Result<Vec<PathBuf>> {
        let dir = self.root.join(folder);
        let entries =
            fs::read_dir(&dir).with_context(|| format!("cannot read {}", dir.display()))?;
        let mut found = Vec::new();
        for entry in entries {
            let path = entry?.path();
            if path.to_str().is_some_and(|path| path.ends_with(end)) {
                found.push(path);
            }
        }
        found.sort();
        anyhow::ensure!(!found.is_empty(), "{} has no file with the end `{end}`", dir.display());
        Ok(found)
    }

    /// Returns the bundled plugins.
    pub fn plugins(&self) -> Result<Vec<PathBuf>> {
        self.list("plugins", ".wasm")
    }

    /// Returns the pages of the manual.
    pub fn pages(&self) -> Result<Vec<PathBuf>> {
        self.list("deploy/man", ".1")
    }
}

/// A folder that is made anew.
pub struct Tree {
    /// The folder.
    pub path: PathBuf,
}

impl Tree {
    /// Makes an empty folder.
    pub fn new(path: PathBuf) -> Result<Self> {
        if path.exists() {
            fs::remove_dir_all(&path)?;
        }
        fs::create_dir_all(&path)?;
        set_mode(&path, 0o755)?;
        Ok(Self { path })
    }

    /// Makes a folder and those above it.
    pub fn folder(&self, name: &str) -> Result<()> {
        let mut path = self.path.clone();
        for part in name.split('/').filter(|part| !part.is_empty()) {
            path.push(part);
            if !path.is_dir() {
                fs::create_dir(&path)?;
                set_mode(&path, 0o755)?;
            }
        }
        Ok(())
    }

    /// Copies a file to a name.
    pub fn copy(&self, from: &Path, name: &str, mode: u32) -> Result<()> {
        let content = fs::read(from).with_context(|| format!("cannot read {}", from.display()))?;
        self.write(name, &content, mode)
    }

    /// Copies files into a folder.
    pub fn copy_all(&self, from: &[PathBuf], folder: &str) -> Result<()> {
        for file in from {
            let name = file.file_name().unwrap_or_default().to_string_lossy();
            self.copy(file, &format!("{folder}/{name}"), 0o644)?;
        }
        Ok(())
    }

    /// Writes a file.
    pub fn write(&self, name: &str, content: &[u8], mode: u32) -> Result<()> {
        if let Some((folder, _)) = name.rsplit_once('/') {
            self.folder(folder)?;
        }
        let path = self.path.join(name);
        fs::write(&path, content).with_context(|| format!("cannot write {}", path.display()))?;
        set_mode(&path, mode)
    }

    /// Puts the files of both packages at their places in a system.
    pub fn install(&self, from: &Sources<'_>) -> Result<()> {
        let at = |path: &str| from.root.join(path);
        self.copy(from.binary, "usr/bin/tidegate", 0o755)?;
        self.copy_all(&from.plugins()?, "usr/lib/tidegate/plugins")?;
        self.copy(
            &at("deploy/systemd/tidegate.service"),
            "usr/lib/systemd/system/tidegate.service",
            0o644,
        )?;
        self.copy(&at("deploy/systemd/sysusers.conf"), "usr/lib/sysusers.d/tidegate.conf", 0o644)?;
        self.copy(&at("deploy/systemd/tidegate.yaml"), "etc/tidegate/tidegate.yaml", 0o644)?;
        self.folder("etc/tidegate/policies")?;
        self.copy_all(&from.pages()?, "usr/share/man/man1")?;
        let shells = at("deploy/completions");
        self.copy(
            &shells.join("tidegate.bash"),
            "usr/share/bash-completion/completions/tidegate",
            0o644,
        )?;
        self.copy(&shells.join("_tidegate"), "usr/share/zsh/vendor-completions/_tidegate", 0o644)?;
        self.copy(
            &shells.join("tidegate.fish"),
            "usr/share/fish/vendor_completions.d/tidegate.fish",
            0o644,
        )?;
        for name in ["README.md", "CHANGELOG.md"] {
            self.copy(&at(name), &format!("usr/share/doc/tidegate/{name}"), 0o644)?;
        }
        Ok(())
    }
}

fn set_mode(path: &Path, mode: u32) -> Result<()> {
    // the umask of the user has no say in a package
    fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
    Ok(())
}

/// Sources for tests: a binary that is no program, a plugin, and the rest of the repository.
#[cfg(test)]
pub fn sample(folder: &Path) -> (PathBuf, PathBuf) {
    let root = folder.join("root");
    for name in ["deploy/systemd", "deploy/man", "deploy/completions"] {
        fs::create_dir_all(root.join(name)).unwrap();
        for entry in fs::read_dir(crate::shell::root().join(name)).unwrap() {
            let path = entry.unwrap().path();
            fs::copy(&path, root.join(name).join(path.file_name().unwrap())).unwrap();
        }
    }
    for name in ["LICENSE", "README.md", "CHANGELOG.md"] {
        fs::copy(crate::shell::root().join(name), root.join(name)).unwrap();
    }
    fs::create_dir_all(root.join("plugins")).unwrap();
    fs::write(root.join("plugins/datetime.wasm"), b"\0asm").unwrap();
    let binary = folder.join("tidegate");
    fs::write(&binary, "#!/bin/sh\necho tidegate\n").unwrap();
    (root, binary)
}
