//! The imports and exports of a component, read from the file without compiling it.
use anyhow::{Context, Result};
use wasmparser::{ComponentExport, ComponentExternalKind, ComponentImport, Parser, Payload};

/// The outermost level of a component.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Surface {
    /// The imported interfaces, such as `wasi:cli/stdout@0.2.3`.
    pub imports: Vec<String>,
    /// The exported functions, such as `call-tool`.
    pub exports: Vec<String>,
}

/// Reads the imports and exports. Fails if the file is not a complete component.
pub fn surface(wasm: &[u8]) -> Result<Surface> {
    let mut found = Surface::default();
    let mut depth = 0usize;
    for payload in Parser::new(0).parse_all(wasm) {
        match payload.context("it is not a complete component")? {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(section) if depth == 0 => {
                let names: Result<Vec<_>, _> = section.into_iter().map(named_import).collect();
                found.imports.extend(names?);
            }
            Payload::ComponentExportSection(section) if depth == 0 => {
                let names: Result<Vec<_>, _> = section.into_iter().map(named_export).collect();
                found.exports.extend(names?.into_iter().flatten());
            }
            _ => {}
        }
    }
    // types that the world uses by their bare names are not interfaces
    found.imports.retain(|name| name.contains(':'));
    Ok(found)
}

fn named_import(import: wasmparser::Result<ComponentImport<'_>>) -> wasmparser::Result<String> {
    Ok(import?.name.name.to_owned())
}

/// Returns the name of an exported function; `None` for any other export.
fn named_export(
    export: wasmparser::Result<ComponentExport<'_>>,
) -> wasmparser::Result<Option<String>> {
    let export = export?;
    let is_function = export.kind == ComponentExternalKind::Func;
    Ok(is_function.then(|| export.name.name.to_owned()))
}
