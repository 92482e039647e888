//! Puts the policies and modules of `policies/library` and the pages of `dashboard` into the binary, so that it has
//! them without a checkout, and links the binary so that an older glibc than the machine's is enough for it.
use std::error::Error;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

/// The only function of which a newer glibc has a version that older ones lack.
const HYPOT: &str = "build/hypot.c";

fn main() -> Result<(), Box<dyn Error>> {
    link_to_old_glibc()?;
    // a folder here stands for everything in it
    println!("cargo::rerun-if-changed=policies/library");
    println!("cargo::rerun-if-changed=dashboard");
    println!("cargo::rerun-if-changed=build.rs");
    let target = PathBuf::from(env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?);
    pages(&target)?;
    let library = Path::new("policies/library");
    let mut files = Vec::new();
    list(library, &mut files)?;
    files.retain(|file| file.extension().is_some_and(|extension| extension == "rhai"));
    files.sort();
    let (mut policies, mut modules) = ("&[\n".to_owned(), "&[\n".to_owned());
    for file in files {
        let name = file.strip_prefix(library)?.with_extension("");
        let name = name.to_str().ok_or("a policy's name is no text")?.replace('\\', "/");
        let source = fs::read_to_string(&file)?;
        let cases = fs::read_to_string(file.with_extension("cases.yaml")).ok();
        match name.strip_prefix("lib/") {
            Some(name) => writeln!(modules, "({name:?}, {source:?}),")?,
            None => writeln!(
                policies,
                "Shipped {{ name: {name:?}, source: {source:?}, cases: {cases:?} }},"
            )?,
        }
    }
    fs::write(target.join("library.rs"), policies + "]\n")?;
    fs::write(target.join("modules.rs"), modules + "]\n")?;
    Ok(())
}

/// Has the linker take the first version of `hypot` for the binary.
fn link_to_old_glibc() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed={HYPOT}");
    let target = |part: &str| {
        let value = env::var_os(format!("CARGO_CFG_TARGET_{part}"));
        value.and_then(|value| value.into_string().ok()).unwrap_or_default()
    };
    let is_known = matches!(target("ARCH").as_str(), "x86_64" | "aarch64");
    if target("OS") != "linux" || target("ENV") != "gnu" || !is_known {
        return Ok(());
    }
    for object in cc::Build::new().file(HYPOT).try_compile_intermediates()? {
        println!("cargo::rustc-link-arg-bins={}", object.display());
    }
    println!("cargo::rustc-link-arg-bins=-Wl,--wrap=hypot");
    Ok(())
}

/// Writes the list of the dashboard's files: the path and the contents of each.
fn pages(target: &Path) -> Result<(), Box<dyn Error>> {
    let folder = Path::new("dashboard");
    let mut files = Vec::new();
    list(folder, &mut files)?;
    files.sort();
    let root = env::current_dir()?;
    let mut text = "&[\n".to_owned();
    for file in files {
        let name = file.strip_prefix(folder)?.to_str().ok_or("a file's name is no text")?;
        let (name, full) = (name.replace('\\', "/"), root.join(&file));
        let full = full.to_str().ok_or("the path of the repository is no text")?;
        writeln!(text, "({name:?}, include_bytes!({full:?})),")?;
    }
    fs::write(target.join("dashboard.rs"), text + "]\n")?;
    Ok(())
}

/// Adds every file in a folder. Hidden files, such as those of editors, are no part of it.
fn list(folder: &Path, found: &mut Vec<PathBuf>) -> Result<(), Box<dyn Error>> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with('.') {
            continue;
        }
        let path = entry.path();
        match path.is_dir() {
            true => list(&path, found)?,
            false => found.push(path),
        }
    }
    Ok(())
}
