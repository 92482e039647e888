//! `describe`: runs a plugin with a config or a stage's parameters to get its manifest.
use std::sync::Arc;

use serde_json::{Map, Value};
use wasmtime::Store;
use wasmtime::component::Instance;

use crate::plugin_host::call::{PluginCall, Terms};
use crate::plugin_host::check;
use crate::plugin_host::code::Code;
use crate::plugin_host::manifest::Manifest;
use crate::plugin_host::run::Runner;

/// Returns the hooks that a stage's parameters use, as `describe` reports them.
///
/// Fails with the plugin's objection to the parameters.
pub(super) async fn hooks_of_stage(
    code: &Code,
    terms: &Terms,
    with: &Arc<Map<String, Value>>,
) -> Result<Vec<String>, String> {
    let mut call = PluginCall::loading(&Arc::new(terms.bare()));
    call.stage = Some(Arc::clone(with));
    let said = describe(code, call).await?;
    let hooks = parse(&said)?.hooks;
    match check::hooks(&hooks, code).into_iter().next() {
        None => Ok(hooks),
        Some(wrong) => Err(wrong),
    }
}

pub(super) fn parse(manifest: &str) -> Result<Manifest, String> {
    serde_json::from_str(manifest).map_err(|e| format!("its manifest: {e}"))
}

pub(super) async fn describe(code: &Code, call: PluginCall) -> Result<String, String> {
    let ask = async |store: &mut Store<PluginCall>, instance: Instance| match check::types(
        store, &instance, code,
    ) {
        Ok(describe) => Ok(Ok(describe.call_async(store, ()).await?.0)),
        Err(misfit) => Ok(Err(misfit)),
    };
    let given = if call.stage.is_some() { "parameters" } else { "config" };
    let (call, answer) = Runner::ungated(code).run(call, ask).await;
    match answer {
        Ok(Ok(Ok(manifest))) => Ok(manifest),
        Ok(Ok(Err(problem))) if problem.code == "invalid_config" => {
            Err(format!("refuses its {given}: {}", problem.message))
        }
        Ok(Ok(Err(problem))) => Err(format!("`describe`: {}", problem.message)),
        Ok(Err(misfit)) => Err(misfit),
        Err(cause) => {
            let words = call.last_words.map(|words| format!("; its last words: {words}"));
            let words = words.unwrap_or_default();
            Err(format!("`describe` broke: {cause}{words}"))
        }
    }
}
