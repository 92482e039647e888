//! Stamps an export in protobuf, field by field: fields that the gateway does not know stay as they are.
use bytes::Bytes;
use prost::encoding::{WireType, decode_key, decode_varint, encode_key, encode_varint};

use crate::telemetry::intake::shape::Shape;
use crate::telemetry::intake::stamp::Stamp;

/// The numbers of the fields of `KeyValue`, and of the text in `AnyValue`.
const KEY: u64 = 1;
const VALUE: u32 = 2;
const TEXT: u32 = 1;

/// Returns an export with the sender's attributes.
///
/// Fails with the reason if it is malformed.
pub(super) fn stamped(body: &[u8], shape: &Shape, stamp: &Stamp) -> Result<Bytes, String> {
    let own: Vec<Vec<u8>> = stamp.pairs().map(|(key, value)| pair(key, value)).collect();
    Ok(message(body, shape, &own)?.into())
}

/// Returns a message with the sender's attributes.
fn message(body: &[u8], shape: &Shape, own: &[Vec<u8>]) -> Result<Vec<u8>, String> {
    let mut out = Vec::with_capacity(body.len() + 64);
    let mut seen = Vec::new();
    for field in Fields(body) {
        let Field { number, inner, whole } = field?;
        let part = shape.parts.iter().find(|part| part.field == number);
        let attributes = shape.attributes.as_ref().filter(|own| own.field == number);
        match (part, attributes, inner) {
            (Some(part), _, Some(inner)) => {
                seen.push(number);
                put(&mut out, number, &message(inner, part.shape, own)?);
            }
            (_, Some(_), Some(inner)) if Stamp::owns(&key(inner)?) => {}
            (Some(_), ..) | (_, Some(_), None) => {
                return Err(format!("field {number} is no message"));
            }
            _ => out.extend_from_slice(whole),
        }
    }
    for part in shape.parts.iter().filter(|part| part.is_needed && !seen.contains(&part.field)) {
        put(&mut out, part.field, &message(&[], part.shape, own)?);
    }
    if let Some(attributes) = shape.attributes.as_ref().filter(|list| list.names_sender) {
        own.iter().for_each(|pair| put(&mut out, attributes.field, pair));
    }
    Ok(out)
}

/// Returns the key of a `KeyValue`. Of several ones the last counts.
fn key(pair: &[u8]) -> Result<String, String> {
    let mut found = String::new();
    for field in Fields(pair) {
        if let Field { number: KEY, inner: Some(text), .. } = field? {
            found = String::from_utf8_lossy(text).into_owned();
        }
    }
    Ok(found)
}

fn pair(key: &str, value: &str) -> Vec<u8> {
    let (mut any, mut out) = (Vec::new(), Vec::new());
    put(&mut any, TEXT.into(), value.as_bytes());
    put(&mut out, KEY, key.as_bytes());
    put(&mut out, VALUE.into(), &any);
    out
}

/// Adds a field with bytes.
fn put(out: &mut Vec<u8>, number: u64, bytes: &[u8]) {
    encode_key(u32::try_from(number).unwrap_or_default(), WireType::LengthDelimited, out);
    encode_varint(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

/// The fields of a message that are left to read.
struct Fields<'a>(&'a [u8]);

struct Field<'a> {
    number: u64,
    /// The bytes of a text, a message or a packed list.
    inner: Option<&'a [u8]>,
    whole: &'a [u8],
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<Field<'a>, String>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let read = self.read();
        if read.is_err() {
            self.0 = &[];
        }
        Some(read)
    }
}

impl<'a> Fields<'a> {
    fn read(&mut self) -> Result<Field<'a>, String> {
        let wrong = |error: prost::DecodeError| error.to_string();
        let start = self.0;
        let (number, kind) = decode_key(&mut self.0).map_err(wrong)?;
        let mut inner = None;
        match kind {
            WireType::Varint => {
                decode_varint(&mut self.0).map_err(wrong)?;
            }
            WireType::SixtyFourBit => {
                self.take(8)?;
            }
            WireType::ThirtyTwoBit => {
                self.take(4)?;
            }
            WireType::LengthDelimited => {
                let length = decode_varint(&mut self.0).map_err(wrong)?;
                inner = Some(self.take(length)?);
            }
            WireType::StartGroup | WireType::EndGroup => {
                return Err(format!("field {number} is a group"));
            }
        }
        let whole = &start[..start.len() - self.0.len()];
        Ok(Field { number: number.into(), inner, whole })
    }

    fn take(&mut self, length: u64) -> Result<&'a [u8], String> {
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let taken = self.0.split_at_checked(length);
        let (taken, rest) = taken.ok_or("a field is longer than the body")?;
        self.0 = rest;
        Ok(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::intake::shape::Signal;

    fn nested(numbers: &[u64], bytes: &[u8]) -> Vec<u8> {
        numbers.iter().rev().fold(bytes.to_vec(), |inner, number| {
            let mut out = Vec::new();
            put(&mut out, *number, &inner);
            out
        })
    }

    fn stamp() -> Stamp {
        Stamp::of("ann")
    }

    #[test]
    fn the_sender_of_the_gateway_takes_the_place_of_the_clients() {
        let (eve, own, other) = (pair("user.id", "eve"), pair("user.id", "ann"), pair("a", "b"));
        // the paths to a record, and the number of its attributes
        for (signal, path, attributes) in [
            (Signal::Metrics, &[1, 2, 2, 7, 1][..], 7),
            (Signal::Metrics, &[1, 2, 2, 9, 1], 9),
            (Signal::Metrics, &[1, 2, 2, 10, 1], 1),
            (Signal::Metrics, &[1, 2, 2, 11, 1], 7),
            (Signal::Logs, &[1, 2, 2], 6),
            (Signal::Traces, &[1, 2, 2], 9),
        ] {
            let mut record = vec![0x18, 0x05]; // a field that is not known, with a number
            put(&mut record, attributes, &eve);
            put(&mut record, attributes, &other);
            let found = stamped(&nested(path, &record), signal.shape(), &stamp()).unwrap();
            let mut expected = vec![0x18, 0x05];
            put(&mut expected, attributes, &other);
            put(&mut expected, attributes, &own);
            let mut resource = nested(&path[1..], &expected);
            put(&mut resource, 1, &nested(&[1], &own));
            assert_eq!(found, nested(&[1], &resource), "{signal:?} {path:?}");
        }
    }

    #[test]
    fn a_malformed_export_is_refused() {
        let group = [0x0b, 0x0c];
        for body in [&[0x0a, 0x7f][..], &[0xff; 12], &nested(&[1], &[0x0a, 9]), &group, &[8, 1]] {
            assert!(stamped(body, Signal::Traces.shape(), &stamp()).is_err(), "{body:?}");
        }
        assert_eq!(stamped(&[], Signal::Traces.shape(), &stamp()), Ok(Bytes::new()));
    }
}
