//! The ways to a wasm32 standard library: the toolchain's own, rustup's, Debian's.
use std::path::Path;
use std::process::Command;

use anyhow::{Result, bail};

use crate::shell::{cargo, output, run, say};

const TARGET: &str = "wasm32-unknown-unknown";
const PACKAGES: [&str; 4] = ["rustc-web", "cargo-web", "rust-web-src", "lld"];
/// What the Debian way needs, as its packages leave it.
const DEBIAN_FILES: [&str; 4] =
    ["/usr/bin/rustc", "/usr/bin/cargo", "/usr/bin/wasm-ld", "/usr/lib/rustlib/src/rust/library"];

/// How to get a wasm32 std.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// The toolchain that builds the host has it.
    Own,
    /// `rustup target add`.
    Rustup,
    /// Debian's `rustc-web`, with a std built from its sources.
    Debian,
}

impl Way {
    /// The name that a person gives it.
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
pub enum Toolchain {
    /// The one that builds the host.
    Host,
    /// Debian's.
    Debian,
}

impl Toolchain {
    /// The first way that works, or the one that was asked for.
    pub fn find(way: Option<Way>) -> Result<Self> {
        let tried = |this| way.is_none_or(|way| way == this);
        if tried(Way::Own) && has_target() {
            return Ok(Self::Host);
        }
        if tried(Way::Rustup) && add_by_rustup() {
            return Ok(Self::Host);
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

    /// Its cargo, without anything that the host's build left in the environment.
    pub fn cargo(&self) -> Command {
        let mut command = match self {
            Self::Host => cargo(&[]),
            Self::Debian => Command::new("/usr/bin/cargo"),
        };
        for name in ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO_TARGET_DIR", "RUSTC_WRAPPER"] {
            command.env_remove(name);
        }
        if matches!(self, Self::Debian) {
            command.env_remove("RUSTUP_TOOLCHAIN").env_remove("RUSTDOC");
            // std is built from source, which Debian's stable compiler allows only like this
            command.env("RUSTC_BOOTSTRAP", "1").env("RUSTC", "/usr/bin/rustc");
            command.env("RUSTFLAGS", "-Clinker=wasm-ld -Cpanic=abort");
        }
        command
    }

    /// What its cargo needs besides.
    pub fn extra_args(&self) -> &'static [&'static str] {
        match self {
            Self::Host => &[],
            Self::Debian => &["-Zbuild-std=std,panic_abort"],
        }
    }

    /// Compilers do not share a build directory: each would throw the other's work away.
    pub fn build_dir(&self) -> &'static str {
        match self {
            Self::Host => "guests-build",
            Self::Debian => "guests-build-debian",
        }
    }
}

fn has_target() -> bool {
    output("rustc", &["--print", "target-libdir", "--target", TARGET])
        .and_then(|dir| std::fs::read_dir(dir).ok())
        .is_some_and(|mut files| files.next().is_some())
}

fn add_by_rustup() -> bool {
    if output("rustup", &["--version"]).is_none() {
        return false;
    }
    match run(Command::new("rustup").args(["target", "add", TARGET])) {
        Ok(()) => has_target(),
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
    if output("id", &["-u"]).as_deref() != Some("0") {
        return Ok(false);
    }
    say("installing Debian's Rust for the web (some 300 MB)");
    run(Command::new("apt-get").arg("update"))?;
    let mut install = Command::new("apt-get");
    install.args(["install", "-y", "--no-install-recommends"]).args(PACKAGES);
    run(install.env("DEBIAN_FRONTEND", "noninteractive"))?;
    Ok(is_there())
}
