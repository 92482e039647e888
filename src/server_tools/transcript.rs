//! Adds the conversation so far for a server tool whose options request it by `forward_transcript`.
use bytes::Bytes;

use crate::server_tools::history;
use crate::wire::MessagesRequest;

/// Returns the options with a member `transcript`: `{"system", "messages"}` in the upstream's form,
/// with the calling turn last. Only tools that request it pay this cost.
pub(crate) fn added(options: &Bytes, request: &MessagesRequest, said: &[Bytes]) -> Bytes {
    let document = request.document();
    let system = document.field("system").unwrap_or(Bytes::from_static(b"null"));
    let messages = document.field("messages").unwrap_or(Bytes::from_static(b"[]"));
    let said = history::message("assistant", said);
    let messages = messages.trim_ascii_end();
    let messages = messages.strip_suffix(b"]").unwrap_or(messages).trim_ascii_end();
    let options = options.trim_ascii_end();
    let options = options.strip_suffix(b"}").unwrap_or(options);
    let comma = |before: &[u8], open: u8| match before.last() {
        Some(last) if *last == open => &b""[..],
        _ => b",",
    };
    let parts = [
        options,
        comma(options, b'{'),
        b"\"transcript\":{\"system\":",
        &system,
        b",\"messages\":",
        messages,
        comma(messages, b'['),
        &said,
        b"]}}",
    ];
    parts.concat().into()
}
