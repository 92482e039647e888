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
//! The crate is a `cdylib` built for `wasm32-unknown-unknown` and turned into a component; each call
//! gets a fresh instance, so a plugin keeps nothing between calls. The SDK brings the allocator and
//! the panic hook: the text of a panic reaches the gateway's log. Off wasm, [`testing::MockHost`]
//! stands in for the gateway, so that `cargo test` works natively.
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
mod plugin;
mod problem;
#[cfg(not(target_arch = "wasm32"))]
pub mod testing;
mod tool;

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
