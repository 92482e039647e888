//! The API's own client tools (`bash_…`, `text_editor_…`, `memory_…`, `computer_…`) as ordinary functions: other
//! upstreams know no schema for them.
use serde_json::{Value, json};

use crate::providers::translate::conversation::Tool;

/// The patterns of the types that have a schema here.
pub(crate) const TYPES: [&str; 4] = ["bash_*", "text_editor_*", "memory_*", "computer_*"];

/// A tool with its schema.
pub(crate) struct Described {
    pub(crate) description: String,
    pub(crate) schema: String,
}

/// Returns the description and the schema of one of the API's own client tools; `None` for other types.
pub(crate) fn describe(tool: &Tool<'_>) -> Option<Described> {
    let kind = tool.kind.as_deref()?;
    let (description, schema) = match kind.rsplit_once('_')?.0 {
        "bash" => bash(),
        "text_editor" => text_editor(kind),
        "memory" => memory(),
        "computer" => computer(tool),
        _ => return None,
    };
    Some(Described { description, schema: schema.to_string() })
}

fn bash() -> (String, Value) {
    let schema = json!({
        "type": "object",
        "properties": {
            "command": {"type": "string", "description": "The command to run. Needed unless `restart` is true."},
            "restart": {"type": "boolean", "description": "Restarts the shell."},
        },
    });
    ("Runs commands in a shell that keeps its state between calls.".to_owned(), schema)
}

fn text_editor(kind: &str) -> (String, Value) {
    let mut commands = vec!["view", "create", "str_replace", "insert"];
    if kind < "text_editor_20250429" {
        commands.push("undo_edit");
    }
    let schema = json!({
        "type": "object",
        "properties": {
            "command": {"type": "string", "enum": commands, "description": "The command."},
            "path": {"type": "string", "description": "The absolute path of the file or folder."},
            "file_text": {"type": "string", "description": "`create`: the content of the file."},
            "old_str": {"type": "string", "description": "`str_replace`: the text to replace; it must occur once."},
            "new_str": {"type": "string", "description": "`str_replace`, `insert`: the new text."},
            "insert_line": {"type": "integer", "description": "`insert`: the line after which the text is inserted."},
            "insert_text": {"type": "string", "description": "`insert`: the text, in newer versions."},
            "view_range": {"type": "array", "items": {"type": "integer"}, "description": "`view`: the first and the last line; -1 is the end."},
        },
        "required": ["command", "path"],
    });
    ("Views and edits files.".to_owned(), schema)
}

fn memory() -> (String, Value) {
    let schema = json!({
        "type": "object",
        "properties": {
            "command": {"type": "string", "enum": ["view", "create", "str_replace", "insert", "delete", "rename"]},
            "path": {"type": "string", "description": "A path below `/memories`."},
            "file_text": {"type": "string", "description": "`create`: the content of the file."},
            "old_str": {"type": "string", "description": "`str_replace`: the text to replace."},
            "new_str": {"type": "string", "description": "`str_replace`: the new text."},
            "insert_line": {"type": "integer", "description": "`insert`: the line after which the text is inserted."},
            "insert_text": {"type": "string", "description": "`insert`: the text."},
            "old_path": {"type": "string", "description": "`rename`: the present path."},
            "new_path": {"type": "string", "description": "`rename`: the new path."},
            "view_range": {"type": "array", "items": {"type": "integer"}, "description": "`view`: the first and the last line."},
        },
        "required": ["command"],
    });
    (
        "Stores and reads notes that outlive the conversation, as files below `/memories`."
            .to_owned(),
        schema,
    )
}

fn computer(tool: &Tool<'_>) -> (String, Value) {
    let size = match (tool.display_width_px, tool.display_height_px) {
        (Some(width), Some(height)) => format!(" The screen has {width} × {height} pixels."),
        _ => String::new(),
    };
    let schema = json!({
        "type": "object",
        "properties": {
            "action": {"type": "string", "enum": [
                "key", "type", "mouse_move", "left_click", "left_click_drag", "right_click", "middle_click", "double_click",
                "triple_click", "screenshot", "cursor_position", "left_mouse_down", "left_mouse_up", "scroll", "hold_key",
                "wait", "zoom",
            ]},
            "coordinate": {"type": "array", "items": {"type": "integer"}, "description": "x and y in pixels."},
            "start_coordinate": {"type": "array", "items": {"type": "integer"}, "description": "`left_click_drag`: the start."},
            "text": {"type": "string", "description": "The text to type, or the keys to press."},
            "scroll_direction": {"type": "string", "enum": ["up", "down", "left", "right"]},
            "scroll_amount": {"type": "integer"},
            "duration": {"type": "number", "description": "`hold_key`, `wait`: the time in seconds."},
            "region": {"type": "array", "items": {"type": "integer"}, "description": "`zoom`: the corners x0, y0, x1, y1."},
        },
        "required": ["action"],
    });
    (format!("Uses mouse and keyboard of a computer, and takes screenshots.{size}"), schema)
}
