//! Stamps an export in OTLP's JSON. Readers of JSON take a field by its name in the schema as well: `data_points`.
use bytes::Bytes;
use serde_json::{Map, Value, json};

use crate::telemetry::intake::shape::{Attributes, Part, Shape};
use crate::telemetry::intake::stamp::Stamp;

/// Returns an export with the sender's attributes.
///
/// Fails with the reason if it is no JSON object.
pub(super) fn stamped(body: &[u8], shape: &Shape, stamp: &Stamp) -> Result<Bytes, String> {
    let mut value: Value = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    let Value::Object(export) = &mut value else { return Err("it is no object".to_owned()) };
    stamp_message(export, shape, stamp);
    Ok(value.to_string().into())
}

fn stamp_message(message: &mut Map<String, Value>, shape: &Shape, stamp: &Stamp) {
    for Part { name, shape, is_needed, .. } in shape.parts {
        let keys = own_keys(message, name);
        if keys.is_empty() && *is_needed {
            message.insert((*name).to_owned(), json!({}));
        }
        for key in if keys.is_empty() { vec![(*name).to_owned()] } else { keys } {
            match message.get_mut(&key) {
                Some(Value::Object(part)) => stamp_message(part, shape, stamp),
                Some(Value::Array(parts)) => parts
                    .iter_mut()
                    .filter_map(Value::as_object_mut)
                    .for_each(|part| stamp_message(part, shape, stamp)),
                Some(other) if *is_needed => {
                    let mut part = Map::new();
                    stamp_message(&mut part, shape, stamp);
                    *other = Value::Object(part);
                }
                _ => {}
            }
        }
    }
    if let Some(attributes) = &shape.attributes {
        stamp_attributes(message, attributes, stamp);
    }
}

fn stamp_attributes(message: &mut Map<String, Value>, attributes: &Attributes, stamp: &Stamp) {
    let mut all = Vec::new();
    for key in own_keys(message, attributes.name) {
        if let Some(Value::Array(found)) = message.remove(&key) {
            all.extend(found);
        }
    }
    all.retain(|pair| !pair.get("key").and_then(Value::as_str).is_some_and(Stamp::owns));
    if attributes.names_sender {
        let own =
            stamp.pairs().map(|(key, value)| json!({"key": key, "value": {"stringValue": value}}));
        all.extend(own);
    }
    if !all.is_empty() {
        message.insert(attributes.name.to_owned(), Value::Array(all));
    }
}

/// Returns the keys of a message that stand for a field, in each spelling.
fn own_keys(message: &Map<String, Value>, name: &str) -> Vec<String> {
    let is_own = |key: &&String| {
        key.chars()
            .filter(|c| *c != '_')
            .map(|c| c.to_ascii_lowercase())
            .eq(name.chars().map(|c| c.to_ascii_lowercase()))
    };
    message.keys().filter(is_own).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::intake::shape::Signal;

    fn stamp() -> Stamp {
        Stamp::of("ann").email(Some("ann@example.com"))
    }

    fn pair(key: &str, value: &str) -> Value {
        json!({"key": key, "value": {"stringValue": value}})
    }

    fn made(signal: Signal, body: &Value) -> Value {
        let body = stamped(body.to_string().as_bytes(), signal.shape(), &stamp()).unwrap();
        serde_json::from_slice(&body).unwrap()
    }

    #[test]
    fn the_sender_of_the_gateway_takes_the_place_of_the_clients() {
        let own = [pair("user.id", "ann"), pair("user.email", "ann@example.com")];
        for (list, points) in [("scopeMetrics", "dataPoints"), ("scope_metrics", "data_points")] {
            let point = json!({"asInt": "7", "attributes": [pair("user.id", "eve"), pair("a", "b")],
                "exemplars": [{"filteredAttributes": [pair("user.email", "eve@example.com")]}]});
            let body = json!({"resourceMetrics": [{
                list: [{"scope": {"name": "s", "attributes": [pair("user.groups", "root")]},
                    "metrics": [{"name": "m", "sum": {points: [point], "isMonotonic": true}}]}],
            }]});
            let found = made(Signal::Metrics, &body);
            let resource = &found["resourceMetrics"][0];
            assert_eq!(resource["resource"]["attributes"], json!(own));
            let scope = &resource[list][0];
            assert_eq!(scope["scope"], json!({"name": "s"}));
            let point = &scope["metrics"][0]["sum"][points][0];
            assert_eq!(point["attributes"], json!([pair("a", "b"), own[0], own[1]]));
            assert_eq!((&point["asInt"], &point["exemplars"]), (&json!("7"), &json!([{}])));
        }
    }

    #[test]
    fn a_resource_that_is_no_object_is_replaced() {
        for resource in [json!(null), json!("user.id"), json!({"attributes": null})] {
            let body = json!({"resourceLogs": [{"resource": resource, "scopeLogs": [
                {"logRecords": [{"body": {"stringValue": "x"}}]}]}]});
            let found = made(Signal::Logs, &body);
            let logs = &found["resourceLogs"][0];
            assert_eq!(logs["resource"]["attributes"][0], pair("user.id", "ann"));
            let record = &logs["scopeLogs"][0]["logRecords"][0];
            assert_eq!(record["attributes"][1], pair("user.email", "ann@example.com"));
        }
        assert!(stamped(b"[]", Signal::Logs.shape(), &stamp()).is_err());
        assert!(stamped(b"{", Signal::Logs.shape(), &stamp()).is_err());
    }
}
