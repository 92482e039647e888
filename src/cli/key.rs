//! `tidegate key new`: a new caller key, and the entry for the config.
use std::process::ExitCode;

use serde_json::Value;

use crate::auth::keys;

/// Prints a key, the only time that anybody sees it, and its entry for `keys:`.
pub fn new(name: &str) -> ExitCode {
    let made = match keys::new_key() {
        Ok(made) => made,
        Err(error) => {
            eprintln!("no key was made: the system gave no random bytes: {error}");
            return ExitCode::FAILURE;
        }
    };
    // a JSON string is a YAML string, whatever is in it
    let name = Value::from(name);
    println!("{}\n", made.key.expose());
    println!("# give the line above to the caller, it is kept nowhere; this goes into the config:");
    println!("keys:\n  - {{ name: {name}, hash: \"{}\" }}", made.hash);
    ExitCode::SUCCESS
}
