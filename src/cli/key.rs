//! `tidegate key new`: creates a caller key and its entry for the config.
use std::process::ExitCode;

use serde_json::Value;

use crate::auth::keys;

/// Prints a key and its entry for `keys:`. The key is printed only here.
pub(crate) fn new(name: &str) -> ExitCode {
    let made = match keys::new_key() {
        Ok(made) => made,
        Err(error) => {
            eprintln!("cannot create a key: the system returned no random bytes: {error}");
            return ExitCode::FAILURE;
        }
    };
    // every JSON string is a YAML string, with any content
    let name = Value::from(name);
    println!("{}\n", made.key.expose());
    println!("# give the line above to the caller, it is not stored; add this to the config:");
    println!("keys:\n  - {{ name: {name}, hash: \"{}\" }}", made.hash());
    ExitCode::SUCCESS
}
