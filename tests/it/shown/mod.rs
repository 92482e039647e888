//! What the pages show, run: a gateway with the config of an example, and the blocks of a page.
pub mod page;
pub mod pages;

use std::fs;

use tidegate::gateway::reload::Reloaded;

use crate::support::gateway::Gateway;
use crate::support::plugins::wasm;
pub use crate::support::repository::{root, text};

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
        // its plugins have to be there
        let plugins = wasm("datetime").parent().unwrap().to_owned();
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
        let gateway = Gateway::with().config(&config).files(&policies).start().await;
        Self { gateway, config }
    }

    /// Writes a file into the folder of the config, and has the gateway look at once.
    pub async fn write(&self, path: &str, text: &str) -> Reloaded {
        fs::write(self.gateway.folder().join(path), text).unwrap();
        self.gateway.reload(&self.config).await
    }
}
