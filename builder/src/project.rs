//! Builds a project in any language to a component without its manifest.
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::component::{componentize, write};
use crate::module::modules;
use crate::shell::{output_of, run};
use crate::toolchain::{Toolchain, Way};

/// The world with every export. The libraries for Python and JavaScript implement all of them.
const WORLD: &str = "plugin";

/// Compiles the crate in `dir` by the usual cargo, or by the requested way.
pub fn rust(dir: &Path, way: Option<Way>, out: &Path) -> Result<()> {
    let toolchain = Toolchain::find(way, Path::new("cargo"), dir)?;
    let modules = modules(&toolchain, &dir.join("Cargo.toml"), &[], None)?;
    let module = modules.first().context("it builds nothing")?;
    write(&componentize(&module.file)?, out)
}

/// Makes a component of `app.py` by componentize-py; `wit` is the folder of the interface.
pub fn python(dir: &Path, wit: &Path, out: &Path) -> Result<()> {
    let program = program(dir, "componentize-py", ".venv/bin").context(
        "componentize-py is not installed here; in the project's folder:\n  \
         python3 -m venv .venv\n  .venv/bin/pip install componentize-py==0.25.1",
    )?;
    let mut command = Command::new(program);
    command.current_dir(dir).arg("-d").arg(wit).args(["-w", WORLD]);
    run(command.args(["componentize", "app", "-o"]).arg(out))
}

/// Makes a component of `app.js` by componentize-js; `wit` is the folder of the interface.
pub fn js(dir: &Path, wit: &Path, out: &Path) -> Result<()> {
    let program = program(dir, "componentize-js", "node_modules/.bin").context(
        "componentize-js is not installed here; in the project's folder:\n  \
         npm install --save-dev @bytecodealliance/componentize-js@0.23.0",
    )?;
    let mut command = Command::new(program);
    command.current_dir(dir).arg("app.js").arg("--wit").arg(wit);
    // the gateway's `fetch` is the only access to the network
    command.args(["--world-name", WORLD, "--disable", "http", "--disable", "fetch-event"]);
    run(command.arg("--out").arg(out))
}

/// Returns the project's own program, else the one on the `PATH`.
fn program(dir: &Path, name: &str, own: &str) -> Option<PathBuf> {
    let own = dir.join(own).join(name);
    if own.is_file() {
        return Some(own);
    }
    output_of(dir, name, &["--version"]).map(|_| PathBuf::from(name))
}
