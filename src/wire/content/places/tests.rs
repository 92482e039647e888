//! Compares the table of places with the API's own list of objects and fields.
use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

use super::*;

type Place = (String, String, String);

/// Returns every field of the API, as the fixture lists them.
fn of_the_api() -> BTreeSet<Place> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/places.json");
    let list: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let mut places = BTreeSet::new();
    for (family, kinds) in list["families"].as_object().unwrap() {
        for (kind, fields) in kinds.as_object().unwrap() {
            places.insert((family.clone(), kind.clone(), String::new()));
            for field in fields.as_array().unwrap() {
                places.insert((family.clone(), kind.clone(), field.as_str().unwrap().to_owned()));
            }
        }
    }
    assert!(places.len() > 200, "the fixture has {} places only", places.len());
    places
}

fn of_the_table() -> BTreeSet<Place> {
    let mut places = BTreeSet::new();
    for shape in SHAPES {
        places.insert((shape.family.to_owned(), shape.kind.to_owned(), String::new()));
        for (field, _) in shape.fields {
            let place = (shape.family.to_owned(), shape.kind.to_owned(), (*field).to_owned());
            assert!(places.insert(place.clone()), "{place:?} stands in the table twice");
        }
    }
    places
}

#[test]
fn the_table_decides_about_every_object_and_field_of_the_api_and_no_other() {
    let (api, table) = (of_the_api(), of_the_table());
    let missing: Vec<&Place> = api.difference(&table).collect();
    assert!(missing.is_empty(), "src/wire/content/places.rs lacks {missing:#?}");
    let extra: Vec<&Place> = table.difference(&api).collect();
    assert!(extra.is_empty(), "the API has no {extra:#?}");
}

#[test]
fn every_family_that_a_field_names_is_in_the_table() {
    for shape in SHAPES {
        for (field, holds) in shape.fields {
            if let Objects(family) = holds {
                let is_there = SHAPES.iter().any(|shape| shape.family == *family);
                assert!(is_there, "`{field}` names the family `{family}`");
            }
        }
    }
}

#[test]
fn a_field_without_text_has_a_reason() {
    let reasons =
        SHAPES.iter().flat_map(|shape| shape.fields).filter_map(|(_, holds)| match holds {
            Nothing(reason) => Some(reason),
            _ => None,
        });
    assert!(reasons.clone().count() > 50);
    assert!(reasons.clone().all(|reason| reason.len() > 5));
}

#[test]
fn a_name_is_opaque_only_if_no_object_has_text_under_it() {
    for name in ["type", "signature", "encrypted_content", "tool_use_id", "file_id", "media_type"] {
        assert!(is_opaque(name), "{name}");
    }
    for name in ["text", "title", "url", "content", "data", "thought"] {
        assert!(!is_opaque(name), "{name}");
    }
}
