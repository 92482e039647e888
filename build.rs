//! Puts the policies and modules of `policies/library` into the binary, so that it has them without a checkout.
use std::error::Error;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

fn main() -> Result<(), Box<dyn Error>> {
    // a folder here stands for everything in it
    println!("cargo::rerun-if-changed=policies/library");
    println!("cargo::rerun-if-changed=build.rs");
    let library = Path::new("policies/library");
    let mut files = Vec::new();
    scripts(library, &mut files)?;
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
    let target = PathBuf::from(env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?);
    fs::write(target.join("library.rs"), policies + "]\n")?;
    fs::write(target.join("modules.rs"), modules + "]\n")?;
    Ok(())
}

fn scripts(folder: &Path, found: &mut Vec<PathBuf>) -> Result<(), Box<dyn Error>> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            scripts(&path, found)?;
        } else if path.extension().is_some_and(|extension| extension == "rhai") {
            found.push(path);
        }
    }
    Ok(())
}
