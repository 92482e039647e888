//! The binary of a release: stripped, with its debug information in a file of its own, and checked.
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use tidegate_builder::shell::run;

/// The name of the debug file, which the binary names as well: debuggers look for it beside the binary.
pub const DEBUG: &str = "tidegate.debug";

/// A binary and its debug file.
pub struct Binary {
    /// The binary to ship.
    pub stripped: PathBuf,
    debug: PathBuf,
}

/// Writes a stripped copy of a binary, and its debug information, into a folder.
pub fn split(built: &Path, out: &Path) -> Result<Binary> {
    let binary = Binary { stripped: out.join("tidegate"), debug: out.join(DEBUG) };
    let objcopy = || Command::new("objcopy");
    run(objcopy()
        .args(["--only-keep-debug", "--compress-debug-sections=zlib"])
        .arg(built)
        .arg(&binary.debug))?;
    run(objcopy().arg("--strip-all").arg(built).arg(&binary.stripped))?;
    // the link is the name without a folder, and a checksum
    run(objcopy()
        .arg(format!("--add-gnu-debuglink={DEBUG}"))
        .arg(&binary.stripped)
        .current_dir(out))?;
    Ok(binary)
}

impl Binary {
    /// Prints the sizes and the needed glibc.
    pub fn report(&self) -> Result<()> {
        let (major, minor) = self.glibc()?;
        println!("{:>12} bytes  {}", size(&self.stripped)?, self.stripped.display());
        println!("{:>12} bytes  {}", size(&self.debug)?, self.debug.display());
        println!("{:>12}        is the oldest glibc that it runs with", format!("{major}.{minor}"));
        Ok(())
    }

    /// Fails if the binary is larger than `max_size`, or needs a newer glibc than `max_glibc`.
    pub fn check(&self, max_size: u64, max_glibc: (u32, u32)) -> Result<()> {
        let size = size(&self.stripped)?;
        if size > max_size {
            bail!(
                "{} has {size} bytes, more than {max_size}: see `--max-size`",
                self.stripped.display()
            );
        }
        let needed = self.glibc()?;
        if needed > max_glibc {
            let (major, minor) = max_glibc;
            let newer = self.symbols()?;
            let newer = newer
                .lines()
                .filter(|line| version(line).is_some_and(|version| version > max_glibc));
            let newer: Vec<_> = newer.map(str::trim).collect();
            bail!(
                "the binary needs symbols of a glibc after {major}.{minor}; build on an older system:\n{}",
                newer.join("\n")
            );
        }
        Ok(())
    }

    fn glibc(&self) -> Result<(u32, u32)> {
        newest(&self.symbols()?).context("the binary has no symbol of glibc")
    }

    fn symbols(&self) -> Result<String> {
        let listed = Command::new("objdump")
            .arg("-T")
            .arg(&self.stripped)
            .output()
            .context("cannot start objdump")?;
        Ok(String::from_utf8_lossy(&listed.stdout).into_owned())
    }
}

fn size(file: &Path) -> Result<u64> {
    Ok(fs::metadata(file).with_context(|| format!("no {}", file.display()))?.len())
}

/// Returns the newest glibc in a list of symbols.
fn newest(symbols: &str) -> Option<(u32, u32)> {
    symbols.lines().filter_map(version).max()
}

/// Returns the glibc that a symbol needs.
fn version(line: &str) -> Option<(u32, u32)> {
    let (_, version) = line.split_once("GLIBC_")?;
    let end = version.find(|c: char| c != '.' && !c.is_ascii_digit()).unwrap_or(version.len());
    let mut numbers = version[..end].split('.');
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SYMBOLS: &str = "\
0000000000000000      DF *UND*	0000000000000000 (GLIBC_2.34) pthread_create
0000000000000000      DF *UND*	0000000000000000 (GLIBC_2.2.5) hypot
0000000000000000  w   DF *UND*	0000000000000000 (GLIBC_2.9)  pipe2
0000000000000000      DF *UND*	0000000000000000 (GCC_3.0)    _Unwind_Backtrace";

    #[test]
    fn the_newest_glibc_is_found_by_its_numbers() {
        assert_eq!(newest(SYMBOLS), Some((2, 34)));
        assert_eq!(newest(&SYMBOLS.replace("2.9", "2.100")), Some((2, 100)));
        assert_eq!(newest("no symbols"), None);
    }

    #[test]
    fn a_binary_is_split_and_its_bounds_are_checked() {
        let folder = std::env::temp_dir().join(format!("xtask-split-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        // any program of the toolchain with debug information: this test itself
        let this = std::env::current_exe().unwrap();
        let binary = split(&this, &folder).unwrap();
        let before = fs::metadata(&this).unwrap().len();
        let size = fs::metadata(&binary.stripped).unwrap().len();
        assert!(size < before / 2, "{size} of {before}");
        assert!(binary.check(size, (9, 0)).is_ok());
        assert!(binary.check(size - 1, (9, 0)).unwrap_err().to_string().contains("--max-size"));
        assert!(binary.check(size, (2, 2)).unwrap_err().to_string().contains("GLIBC_2."));
        let listed = Command::new("objdump")
            .args(["-s", "-j", ".gnu_debuglink"])
            .arg(&binary.stripped)
            .output();
        assert!(String::from_utf8_lossy(&listed.unwrap().stdout).contains("tidegate.debug"));
        fs::remove_dir_all(&folder).unwrap();
    }
}
