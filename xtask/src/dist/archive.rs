//! The archive of a release: the binary, plugins and everything that packages install, the same bytes for the same sources.
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;
use tidegate_builder::shell::run;

use crate::dist::tree::{Sources, Tree};
use crate::release::{TARGET, VERSION, epoch};

/// Writes the archive into a folder.
pub fn write(from: &Sources<'_>, out: &Path) -> Result<PathBuf> {
    let name = format!("tidegate-{VERSION}-{TARGET}");
    let tree = Tree::new(out.join(&name))?;
    tree.copy(from.binary, "tidegate", 0o755)?;
    tree.copy_all(&from.plugins()?, "plugins")?;
    tree.copy_all(&from.pages()?, "man")?;
    for (folder, end) in [("completions", ""), ("systemd", "")] {
        tree.copy_all(&from.list(&format!("deploy/{folder}"), end)?, folder)?;
    }
    for file in ["LICENSE", "README.md", "CHANGELOG.md"] {
        tree.copy(&from.root.join(file), file, 0o644)?;
    }
    let tar = out.join(format!("{name}.tar"));
    let fixed =
        ["--sort=name", "--owner=0", "--group=0", "--numeric-owner", "--format=ustar", "--create"];
    let mut pack = Command::new("tar");
    pack.args(fixed)
        .arg(format!("--mtime=@{}", epoch()))
        .arg("--file")
        .arg(&tar)
        .arg("-C")
        .arg(out)
        .arg(&name);
    run(&mut pack)?;
    // without the name and the time of the file
    run(Command::new("gzip").args(["--no-name", "--best", "--force"]).arg(&tar))?;
    fs::remove_dir_all(&tree.path)?;
    Ok(out.join(format!("{name}.tar.gz")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dist::tree::sample;

    #[test]
    fn an_archive_has_everything_and_is_the_same_each_time() {
        let folder = std::env::temp_dir().join(format!("xtask-archive-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let (root, binary) = sample(&folder);
        let from = Sources { root: &root, binary: &binary };
        let first = fs::read(write(&from, &folder).unwrap()).unwrap();
        // a later time of a file is no change
        fs::write(root.join("LICENSE"), fs::read(root.join("LICENSE")).unwrap()).unwrap();
        let archive = write(&from, &folder).unwrap();
        assert!(fs::read(&archive).unwrap() == first, "the archive changes");
        let listed = Command::new("tar").arg("-tzf").arg(&archive).output().unwrap();
        let listed = String::from_utf8(listed.stdout).unwrap();
        let name = format!("tidegate-{VERSION}-{TARGET}");
        for file in [
            "tidegate",
            "plugins/datetime.wasm",
            "man/tidegate.1",
            "completions/_tidegate",
            "systemd/tidegate.service",
            "LICENSE",
        ] {
            assert!(
                listed.lines().any(|line| line == format!("{name}/{file}")),
                "{file}:\n{listed}"
            );
        }
        fs::remove_dir_all(&folder).unwrap();
    }
}
