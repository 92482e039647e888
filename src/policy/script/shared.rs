//! `Shared`: the document of one call, which the script and the host both hold.
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};
use serde_json::Value;

use crate::error::Result;
use crate::wire::{Document, Kind, Step};

/// A document that scripts share with the host during a call.
#[derive(Clone)]
pub(super) struct Shared(Arc<Mutex<Document>>);

impl Shared {
    pub(super) fn new(document: Document) -> Self {
        Self(Arc::new(Mutex::new(document)))
    }

    /// Returns the document; a copy (which shares the bytes) if a script still holds a place.
    pub(super) fn into_document(self) -> Document {
        match Arc::try_unwrap(self.0) {
            Ok(document) => document.into_inner(),
            Err(shared) => Self(shared).lock().clone(),
        }
    }

    /// Appends to `tools`, unless a tool with the same type and name is declared.
    pub(super) fn add_tool(&self, declaration: &Value) -> Result<()> {
        let tools = [Step::Key("tools")];
        let mut document = self.lock();
        let declared = document.get(&tools)?.unwrap_or_default();
        let declared: Vec<Value> = serde_json::from_slice(&declared).unwrap_or_default();
        let is_same =
            |tool: &Value| ["type", "name"].iter().all(|key| tool[key] == declaration[key]);
        if declared.iter().any(is_same) {
            return Ok(());
        }
        if document.kind(&tools)? != Some(Kind::Array) {
            document.set(&tools, "[]")?;
        }
        document.push(&tools, declaration.to_string())
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Document> {
        self.0.lock()
    }

    /// Returns whether both are the same document.
    pub(super) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}
