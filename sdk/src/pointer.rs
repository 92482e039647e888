//! JSON pointers in a tree, with the same rules as the host's document.
use serde_json::Value;

use crate::problem::{Problem, Result};

pub(crate) fn get<'a>(root: &'a Value, pointer: &str) -> Option<&'a Value> {
    tokens(pointer).iter().try_fold(root, |value, token| match value {
        Value::Object(object) => object.get(token),
        Value::Array(array) => array.get(index(token, array.len())?),
        _ => None,
    })
}

pub(crate) fn set(root: &mut Value, pointer: &str, json: Value) -> Result<()> {
    let refuse = || Problem::new("cannot_set", format!("nothing can be set at `{pointer}`"));
    let (parent, token) = parent(root, pointer).ok_or_else(refuse)?;
    match parent {
        Value::Object(object) => {
            object.insert(token, json);
        }
        Value::Array(array) if token == "-" => array.push(json),
        Value::Array(array) => {
            let at = index(&token, array.len()).ok_or_else(refuse)?;
            match at == array.len() {
                true => array.push(json),
                false => array[at] = json,
            }
        }
        _ => return Err(refuse()),
    }
    Ok(())
}

pub(crate) fn remove(root: &mut Value, pointer: &str) -> bool {
    match parent(root, pointer) {
        Some((Value::Object(object), token)) => object.remove(&token).is_some(),
        Some((Value::Array(array), token)) => match index(&token, array.len()) {
            Some(at) if at < array.len() => {
                array.remove(at);
                true
            }
            _ => false,
        },
        _ => false,
    }
}

fn parent<'a>(root: &'a mut Value, pointer: &str) -> Option<(&'a mut Value, String)> {
    let mut tokens = tokens(pointer);
    let last = tokens.pop()?;
    let parent = tokens.iter().try_fold(root, |value, token| match value {
        Value::Object(object) => object.get_mut(token),
        Value::Array(array) => {
            let at = index(token, array.len())?;
            array.get_mut(at)
        }
        _ => None,
    })?;
    Some((parent, last))
}

/// Returns the index of a token; the largest one is the place after the last element.
fn index(token: &str, len: usize) -> Option<usize> {
    let at: i64 = token.parse().ok()?;
    let at = if at < 0 { at + len as i64 } else { at };
    usize::try_from(at).ok().filter(|at| *at <= len)
}

fn tokens(pointer: &str) -> Vec<String> {
    pointer.split('/').skip(1).map(|t| t.replace("~1", "/").replace("~0", "~")).collect()
}
