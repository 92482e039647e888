//! Folders with a single plugin in them.
use std::fs;
use std::path::{Path, PathBuf};

use crate::plugin::wasm;

/// A folder that has this plugin and no other; shared by the tests that ask for it.
pub fn alone(name: &str) -> PathBuf {
    let wasm = wasm(name);
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("only-{name}"));
    fs::create_dir_all(&folder).unwrap();
    // several tests at a time: each sees a whole file
    let beside = folder.join(format!(".{:?}", std::thread::current().id()));
    fs::copy(wasm, &beside).unwrap();
    fs::rename(beside, folder.join(format!("{name}.wasm"))).unwrap();
    folder
}
