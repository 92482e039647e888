//! `tidegate plugin inspect`: prints a plugin's manifest and the capabilities that it requests.
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::Path;

use serde_json::Value;
use tidegate_builder::{Surface, section, surface};

use crate::cli::plugin_host::{at, block_on, host};
use crate::cli::show::Paint;
use crate::disk;
use crate::error::{Problem, Result};

/// Prints the report. The plugin runs only if its file has no manifest.
pub(crate) fn run(file: &Path) -> Result<(), Vec<Problem>> {
    let wasm = disk::bytes(file).map_err(|unread| vec![unread.at(file)])?;
    let surface = surface_of(&wasm).map_err(|message| at(file, message))?;
    let (manifest, source) = match section::read(&wasm, section::MANIFEST) {
        Some(text) => (String::from_utf8_lossy(text).into_owned(), Source::Section),
        None => {
            let beside = file.parent().unwrap_or(Path::new("."));
            let text = block_on(async { host(beside)?.manifest_text(file).await })?;
            (text, Source::Describe)
        }
    };
    let manifest: Value = serde_json::from_str(&manifest)
        .map_err(|e| at(file, format!("its section `{}`: {e}", section::MANIFEST)))?;
    let plugin = Inspected { manifest, source, surface, size: wasm.len() };
    // a reader that closes early, such as `head`, is no reason to fail
    let _ = io::stdout().write_all(plugin.report(Paint::of_stdout()).as_bytes());
    Ok(())
}

fn surface_of(wasm: &[u8]) -> Result<Surface, String> {
    if !wasm.starts_with(b"\0asm") {
        return Err("is no WebAssembly file".to_owned());
    }
    if wasm.get(6..8) == Some(&[0, 0]) {
        let message = "is a core module, not a component: build it with `tidegate plugin build`";
        return Err(message.to_owned());
    }
    surface(wasm).map_err(|e| format!("{e:#} (was it written to its end?)"))
}

/// The origin of the manifest.
enum Source {
    Section,
    Describe,
}

struct Inspected {
    manifest: Value,
    source: Source,
    surface: Surface,
    size: usize,
}

impl Inspected {
    fn report(&self, paint: Paint) -> String {
        let text = |name: &str| self.manifest[name].as_str().unwrap_or("?");
        let mut report = format!(
            "{} {}  {}\n",
            paint.strong(text("name")),
            text("version"),
            paint.faint(&format!("{} KiB", self.size.div_ceil(1024)))
        );
        let mut line = |what: &str, said: &str| {
            // writing to a string cannot fail
            let _ = writeln!(report, "  {what:<8} {said}");
        };
        line("border", &self.border());
        line("hooks", &or_none(words(&self.manifest["hooks"])));
        line("wants", &or_none(self.wants()));
        line("imports", &or_none(self.foreign()));
        let config = &self.manifest["config_schema"];
        line("config", &or_none(members(config)));
        if matches!(self.source, Source::Describe) {
            line(
                "note",
                "the file has no manifest: the plugin was run to read it; `tidegate plugin build` adds one",
            );
        }
        for tool in self.manifest["tools"].as_array().into_iter().flatten() {
            let name = tool["name"].as_str().unwrap_or("?");
            let name = paint.strong(&format!("gateway:{name}"));
            let _ = writeln!(report, "\n{name}  {}", tool["description"].as_str().unwrap_or(""));
            let _ = writeln!(report, "  input    {}", or_none(members(&tool["input_schema"])));
            let _ = writeln!(report, "  options  {}", or_none(members(&tool["options_schema"])));
        }
        report
    }

    /// Returns the version of the interface (WIT) that the plugin was built against.
    fn border(&self) -> String {
        let mut borders = self.surface.imports.iter().filter_map(|import| {
            let (package, version) = import.split_once('@')?;
            package.starts_with("tidegate:plugin/").then(|| format!("tidegate:plugin@{version}"))
        });
        borders.next().unwrap_or_else(|| "imports nothing of it".to_owned())
    }

    /// Returns the imports from outside the interface (WIT).
    fn foreign(&self) -> Vec<String> {
        let of = |import: &&String| !import.starts_with("tidegate:plugin/");
        self.surface.imports.iter().filter(of).cloned().collect()
    }

    fn wants(&self) -> Vec<String> {
        let wants = &self.manifest["wants"];
        let mut said = Vec::new();
        for (member, what) in [("hosts", "hosts"), ("models", "models")] {
            let names = words(&wants[member]);
            if !names.is_empty() {
                said.push(format!("{what} {}", names.join(" ")));
            }
        }
        if let Some(bytes) = wants["kv_bytes"].as_u64().filter(|bytes| *bytes > 0) {
            said.push(format!("a store of {bytes} bytes"));
        }
        if wants["publish"] == true {
            said.push("to publish files".to_owned());
        }
        said
    }
}

fn words(list: &Value) -> Vec<String> {
    let words = list.as_array().into_iter().flatten().filter_map(Value::as_str);
    words.map(str::to_owned).collect()
}

/// Returns the members of an object's schema in short form: `sides: integer`, `max?: integer`.
fn members(schema: &Value) -> Vec<String> {
    let required = words(&schema["required"]);
    let members = schema["properties"].as_object().into_iter().flatten();
    let shown = members.map(|(name, member)| {
        let mark = if required.contains(name) { "" } else { "?" };
        format!("{name}{mark}: {}", kind(member))
    });
    shown.collect()
}

fn kind(schema: &Value) -> String {
    match &schema["type"] {
        Value::String(kind) if kind == "array" => format!("{}[]", kind_of_items(schema)),
        Value::String(kind) => kind.clone(),
        // the schema of an option is `["integer", "null"]`
        Value::Array(kinds) => {
            let kinds = kinds.iter().filter_map(Value::as_str).filter(|kind| *kind != "null");
            kinds.collect::<Vec<_>>().join("|")
        }
        _ => "any".to_owned(),
    }
}

fn kind_of_items(schema: &Value) -> &str {
    schema["items"]["type"].as_str().unwrap_or("any")
}

fn or_none(parts: Vec<String>) -> String {
    if parts.is_empty() { "none".to_owned() } else { parts.join(", ") }
}
