//! The code that `wit-bindgen` generates from `wit/tidegate.wit`. No other module has generated
//! code.
#![allow(
    unsafe_code,
    missing_docs,
    clippy::all,
    reason = "generated: the canonical ABI is raw pointers"
)]

wit_bindgen::generate!({
    path: "wit",
    world: "plugin",
    pub_export_macro: true,
    export_macro_name: "export_plugin",
});
