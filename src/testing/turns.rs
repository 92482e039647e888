//! Turns as the crate's own types, and what the gateway makes of a history.
use serde_json::Value;

use crate::error::Result;
use crate::plugin_host::published::Published;
use crate::server_tools::citations::Sources;
use crate::server_tools::history;
use crate::server_tools::images::Images;
use crate::server_tools::tool::{Face, ServerTool};
use crate::testing;
use crate::testing::events;
use crate::wire::{Event, MessagesRequest, unfold};

/// The events of a message.
pub(crate) fn events(message: &Value) -> Vec<Event> {
    unfold::events_of(&message.to_string().into()).unwrap()
}

/// The message that events stand for.
pub(crate) fn folded(events: &[Event]) -> Value {
    events::folded(&testing::seen(events))
}

/// Restores a history where nothing can be cited and no file is kept.
pub(crate) fn restored(request: &mut MessagesRequest) -> Result<()> {
    let files = Published::default();
    history::restore(request, Sources::default(), Images::new(&files, true)).map(drop)
}

/// A server tool that the caller declared.
pub(crate) fn shown(name: &str) -> ServerTool {
    ServerTool {
        name: name.to_owned(),
        upstream_name: format!("gateway_{name}"),
        options: "{}".into(),
        face: Face::of(name),
        max_uses: None,
        counts_history: true,
        wants_transcript: false,
    }
}

/// A server tool that a policy added.
pub(crate) fn hidden(name: &str) -> ServerTool {
    ServerTool { face: Face::Hidden, ..shown(name) }
}
