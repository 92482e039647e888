//! From a plugin's source to a component: a compiler that can build guests, core modules to
//! components, and the manifest as a section of the file.
mod component;
mod imports;
pub mod project;
pub mod section;
pub mod shell;
mod toolchain;

pub use component::{Module, componentize, modules, write};
pub use imports::{Surface, surface};
pub use toolchain::{Toolchain, Way};
