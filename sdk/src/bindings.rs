//! What `wit-bindgen` makes of `wit/tidegate.wit`; the one place whose code it writes.
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
