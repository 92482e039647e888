//! `tidegate plugin build`: builds a component with its manifest from a Rust, Python or JavaScript project.
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use serde_json::Value;
use tidegate_builder::{Way, componentize, project, section, write};

use crate::cli::plugin_host::{at, block_on, host};
use crate::cli::plugin_new::{Language, WIT};
use crate::error::{Problem, Result};

/// The project to build.
#[derive(clap::Args)]
pub(crate) struct Build {
    /// The project: a folder with a `Cargo.toml`, an `app.py` or an `app.js`; or a core module (`.wasm`)
    /// that was compiled against the SDK.
    #[arg(default_value = ".", value_name = "DIR|MODULE.wasm")]
    source: PathBuf,
    /// The file of the component; if absent, `NAME.wasm` in the project, with the plugin's own name.
    #[arg(long, value_name = "FILE.wasm")]
    out: Option<PathBuf>,
    /// For Rust, the only compiler to use: `own`, `rustup` or `debian`.
    #[arg(long, value_name = "WAY", value_parser = way)]
    toolchain: Option<Way>,
}

fn way(name: &str) -> Result<Way, String> {
    Way::parse(name).map_err(|e| e.to_string())
}

impl Build {
    /// Compiles, reads the manifest, writes the component and prints the result.
    pub(super) fn run(&self) -> Result<(), Vec<Problem>> {
        let started = Instant::now();
        let source = fs::canonicalize(&self.source).map_err(|e| at(&self.source, e.to_string()))?;
        let is_module = source.is_file();
        let dir = match is_module {
            true => source.parent().unwrap_or(Path::new("/")),
            false => &source,
        };
        let scratch = Scratch::new(dir)?;
        let raw = scratch.0.join("component.wasm");
        let compiled = match is_module {
            true => componentize(&source).and_then(|component| write(&component, &raw)),
            false => match language_of(dir)? {
                Language::Rust => project::rust(dir, self.toolchain, &raw),
                Language::Python => project::python(dir, &scratch.wit(dir)?, &raw),
                Language::Js => project::js(dir, &scratch.wit(dir)?, &raw),
            },
        };
        compiled.map_err(|e| at(&self.source, format!("{e:#}")))?;
        let manifest = block_on(async { host(dir)?.manifest_text(&raw).await });
        let manifest = manifest.map_err(|problems| about(&self.source, problems))?;
        let described: Value = serde_json::from_str(&manifest).unwrap_or_default();
        let name = described["name"].as_str().unwrap_or("plugin");
        let folder = match is_module {
            true => self.source.parent().unwrap_or(Path::new("")),
            false => &self.source,
        };
        let out = self.out.clone().unwrap_or_else(|| folder.join(format!("{name}.wasm")));
        let component = fs::read(&raw).map_err(|e| at(&raw, e.to_string()))?;
        let component = section::with(&component, section::MANIFEST, manifest.as_bytes());
        write(&component, &out).map_err(|e| at(&out, format!("{e:#}")))?;
        let (kib, seconds) = (component.len() / 1024, started.elapsed().as_secs_f32());
        // a reader that closes early, such as `head`, is no reason to fail
        let _ = writeln!(io::stdout(), "{} ({kib} KiB, {seconds:.1} s)", out.display());
        Ok(())
    }
}

/// Replaces the path of the intermediate file, which means nothing to users, by the project's.
fn about(dir: &Path, problems: Vec<Problem>) -> Vec<Problem> {
    let about = |problem: Problem| Problem::new(dir.display().to_string(), problem.message);
    problems.into_iter().map(about).collect()
}

fn language_of(dir: &Path) -> Result<Language, Vec<Problem>> {
    let marks =
        [("Cargo.toml", Language::Rust), ("app.py", Language::Python), ("app.js", Language::Js)];
    let found = marks.into_iter().find(|(mark, _)| dir.join(mark).is_file());
    found.map(|(_, language)| language).ok_or_else(|| {
        at(
            dir,
            "is not a plugin project: it has no `Cargo.toml`, `app.py` or `app.js`; `tidegate plugin new NAME` creates one",
        )
    })
}

/// A folder for intermediate files, removed after the build.
struct Scratch(PathBuf);

impl Scratch {
    fn new(dir: &Path) -> Result<Self, Vec<Problem>> {
        let scratch = dir.join(".tidegate").join(format!("build-{}", std::process::id()));
        fs::create_dir_all(&scratch)
            .map_err(|e| at(&scratch, format!("cannot be created: {e}")))?;
        Ok(Self(scratch))
    }

    /// Returns the project's copy of the interface (WIT), or else the gateway's own.
    fn wit(&self, dir: &Path) -> Result<PathBuf, Vec<Problem>> {
        let own = dir.join("wit");
        if own.is_dir() {
            return Ok(own);
        }
        let wit = self.0.join("wit");
        fs::create_dir_all(&wit)
            .and_then(|()| fs::write(wit.join("tidegate.wit"), WIT))
            .map_err(|e| at(&wit, format!("cannot be created: {e}")))?;
        Ok(wit)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // a folder that cannot be removed is in a folder that git ignores
        let _ = fs::remove_dir_all(&self.0);
    }
}
