//! `parse_json`: parses a text, and stops as soon as it has more values than the limits allow.
use std::cell::Cell;

use rhai::{Array, Dynamic, Map};
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use crate::policy::script::run::Run;

/// The values between two checks of the deadline.
const STRIDE: usize = 1024;

/// Parses a JSON text of at most `most` values.
pub(super) fn parse(text: &str, most: usize) -> serde_json::Result<Dynamic> {
    let left = Cell::new(most);
    let mut parser = serde_json::Deserializer::from_str(text);
    let value = Value { left: &left }.deserialize(&mut parser)?;
    parser.end()?;
    Ok(value)
}

/// One value. It and its inner values reduce the same counter.
#[derive(Clone, Copy)]
struct Value<'a> {
    left: &'a Cell<usize>,
}

impl Value<'_> {
    fn count<E: Error>(self) -> Result<(), E> {
        let left = self.left.get();
        if left.is_multiple_of(STRIDE) && Run::check_time().is_err() {
            return Err(E::custom("it takes too long"));
        }
        let fewer = left.checked_sub(1);
        self.left.set(fewer.ok_or_else(|| E::custom("it has more values than a script may hold"))?);
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Value<'_> {
    type Value = Dynamic;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Dynamic, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Value<'_> {
    type Value = Dynamic;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Dynamic, E> {
        Ok(Dynamic::UNIT)
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Dynamic, E> {
        Ok(flag.into())
    }

    fn visit_i64<E>(self, whole: i64) -> Result<Dynamic, E> {
        Ok(whole.into())
    }

    fn visit_u64<E>(self, whole: u64) -> Result<Dynamic, E> {
        Ok(i64::try_from(whole).map_or_else(|_| Dynamic::from(whole as f64), Dynamic::from))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Dynamic, E> {
        Ok(number.into())
    }

    fn visit_str<E>(self, text: &str) -> Result<Dynamic, E> {
        Ok(text.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Dynamic, A::Error> {
        let mut array = Array::new();
        while let Some(item) = items.next_element_seed(self)? {
            self.count()?;
            array.push(item);
        }
        Ok(Dynamic::from_array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Dynamic, A::Error> {
        let mut map = Map::new();
        while let Some(key) = members.next_key::<String>()? {
            self.count()?;
            map.insert(key.into(), members.next_value_seed(self)?);
        }
        Ok(Dynamic::from_map(map))
    }
}
