//! A collector that reads OTLP by a decoder of its own: it knows protobuf's wire format and the numbers of the fields.
use std::collections::BTreeMap;
use std::io::Read;

use flate2::read::GzDecoder;
use serde_json::{Value, json};

use super::until;
use super::upstream::{Auto, Behaviour, Upstream, answer};

/// The answer of a collector that took everything.
pub fn accepted() -> Behaviour {
    Behaviour::Answer(answer(200, "content-type: application/x-protobuf\r\n", ""))
}

/// A collector that answers its exports by a list; the last entry serves for ever.
pub struct Collector {
    /// The listener, and all that came.
    pub upstream: Auto,
}

/// A span as it came.
#[derive(Debug, Clone, PartialEq)]
pub struct Span {
    pub trace: String,
    pub id: String,
    pub parent: String,
    pub state: String,
    pub name: String,
    /// 1: internal, 2: server, 3: client
    pub kind: u64,
    pub start: u64,
    pub end: u64,
    pub attributes: BTreeMap<String, Value>,
    /// 2: error
    pub status: u64,
    pub flags: u64,
}

impl Span {
    /// The value of an attribute; `null` if there is none.
    pub fn get(&self, key: &str) -> Value {
        self.attributes.get(key).cloned().unwrap_or_default()
    }
}

impl Collector {
    /// One that takes everything.
    pub async fn start() -> Self {
        Self::script(vec![accepted()]).await
    }

    pub async fn script(list: Vec<Behaviour>) -> Self {
        Self { upstream: Upstream::script(list).await }
    }

    /// The lines of a config that exports to it.
    pub fn config(&self) -> String {
        format!("otlp: \"http://{}\"\n", self.upstream.address)
    }

    /// All spans so far.
    pub fn spans(&self) -> Vec<Span> {
        self.upstream.bodies().iter().flat_map(|body| spans(body)).collect()
    }

    /// The attributes of the resource of the first export.
    pub fn resource(&self) -> BTreeMap<String, Value> {
        let body = unzipped(&self.upstream.bodies()[0]);
        let part = message(&message(&body)[&1][0].bytes())[&1][0].bytes();
        attributes(&message(&part), 1)
    }

    /// All spans, as soon as there is one of this name.
    pub async fn until(&self, name: &str) -> Vec<Span> {
        until(&format!("a span `{name}`"), async || {
            self.spans().iter().any(|span| span.name == name)
        })
        .await;
        self.spans()
    }
}

fn unzipped(body: &[u8]) -> Vec<u8> {
    if !body.starts_with(&[0x1f, 0x8b]) {
        return body.to_vec();
    }
    let mut whole = Vec::new();
    GzDecoder::new(body).read_to_end(&mut whole).unwrap();
    whole
}

/// The spans of an export.
fn spans(body: &[u8]) -> Vec<Span> {
    let mut found = Vec::new();
    for resource in every(&message(&unzipped(body)), 1) {
        for scope in every(&message(&resource), 2) {
            found.extend(every(&message(&scope), 2).iter().map(|bytes| span(bytes)));
        }
    }
    found
}

fn span(bytes: &[u8]) -> Span {
    let fields = message(bytes);
    let first = |field: u64| fields.get(&field).map(|values| values[0].clone());
    let hex = |field| first(field).map(|value| hex::encode(value.bytes())).unwrap_or_default();
    let text = |field| first(field).map(|value| value.text()).unwrap_or_default();
    let number = |field| first(field).map(|value| value.number()).unwrap_or_default();
    let status = first(15).map(|value| message(&value.bytes()));
    Span {
        trace: hex(1),
        id: hex(2),
        state: text(3),
        parent: hex(4),
        name: text(5),
        kind: number(6),
        start: number(7),
        end: number(8),
        attributes: attributes(&fields, 9),
        status: status.and_then(|status| Some(status.get(&3)?[0].number())).unwrap_or_default(),
        flags: number(16),
    }
}

fn attributes(fields: &Fields, field: u64) -> BTreeMap<String, Value> {
    let pairs = every(fields, field);
    let pairs = pairs.iter().map(|pair| {
        let pair = message(pair);
        (pair[&1][0].text(), any(&message(&pair[&2][0].bytes())))
    });
    let all: Vec<_> = pairs.collect();
    let number = all.len();
    let map: BTreeMap<_, _> = all.into_iter().collect();
    assert_eq!(map.len(), number, "a key occurs twice");
    map
}

fn any(value: &Fields) -> Value {
    let (field, values) = value.iter().next().unwrap();
    match field {
        1 => json!(values[0].text()),
        2 => json!(values[0].number() != 0),
        3 => json!(values[0].number() as i64),
        4 => json!(f64::from_bits(values[0].number())),
        5 => every(&message(&values[0].bytes()), 1).iter().map(|one| any(&message(one))).collect(),
        other => panic!("a value of field {other}"),
    }
}

/// The fields of a message by their numbers.
type Fields = BTreeMap<u64, Vec<Wire>>;

#[derive(Debug, Clone)]
enum Wire {
    Number(u64),
    Bytes(Vec<u8>),
}

impl Wire {
    fn number(&self) -> u64 {
        match self {
            Self::Number(number) => *number,
            Self::Bytes(bytes) => panic!("bytes in place of a number: {bytes:?}"),
        }
    }

    fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Bytes(bytes) => bytes.clone(),
            Self::Number(number) => panic!("a number in place of bytes: {number}"),
        }
    }

    fn text(&self) -> String {
        String::from_utf8(self.bytes()).unwrap()
    }
}

fn every(fields: &Fields, field: u64) -> Vec<Vec<u8>> {
    fields.get(&field).into_iter().flatten().map(Wire::bytes).collect()
}

fn message(mut rest: &[u8]) -> Fields {
    let mut fields = Fields::new();
    while !rest.is_empty() {
        let key = varint(&mut rest);
        let value = match key & 7 {
            0 => Wire::Number(varint(&mut rest)),
            1 => Wire::Number(u64::from_le_bytes(take(&mut rest, 8).try_into().unwrap())),
            2 => {
                let length = varint(&mut rest) as usize;
                Wire::Bytes(take(&mut rest, length).to_vec())
            }
            5 => {
                let four = u32::from_le_bytes(take(&mut rest, 4).try_into().unwrap());
                Wire::Number(four.into())
            }
            other => panic!("wire type {other}"),
        };
        fields.entry(key >> 3).or_default().push(value);
    }
    fields
}

fn varint(rest: &mut &[u8]) -> u64 {
    let mut number = 0;
    for shift in (0..).step_by(7) {
        let byte = take(rest, 1)[0];
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            break;
        }
    }
    number
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> &'a [u8] {
    let (taken, left) = rest.split_at(length);
    *rest = left;
    taken
}
