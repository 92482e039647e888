//! `cargo xtask dist`: the files of a release: a small binary with its debug file apart, an archive, packages, checksums.
mod archive;
mod binary;
mod deb;
mod rpm;
mod sbom;
mod tree;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use tidegate_builder::shell::{run, say};

use crate::plugins::{self, Set};
use crate::shell::{cargo, root, target_dir};

/// The most bytes of the stripped binary.
const MAX_SIZE: u64 = 35_000_000;
/// The glibc of RHEL 9.
const MAX_GLIBC: (u32, u32) = (2, 34);

const USAGE: &str = "\
usage: cargo xtask dist [options]
  --target-dir DIR   compile into this folder (target)
  --out DIR          write the files of the release into this folder (target/packages)
  --no-build         take the binary that is there
  --no-packages      write the binary and its debug file only
  --max-size BYTES   the largest stripped binary (35000000)";

/// The options of the command.
struct Options {
    target_dir: PathBuf,
    out: PathBuf,
    is_built: bool,
    has_packages: bool,
    max_size: u64,
}

impl Options {
    fn parse(args: &[&str]) -> Result<Self> {
        let mut options = Self {
            target_dir: target_dir(),
            out: target_dir().join("packages"),
            is_built: false,
            has_packages: true,
            max_size: MAX_SIZE,
        };
        let mut rest = args.iter();
        while let Some(arg) = rest.next() {
            let mut value =
                || rest.next().with_context(|| format!("`{arg}` needs a value\n\n{USAGE}"));
            match *arg {
                "--target-dir" => options.target_dir = std::path::absolute(value()?)?,
                "--out" => options.out = std::path::absolute(value()?)?,
                "--no-build" => options.is_built = true,
                "--no-packages" => options.has_packages = false,
                "--max-size" => {
                    let bytes = value()?;
                    options.max_size = bytes
                        .parse()
                        .with_context(|| format!("expected bytes, found `{bytes}`"))?;
                }
                _ => bail!("there is no option `{arg}`\n\n{USAGE}"),
            }
        }
        Ok(options)
    }
}

/// Builds the binary with the profile `dist`, and writes all files of a release.
pub fn dist(args: &[&str]) -> Result<()> {
    if args == ["--help"] {
        println!("{USAGE}");
        return Ok(());
    }
    let options = Options::parse(args)?;
    if !options.is_built {
        let mut build = cargo(&[
            "build",
            "--locked",
            "--profile",
            "dist",
            "--package",
            "tidegate",
            "--target-dir",
        ]);
        run(build.arg(&options.target_dir))?;
    }
    let built = options.target_dir.join("dist/tidegate");
    if !built.is_file() {
        bail!("there is no {}: leave `--no-build` out", built.display());
    }
    fs::create_dir_all(&options.out)?;
    let binary = binary::split(&built, &options.out)?;
    binary.report()?;
    binary.check(options.max_size, MAX_GLIBC)?;
    plugins::build_stale(|| Ok(binary.stripped.clone()), Set::Bundled)?;
    if options.has_packages {
        packages(&options.out, &binary.stripped)?;
    }
    Ok(())
}

fn packages(out: &Path, binary: &Path) -> Result<()> {
    let files = tree::Sources { root: root(), binary };
    let mut made = vec![archive::write(&files, out)?];
    made.push(sbom::write(out)?);
    made.push(deb::write(&files, out)?);
    match rpm::write(&files, out)? {
        Some(rpm) => made.push(rpm),
        None => say("rpm: skipped, rpmbuild is not installed (apt-get install rpm)"),
    }
    made.push(out.join(binary::DEBUG));
    let names: Vec<_> = made.iter().filter_map(|file| file.file_name()).collect();
    let sums = Command::new("sha256sum").args(&names).current_dir(out).output();
    let sums = sums.context("cannot start sha256sum")?;
    if !sums.status.success() {
        bail!("sha256sum: {}", String::from_utf8_lossy(&sums.stderr));
    }
    fs::write(out.join("SHA256SUMS"), &sums.stdout)?;
    print!("{}", String::from_utf8_lossy(&sums.stdout));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_have_values_and_unknown_ones_are_errors() {
        let options =
            Options::parse(&["--no-build", "--target-dir", "/tmp/x", "--max-size", "7"]).unwrap();
        assert_eq!((options.target_dir.as_path(), options.max_size), (Path::new("/tmp/x"), 7));
        assert!(options.is_built && options.has_packages);
        for wrong in [&["--max-size", "many"][..], &["--target-dir"], &["--fast"]] {
            assert!(Options::parse(wrong).is_err(), "{wrong:?}");
        }
    }
}
