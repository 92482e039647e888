//! Write plugins for [Tidegate](https://github.com/tidegate/tidegate): server tools and hooks, as
//! WebAssembly components.
//!
//! A plugin is a type that implements [`Plugin`] and is handed to [`export!`]:
//!
//! ```
//! use tidegate_sdk::prelude::*;
//!
//! struct Dice;
//!
//! #[derive(Deserialize, JsonSchema)]
//! struct Throw {
//!     /// How many sides the die has.
//!     sides: u64,
//! }
//!
//! impl Dice {
//!     fn throw(&self, input: Throw, _: NoOptions) -> Result<String> {
//!         if input.sides == 0 {
//!             return Err(Problem::invalid_input("`sides` is 0: give at least 1"));
//!         }
//!         Ok(format!("{}", host::clock() % input.sides + 1))
//!     }
//! }
//!
//! impl Plugin for Dice {
//!     type Config = NoConfig;
//!     fn new(_: NoConfig) -> Result<Self> {
//!         Ok(Self)
//!     }
//!     fn tools() -> Vec<Tool<Self>> {
//!         vec![Tool::new("dice", "Throws a die.", Self::throw)]
//!     }
//! }
//!
//! tidegate_sdk::export!(Dice);
//! # fn main() {}
//! ```
//!
//! # From nothing to a tool
//!
//! `tidegate plugin new NAME` makes a project with a tool and its tests, `tidegate plugin build` makes
//! the component, `tidegate plugin call NAME.wasm TOOL 'JSON'` runs one call of it, and a gateway that
//! finds the file in its folder of plugins offers the tool to every caller as `gateway:TOOL`. By hand: a
//! crate with `crate-type = ["cdylib", "rlib"]`, compiled for `wasm32-unknown-unknown` and made a
//! component with `wasm-tools component new`. It needs `serde` and `schemars` beside this crate, for the
//! derives.
//!
//! # Tools
//!
//! A [`Tool`] is a name, a description for the model, and a function of the plugin, the input and the
//! options. The input is any type that is [`Deserialize`](serde::Deserialize) and
//! [`JsonSchema`](schemars::JsonSchema): the schema that the model gets follows from it, and so do the
//! words on its fields. The options are what the caller's declaration holds beside its `type`
//! (`{"type": "gateway:dice", "max_sides": 6}`): bounds that the model cannot widen. [`NoInput`] and
//! [`NoOptions`] are for tools that have none.
//!
//! It returns a [`String`], [`Json`] (the model reads it as text) or [`Blocks`] of the Messages API
//! ([`IntoContent`]); or a [`Problem`], which is an `is_error` result: the model reads its code and its
//! message, and the conversation goes on. An input that does not fit its type is such a problem too.
//!
//! # Config
//!
//! [`Plugin::Config`] is what the operator writes under `plugins.config.<name>`, without the keys that are
//! the gateway's own. [`Plugin::new`] gets it before each call, and once when the plugin is loaded: what it
//! refuses then never goes live. Its schema is part of the manifest. [`NoConfig`] is for plugins without.
//!
//! # Hooks
//!
//! [`Plugin::HOOKS`] names the [`Hook`]s that the gateway calls: [`on_request`](Plugin::on_request) once,
//! [`on_upstream_request`](Plugin::on_upstream_request) before each attempt,
//! [`on_response`](Plugin::on_response) when the message is whole. A hook gets a [`Document`], which stays
//! with the gateway: JSON pointers read and write it, and what is not touched never crosses the border, so
//! that a body of a MiB costs no more than a small one. It decides by an [`Action`]; a [`Problem`] or a
//! panic means that the stage has broken, and whether the request goes on then is the operator's decision.
//! A hook for which a config, or a stage's parameters, leave nothing to do need not be called:
//! [`Plugin::hooks`].
//!
//! ```
//! use tidegate_sdk::prelude::*;
//!
//! struct Brief;
//!
//! impl Plugin for Brief {
//!     type Config = NoConfig;
//!     const HOOKS: &'static [Hook] = &[Hook::OnRequest];
//!
//!     fn new(_: NoConfig) -> Result<Self> {
//!         Ok(Self)
//!     }
//!
//!     fn on_request(&self, request: &mut Request<'_>) -> Result<Action> {
//!         if host::context::<String>("key")?.as_deref() == Some("guest") {
//!             return Ok(Action::Deny(403, "guests have no access today".to_owned()));
//!         }
//!         if request.get::<u64>("/max_tokens")?.is_some_and(|asked| asked > 1024) {
//!             request.set("/max_tokens", 1024)?;
//!         }
//!         Ok(Action::Next)
//!     }
//! }
//!
//! tidegate_sdk::export!(Brief);
//!
//! use serde_json::json;
//! use tidegate_sdk::testing::MockHost;
//!
//! let mut body = json!({"model": "claude-x", "max_tokens": 4000});
//! assert_eq!(MockHost::new().on_request::<Brief>(&mut body), Ok(Action::Next));
//! assert_eq!(body["max_tokens"], 1024);
//! ```
//!
//! # What the gateway does for a plugin
//!
//! [`host`] and [`http`] are all there is: the log, the clock, the facts of the exchange, an HTTP client
//! behind the gateway's egress guard, models that are asked on behalf of the caller, a small store that
//! outlives the call, files under addresses that nobody can guess. What reaches out has to be in
//! [`Plugin::WANTS`] and granted by the operator; a call that is not is a [`Problem`] with the code
//! `not_granted` that names the missing line.
//!
//! ```
//! use serde_json::json;
//! use tidegate_sdk::prelude::*;
//!
//! struct News;
//!
//! impl Plugin for News {
//!     type Config = NoConfig;
//!     const WANTS: Wants =
//!         Wants::NOTHING.hosts(&["news.example"]).models(&["fast"]).kv_bytes(4096);
//!
//!     fn new(_: NoConfig) -> Result<Self> {
//!         Ok(Self)
//!     }
//!
//!     fn tools() -> Vec<Tool<Self>> {
//!         vec![Tool::new("news", "The news in a sentence.", Self::news)]
//!     }
//! }
//!
//! impl News {
//!     fn news(&self, _: NoInput, _: NoOptions) -> Result<String> {
//!         if let Some(kept) = host::kv_get("news") {
//!             return Ok(String::from_utf8_lossy(&kept).into_owned());
//!         }
//!         let page = http::get("https://news.example/today").max_bytes(100_000).send()?;
//!         let message = host::model_call(&json!({
//!             "model": "fast", "max_tokens": 100,
//!             "messages": [{"role": "user", "content": format!("In a sentence:\n{}", page.text())}],
//!         }))?;
//!         let told = message["content"][0]["text"].as_str().unwrap_or_default().to_owned();
//!         host::kv_set("news", told.as_bytes(), Some(600))?;
//!         Ok(told)
//!     }
//! }
//!
//! tidegate_sdk::export!(News);
//! # fn main() {}
//! ```
//!
//! # Tests
//!
//! Off wasm, a [`testing::MockHost`] stands in for the gateway, so that `cargo test` works natively. It
//! answers `fetch` and `model_call` by closures, and refuses what the plugin's manifest does not want, as
//! the gateway does. `tidegate plugin call` runs a built component with the real host.
//!
//! # Limits, and what happens when it breaks
//!
//! Each call gets a fresh instance, in some microseconds: a plugin keeps nothing between calls but what is
//! in the store, and one bad call never spoils the next. A hook has 50 ms, a tool 30 s, a call 128 MiB of
//! memory, unless the operator says otherwise. There are no files, sockets, environment or threads.
//!
//! A panic, a trap, too much time or memory end that call only: a tool's becomes an `is_error` result, a
//! hook's a broken stage. The SDK brings the allocator and the panic hook: the text of a panic reaches the
//! gateway's log as the plugin's last words, and never the caller.
#![deny(unsafe_code)]
#![deny(missing_docs)]

#[cfg(target_arch = "wasm32")]
mod arena;
#[doc(hidden)]
#[cfg(target_arch = "wasm32")]
pub mod bindings;
#[doc(hidden)]
pub mod guest;
pub mod host;
pub mod http;
mod document;
mod http_message;
mod level;
#[cfg(not(target_arch = "wasm32"))]
mod mock;
mod plugin;
#[cfg(not(target_arch = "wasm32"))]
mod pointer;
mod problem;
#[cfg(not(target_arch = "wasm32"))]
pub mod testing;
mod tool;
#[cfg(not(target_arch = "wasm32"))]
mod wanted;

pub use document::{Document, Message, Request};
pub use plugin::{Action, Hook, NoConfig, Package, Plugin, Target, Wants};
pub use problem::{Problem, Result};
pub use tool::{Blocks, IntoContent, Json, NoInput, NoOptions, Tool};

/// The page for plugin authors: its code is compiled and run.
#[cfg(doctest)]
#[doc = include_str!("../../docs/plugins.md")]
struct Page;

/// What a plugin usually needs, the derives of serde and schemars among it.
pub mod prelude {
    pub use crate::{
        Action, Blocks, Document, Hook, IntoContent, Json, Message, NoConfig, NoInput, NoOptions,
        Plugin, Problem, Request, Result, Target, Tool, Wants,
    };
    pub use crate::{host, http};
    pub use schemars::JsonSchema;
    pub use serde::{Deserialize, Serialize};
}

/// Makes a type that implements [`Plugin`] the plugin of this crate, under the crate's own name and
/// version. Once a crate.
#[macro_export]
macro_rules! export {
    ($plugin:ty) => {
        impl $crate::Package for $plugin {
            const NAME: &'static str = env!("CARGO_PKG_NAME");
            const VERSION: &'static str = env!("CARGO_PKG_VERSION");
        }

        // off wasm nothing else would use the plugin but its tests
        const _: $crate::guest::Describe = $crate::guest::describe::<$plugin>;

        #[cfg(target_arch = "wasm32")]
        const _: () = {
            type Exported = $crate::guest::Exported<$plugin>;
    $crate::bindings::export_plugin!(Exported with_types_in $crate::bindings);
        };
    };
}
