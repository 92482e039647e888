//! `Code`: a compiled component, ready for instances.
use std::sync::Arc;

use wasmtime::component::{ComponentExportIndex, Instance, InstancePre};
use wasmtime::{Engine, Store};

use crate::plugin_host::bindings::Problem;
use crate::plugin_host::call::PluginCall;
use crate::plugin_host::engine::Runtime;
use crate::plugin_host::export::Export;

/// A compiled component, ready for instances; shared by every plugin made of the same bytes.
pub(super) struct Code {
    pub(super) runtime: Arc<Runtime>,
    pub(super) pre: InstancePre<PluginCall>,
    pub(super) describe: ComponentExportIndex,
    pub(super) call_tool: Option<ComponentExportIndex>,
    pub(super) on_request: Option<ComponentExportIndex>,
    pub(super) on_upstream_request: Option<ComponentExportIndex>,
    pub(super) on_response: Option<ComponentExportIndex>,
}

/// The return type of the exports.
pub(super) type HostResult<T> = (Result<T, Problem>,);

impl Code {
    pub(super) fn engine(&self) -> &Engine {
        &self.runtime.engine
    }

    pub(super) fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    /// Returns whether the code was compiled for this engine. A larger engine may have replaced the
    /// first one.
    pub(super) fn is_of(&self, runtime: &Arc<Runtime>) -> bool {
        Arc::ptr_eq(&self.runtime, runtime)
    }

    pub(super) async fn instantiate(
        &self,
        store: &mut Store<PluginCall>,
    ) -> wasmtime::Result<Instance> {
        self.pre.instantiate_async(store).await
    }

    pub(super) fn describe(&self) -> &ComponentExportIndex {
        &self.describe
    }

    /// Returns the index of an export, if the component has it.
    pub(super) fn export(&self, export: Export) -> Option<&ComponentExportIndex> {
        match export {
            Export::CallTool => self.call_tool.as_ref(),
            Export::OnRequest => self.on_request.as_ref(),
            Export::OnUpstreamRequest => self.on_upstream_request.as_ref(),
            Export::OnResponse => self.on_response.as_ref(),
        }
    }
}
