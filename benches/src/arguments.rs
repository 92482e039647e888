//! `--name value` pairs of the command line.
use std::fmt::Display;
use std::str::FromStr;

/// The pairs in their order. A later pair overrides an earlier one.
pub struct Arguments<'a> {
    pairs: Vec<(&'a str, &'a str)>,
}

impl<'a> Arguments<'a> {
    /// Parses `--name value` pairs with names in `known`.
    pub fn parse(given: &'a [String], known: &[&str]) -> Result<Self, String> {
        let mut pairs = Vec::new();
        for pair in given.chunks(2) {
            let [name, value] = pair else { return Err(format!("`{}` needs a value", pair[0])) };
            if !known.contains(&name.as_str()) {
                return Err(format!("`{name}` is unknown; known are {}", known.join(", ")));
            }
            pairs.push((name.as_str(), value.as_str()));
        }
        Ok(Self { pairs })
    }

    /// Returns the value of `name`, or `default` if it is missing.
    pub fn get<T: FromStr<Err: Display>>(&self, name: &str, default: T) -> Result<T, String> {
        let given = self.pairs.iter().rev().find(|(known, _)| *known == name);
        match given {
            Some((_, value)) => value.parse().map_err(|error| format!("`{name} {value}`: {error}")),
            None => Ok(default),
        }
    }
}
