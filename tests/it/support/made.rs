//! Components made by hand, of the kinds that no SDK makes.
use std::path::PathBuf;

use tempfile::TempDir;
/// The section of a component that holds its manifest, as the plugin authors' page names it.
pub const SECTION: &str = "tidegate:manifest";

/// A component that says what it is told to, with a tool of its own name.
pub struct Made {
    /// What `describe` does before it gives anything, as text.
    pub first: &'static str,
    /// What `describe` gives.
    pub manifest: String,
    /// What `call-tool` gives.
    pub result: String,
    /// How many bytes of its memory it says that is.
    pub length: usize,
    /// 64 KiB each.
    pub pages: u64,
    /// Of the border that it was built against.
    pub version: &'static str,
    /// More of the component.
    pub more: String,
}

pub const MANIFEST: &str = r#"{"name":"made","version":"1.0.0","tools":[{"name":"made","description":"d","input_schema":{"type":"object"}}]}"#;

impl Default for Made {
    fn default() -> Self {
        Self::saying("\"well\"")
    }
}

impl Made {
    /// With this result.
    pub fn saying(result: &str) -> Self {
        Self {
            first: "",
            manifest: MANIFEST.to_owned(),
            result: result.to_owned(),
            length: result.len(),
            pages: 2,
            version: "0.1.0",
            more: String::new(),
        }
    }

    pub fn wasm(&self) -> Vec<u8> {
        wat::parse_str(self.text()).unwrap()
    }

    /// The file `made.wasm` in a folder of its own.
    pub fn file(&self) -> (TempDir, PathBuf) {
        file(&self.wasm())
    }

    fn text(&self) -> String {
        let Self { first, pages, version, more, length, .. } = self;
        let (manifest, result) = (hex(&self.manifest), hex(&self.result));
        let told = self.manifest.len();
        let text = "(result (result string (error $problem)))";
        let canon = "(memory (core memory $i \"memory\")) (realloc (core func $i \"realloc\"))";
        format!(
            r#"(component
  (import "tidegate:plugin/types@{version}" (instance $types
    (type $own (record (field "code" string) (field "message" string) (field "retryable" bool)))
    (export "problem" (type $named (eq $own)))))
  (alias export $types "problem" (type $problem))
  (core module $m
    (memory (export "memory") {pages})
    (data (i32.const 1024) "{manifest}")
    (data (i32.const 32768) "{result}")
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 65536))
    (func $text (param i32 i32) (result i32)
      (i32.store8 (i32.const 16) (i32.const 0))
      (i32.store (i32.const 20) (local.get 0))
      (i32.store (i32.const 24) (local.get 1))
      (i32.const 16))
    (func (export "describe") (result i32) {first} (call $text (i32.const 1024) (i32.const {told})))
    (func (export "call-tool") (param i32 i32 i32 i32 i32 i32) (result i32)
      (call $text (i32.const 32768) (i32.const {length}))))
  (core instance $i (instantiate $m))
  (func (export "describe") {text} (canon lift (core func $i "describe") {canon}))
  (func (export "call-tool") (param "name" string) (param "input" string) (param "options" string)
    {text} (canon lift (core func $i "call-tool") {canon}))
  {more})"#
        )
    }
}

/// Some bytes as `made.wasm` in a folder of their own.
pub fn file(wasm: &[u8]) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("made.wasm");
    std::fs::write(&path, wasm).unwrap();
    (folder, path)
}

/// A component with a manifest to read.
pub fn with_section(mut wasm: Vec<u8>, manifest: &str) -> Vec<u8> {
    let mut content = leb(SECTION.len());
    content.extend_from_slice(SECTION.as_bytes());
    content.extend_from_slice(manifest.as_bytes());
    wasm.push(0);
    wasm.extend(leb(content.len()));
    wasm.extend(content);
    wasm
}

fn leb(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number > 0x7f {
        bytes.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}

fn hex(text: &str) -> String {
    text.bytes().map(|byte| format!("\\{byte:02x}")).collect()
}
