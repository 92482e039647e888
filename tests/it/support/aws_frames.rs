//! Frames of AWS's event stream, written by hand from its description.
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use flate2::Crc;

/// A frame with these headers, all of them strings.
pub fn frame(headers: &[(&str, &str)], payload: &str) -> Vec<u8> {
    let mut described = Vec::new();
    for (name, value) in headers {
        described.push(name.len() as u8);
        described.extend_from_slice(name.as_bytes());
        described.push(7);
        described.extend_from_slice(&(value.len() as u16).to_be_bytes());
        described.extend_from_slice(value.as_bytes());
    }
    let total = 12 + described.len() + payload.len() + 4;
    let mut frame = Vec::with_capacity(total);
    frame.extend_from_slice(&(total as u32).to_be_bytes());
    frame.extend_from_slice(&(described.len() as u32).to_be_bytes());
    frame.extend_from_slice(&checksum(&frame));
    frame.extend_from_slice(&described);
    frame.extend_from_slice(payload.as_bytes());
    let whole = checksum(&frame);
    frame.extend_from_slice(&whole);
    frame
}

/// A frame of Bedrock with one event of the Messages API.
pub fn chunk(event: &str) -> Vec<u8> {
    let payload = format!("{{\"bytes\":\"{}\",\"p\":\"abcd\"}}", BASE64_STANDARD.encode(event));
    let headers = [
        (":event-type", "chunk"),
        (":content-type", "application/json"),
        (":message-type", "event"),
    ];
    frame(&headers, &payload)
}

/// A frame with an exception.
pub fn exception(name: &str, payload: &str) -> Vec<u8> {
    let headers = [
        (":exception-type", name),
        (":content-type", "application/json"),
        (":message-type", "exception"),
    ];
    frame(&headers, payload)
}

fn checksum(bytes: &[u8]) -> [u8; 4] {
    let mut crc = Crc::new();
    crc.update(bytes);
    crc.sum().to_be_bytes()
}
