//! Builds a component from a plugin's source: finds a compiler for guests, compiles core modules,
//! makes components of them, adds the manifest.
//!
//! Without the feature `component`, the crate only compiles core modules and needs few crates.
//! `cargo xtask` uses it like this.
#[cfg(feature = "component")]
mod component;
#[cfg(feature = "component")]
mod imports;
mod module;
#[cfg(feature = "component")]
pub mod project;
#[cfg(feature = "component")]
pub mod section;
pub mod shell;
mod toolchain;

#[cfg(feature = "component")]
pub use component::{componentize, write};
#[cfg(feature = "component")]
pub use imports::{Surface, surface};
pub use module::{Module, modules};
pub use toolchain::{Toolchain, Way};
