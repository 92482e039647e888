//! The ways to a wasm32 standard library: the toolchain's own, rustup's, Debian's.
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

use crate::shell::{output_of, run, say};

/// The target of guests.
pub(crate) const TARGET: &str = "wasm32-unknown-unknown";
const PACKAGES: [&str; 4] = ["rustc-web", "cargo-web", "rust-web-src", "lld"];
/// The files that the Debian way needs, as its packages install them.
const DEBIAN_FILES: [&str; 4] =
    ["/usr/bin/rustc", "/usr/bin/cargo", "/usr/bin/wasm-ld", "/usr/lib/rustlib/src/rust/library"];

/// A way to get a wasm32 std.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// The toolchain that builds the host also has the target.
    Own,
    /// `rustup target add`.
    Rustup,
    /// Debian's `rustc-web`, with a std built from its sources.
    Debian,
}

impl Way {
    /// Parses the name in a command.
    pub fn parse(name: &str) -> Result<Self> {
        match name {
            "own" => Ok(Self::Own),
            "rustup" => Ok(Self::Rustup),
            "debian" => Ok(Self::Debian),
            _ => bail!("there is no toolchain `{name}`: use `own`, `rustup` or `debian`"),
        }
    }
}

/// A compiler that can build guests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Toolchain {
    /// The usual compiler, by its cargo.
    Own(PathBuf),
    /// Debian's compiler.
    Debian,
}

impl Toolchain {
    /// Finds the first way that works, or the requested one. `cargo` is the usual cargo; the
    /// toolchain selected in `dir` applies.
    pub fn find(way: Option<Way>, cargo: &Path, dir: &Path) -> Result<Self> {
        let tried = |this| way.is_none_or(|way| way == this);
        if tried(Way::Own) && has_target(dir) {
            return Ok(Self::Own(cargo.to_path_buf()));
        }
        if tried(Way::Rustup) && add_by_rustup(dir) {
            return Ok(Self::Own(cargo.to_path_buf()));
        }
        if tried(Way::Debian) && install_debian()? {
            return Ok(Self::Debian);
        }
        bail!(
            "no Rust standard library for {TARGET} was found, and none could be installed.\n\
             Do one of these, then try again:\n\
             \x20 rustup target add {TARGET}\n\
             \x20 sudo apt-get install -y --no-install-recommends {}   (Debian 12 or later)\n\
             \x20 install your distribution's Rust package for {TARGET}",
            PACKAGES.join(" ")
        )
    }

    /// Returns its cargo in a folder, without the environment of the host's build.
    pub fn cargo(&self, dir: &Path) -> Command {
        let mut command = match self {
            Self::Own(cargo) => Command::new(cargo),
            Self::Debian => Command::new("/usr/bin/cargo"),
        };
        command.current_dir(dir);
        for name in ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO_TARGET_DIR", "RUSTC_WRAPPER"] {
            command.env_remove(name);
        }
        if matches!(self, Self::Debian) {
            command.env_remove("RUSTUP_TOOLCHAIN").env_remove("RUSTDOC");
            // std is built from source, which Debian's stable compiler allows only with this
            // variable
            command.env("RUSTC_BOOTSTRAP", "1").env("RUSTC", "/usr/bin/rustc");
            command.env("RUSTFLAGS", "-Clinker=wasm-ld -Cpanic=abort");
        }
        command
    }

    /// Returns the extra arguments of its cargo.
    pub fn extra_args(&self) -> &'static [&'static str] {
        match self {
            Self::Own(_) => &[],
            Self::Debian => &["-Zbuild-std=std,panic_abort"],
        }
    }

    /// Returns the build directory. Compilers do not share one: each would discard the other's
    /// output.
    pub fn build_dir(&self) -> &'static str {
        match self {
            Self::Own(_) => "guests-build",
            Self::Debian => "guests-build-debian",
        }
    }
}

fn has_target(dir: &Path) -> bool {
    output_of(dir, "rustc", &["--print", "target-libdir", "--target", TARGET])
        .and_then(|dir| std::fs::read_dir(dir).ok())
        .is_some_and(|mut files| files.next().is_some())
}

fn add_by_rustup(dir: &Path) -> bool {
    if output_of(dir, "rustup", &["--version"]).is_none() {
        return false;
    }
    match run(Command::new("rustup").args(["target", "add", TARGET]).current_dir(dir)) {
        Ok(()) => has_target(dir),
        Err(error) => {
            say(&format!("{error:#}; trying another way"));
            false
        }
    }
}

fn install_debian() -> Result<bool> {
    if !Path::new("/etc/debian_version").exists() {
        return Ok(false);
    }
    let is_there = || DEBIAN_FILES.iter().all(|file| Path::new(file).exists());
    if is_there() {
        return Ok(true);
    }
    if output_of(Path::new("."), "id", &["-u"]).as_deref() != Some("0") {
        return Ok(false);
    }
    say("installing Debian's Rust for the web (some 300 MB)");
    run(Command::new("apt-get").arg("update"))?;
    let mut install = Command::new("apt-get");
    install.args(["install", "-y", "--no-install-recommends"]).args(PACKAGES);
    run(install.env("DEBIAN_FRONTEND", "noninteractive"))?;
    Ok(is_there())
}
