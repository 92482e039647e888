//! What the tests share: a gateway in the process, an upstream that they lead, a client of bytes.
pub mod aws_frames;
pub mod client;
pub mod events;
pub mod gateway;
pub mod generated;
pub mod grammar;
pub mod head;
pub mod http2;
pub mod issuer;
pub mod logs;
#[expect(dead_code, reason = "the unit tests of `plugin_host` use all of it")]
pub mod made;
pub mod otlp;
pub mod plugins;
pub mod redis;
pub mod repository;
pub mod tls;
pub mod turn;
pub mod upstream;
pub mod wait;

use client::{Ask, Incoming};
use gateway::Gateway;
use upstream::{Call, Upstream};
pub use wait::{until, within};

/// Opens a stream: the caller holds its first frame, the upstream waits to go on.
pub async fn streaming(gateway: &Gateway, up: &mut Upstream) -> (Incoming, Call) {
    let begin = async {
        let mut call = up.call().await;
        call.begin_stream().await;
        call.chunk(FRAMES[0]).await;
        call
    };
    let (mut answer, call) = tokio::join!(Ask::message(STREAM).open(gateway.address), begin);
    assert_eq!(answer.frame().await.unwrap(), FRAMES[0]);
    (answer, call)
}

/// A message that `client::Ask::message` can send.
pub const MESSAGE: &str =
    r#"{"model":"m","max_tokens":16,"messages":[{"role":"user","content":"hi"}]}"#;

/// The same as a stream.
pub const STREAM: &str =
    r#"{"model":"m","max_tokens":16,"stream":true,"messages":[{"role":"user","content":"hi"}]}"#;

/// An upstream's whole answer.
pub const ANSWER: &str = r#"{"id":"msg_1","type":"message","role":"assistant","model":"up","content":[{"type":"text","text":"hello"}],"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":3,"output_tokens":2}}"#;

/// The frames of an upstream's stream.
pub const FRAMES: [&str; 6] = [
    "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_1\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"up\",\"content\":[],\"stop_reason\":null,\"stop_sequence\":null,\"usage\":{\"input_tokens\":3,\"output_tokens\":1}}}\n\n",
    "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n",
    "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"hello\"}}\n\n",
    "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":0}\n\n",
    "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\",\"stop_sequence\":null},\"usage\":{\"output_tokens\":2}}\n\n",
    "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
];
