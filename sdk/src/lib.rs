//! The SDK for plugins of [Tidegate](https://github.com/tidegate/tidegate): server tools and hooks,
//! as WebAssembly components.
//!
//! A plugin is a type that implements [`Plugin`]. Pass it to [`export!`]:
//!
//! ```
//! use tidegate_sdk::prelude::*;
//!
//! struct Dice;
//!
//! #[derive(Deserialize, JsonSchema)]
//! struct Throw {
//!     /// The number of sides of the die.
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
//! `tidegate plugin new NAME` makes a project with a tool and its tests. `tidegate plugin build`
//! makes the component. `tidegate plugin call NAME.wasm TOOL 'JSON'` runs one call of it. A gateway
//! with this file in its plugin folder offers the tool to every caller as `gateway:TOOL`. To build
//! by hand, write a crate with `crate-type = ["cdylib", "rlib"]`, compile it for
//! `wasm32-unknown-unknown`, and make a component of it with `wasm-tools component new`. The crate
//! needs `serde` and `schemars` beside this crate, for the derives.
//!
//! # Tools
//!
//! A [`Tool`] is a name, a description for the model, and a function of the plugin, the input and
//! the options. The input is any type that is [`Deserialize`](serde::Deserialize) and
//! [`JsonSchema`](schemars::JsonSchema). The SDK derives the model's schema from it, including the
//! doc comments of its fields. The options are the members of the caller's declaration beside its
//! `type` (`{"type": "gateway:dice", "max_sides": 6}`): limits that the model cannot change. Tools
//! without input or options use [`NoInput`] and [`NoOptions`].
//!
//! The function returns a [`String`], [`Json`] (the model reads it as text) or [`Blocks`] of the
//! Messages API ([`IntoContent`]). It may also return a [`Problem`], which becomes an `is_error`
//! result: the model reads its code and its message, and the conversation continues. An input that
//! does not fit its type is such a problem too.
//!
//! # Config
//!
//! [`Plugin::Config`] holds the operator's settings under `plugins.config.<name>`, without the keys
//! of the gateway itself. [`Plugin::new`] gets it before each call, and once when the plugin is
//! loaded. A config that it rejects at loading never goes live. The schema of the config is part of
//! the manifest. Plugins without a config use [`NoConfig`].
//!
//! # Hooks
//!
//! [`Plugin::HOOKS`] names the [`Hook`]s that the gateway calls: [`on_request`](Plugin::on_request)
//! once, [`on_upstream_request`](Plugin::on_upstream_request) before each attempt,
//! [`on_response`](Plugin::on_response) when the message is complete. A hook gets a [`Document`],
//! which stays with the gateway. The hook reads and writes it by JSON pointer, and only the parts
//! that it touches cross the border, so a body of a MiB costs no more than a small one. The hook
//! returns an [`Action`]. A [`Problem`] or a panic means that the stage has failed; the operator's
//! config decides whether the request then continues. If a config or a stage's parameters leave a
//! hook without work, [`Plugin::hooks`] can leave it out.
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
//!         if request.get::<u64>("/max_tokens")?.is_some_and(|limit| limit > 1024) {
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
//! # Functions of the gateway
//!
//! [`host`] and [`http`] are the whole interface: the log, the clock, the facts of the exchange, an
//! HTTP client that passes the gateway's egress guard, model calls on behalf of the caller, a small
//! store that outlives the call, and files at unguessable addresses. Everything that reaches
//! outside the plugin has to be in [`Plugin::WANTS`], and the operator has to grant it. Otherwise
//! the call returns a [`Problem`] with the code `not_granted` that names the missing line.
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
//!         let news = message["content"][0]["text"].as_str().unwrap_or_default().to_owned();
//!         host::kv_set("news", news.as_bytes(), Some(600))?;
//!         Ok(news)
//!     }
//! }
//!
//! tidegate_sdk::export!(News);
//! # fn main() {}
//! ```
//!
//! # Tests
//!
//! Outside wasm, a [`testing::MockHost`] replaces the gateway, so that `cargo test` works natively.
//! Closures answer `fetch` and `model_call`. Like the gateway, it rejects everything that the
//! plugin's manifest does not request. `tidegate plugin call` runs a built component with the real
//! host.
//!
//! # Limits and failures
//!
//! Each call gets a fresh instance, in some microseconds. A plugin keeps nothing between calls
//! except in the store, and a failed call never affects the next one. A hook has 50 ms, a tool
//! 30 s, and a call 128 MiB of memory, unless the operator sets other limits. There are no files,
//! sockets, environment or threads.
//!
//! A panic, a trap, a timeout or too much memory ends that call only. A tool call becomes an
//! `is_error` result; a hook becomes a failed stage. The SDK contains the allocator and the panic
//! hook. The text of a panic goes to the gateway's log, and never to the caller.
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

/// The pages for plugin authors: their code is compiled and run.
#[cfg(doctest)]
mod pages {
    #[doc = include_str!("../../docs/plugins/tools.md")]
    struct Tools;
    #[doc = include_str!("../../docs/plugins/hooks.md")]
    struct Hooks;
    #[doc = include_str!("../../docs/plugins/host.md")]
    struct HostFunctions;
    #[doc = include_str!("../../docs/plugins/config.md")]
    struct Config;
    #[doc = include_str!("../../docs/plugins/testing.md")]
    struct Testing;
}

/// The usual imports of a plugin, including the derives of serde and schemars.
pub mod prelude {
    pub use crate::{
        Action, Blocks, Document, Hook, IntoContent, Json, Message, NoConfig, NoInput, NoOptions,
        Plugin, Problem, Request, Result, Target, Tool, Wants,
    };
    pub use crate::{host, http};
    pub use schemars::JsonSchema;
    pub use serde::{Deserialize, Serialize};
}

/// Exports a type that implements [`Plugin`] as the plugin of this crate, under the crate's own
/// name and version. Call it once in a crate.
#[macro_export]
macro_rules! export {
    ($plugin:ty) => {
        impl $crate::Package for $plugin {
            const NAME: &'static str = env!("CARGO_PKG_NAME");
            const VERSION: &'static str = env!("CARGO_PKG_VERSION");
        }

        // outside wasm only the tests would use the plugin
        const _: $crate::guest::Describe = $crate::guest::describe::<$plugin>;

        #[cfg(target_arch = "wasm32")]
        const _: () = {
            type Exported = $crate::guest::Exported<$plugin>;
    $crate::bindings::export_plugin!(Exported with_types_in $crate::bindings);
        };
    };
}
