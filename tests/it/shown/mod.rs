//! What the pages show, run: a gateway with the config of an example, and the blocks of a page.
pub mod page;

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use tidegate::gateway::reload::Reloaded;

use crate::support::gateway::Gateway;

/// The root of the repository.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The text of a file of the repository.
pub fn text(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// What a config of the repository describes, on free ports, with a copy of the repository's
/// policies that a test may add to.
pub struct Shown {
    /// The gateway.
    pub gateway: Gateway,
    config: String,
}

impl Shown {
    /// Starts it.
    pub async fn start(config: &str) -> Self {
        Self::of(&text(config)).await
    }

    /// Starts what this config says.
    pub async fn of(config: &str) -> Self {
        build_plugins();
        let plugins = root().join("plugins");
        let config = config
            .replace("127.0.0.1:4000", "127.0.0.1:0")
            .replace("127.0.0.1:4001", "127.0.0.1:0")
            .replace("../../policies", "policies")
            .replace("../../plugins", plugins.to_str().unwrap());
        let policies: Vec<(String, String)> = fs::read_dir(root().join("policies"))
            .unwrap()
            .map(|entry| format!("policies/{}", entry.unwrap().file_name().to_str().unwrap()))
            .filter(|path| path.ends_with(".rhai"))
            .map(|path| (path.clone(), text(&path)))
            .collect();
        let policies: Vec<(&str, &str)> =
            policies.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
        let gateway = Gateway::start_with(&config, &policies).await;
        Self { gateway, config }
    }

    /// Writes a file into the folder of the config, and has the gateway look at once.
    pub async fn write(&self, path: &str, text: &str) -> Reloaded {
        fs::write(self.gateway.folder().join(path), text).unwrap();
        self.gateway.reload(&self.config).await
    }
}

/// Once a run; does nothing where no source is newer.
fn build_plugins() {
    static BUILT: OnceLock<()> = OnceLock::new();
    BUILT.get_or_init(|| {
        let output = Command::new(env!("CARGO"))
            .args(["run", "--quiet", "--package", "xtask", "--", "plugins"])
            .current_dir(root())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "`cargo xtask plugins` must work first: {said}");
    });
}
