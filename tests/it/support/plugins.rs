//! Plugins for tests: where their files are, and folders with a single one in them.
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The file of a plugin of `plugins/` or `tests/guests/`. Builds those whose source is newer, once a run.
pub fn wasm(name: &str) -> PathBuf {
    static BUILT: OnceLock<()> = OnceLock::new();
    BUILT.get_or_init(|| {
        let output = Command::new(env!("CARGO"))
            .args(["run", "--quiet", "--package", "xtask", "--", "plugins"])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "`cargo xtask plugins` must work first: {said}");
    });
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let is_shipped = root.join("plugins").join(name).join("Cargo.toml").is_file();
    let dir = if is_shipped { "plugins" } else { "target/guests" };
    root.join(dir).join(format!("{name}.wasm"))
}

/// The folder of compiled plugins, which all tests share and which is kept between runs.
pub fn compiled() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tmp/plugin-cache")
}

/// A folder that has this plugin and no other; shared by the tests that ask for it.
pub fn alone(name: &str) -> PathBuf {
    let wasm = wasm(name);
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("target/tmp/only-{name}"));
    fs::create_dir_all(&folder).unwrap();
    // several tests at a time: each sees a whole file
    let beside = folder.join(format!(".{:?}", std::thread::current().id()));
    fs::copy(wasm, &beside).unwrap();
    fs::rename(beside, folder.join(format!("{name}.wasm"))).unwrap();
    folder
}
