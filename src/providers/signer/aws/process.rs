//! Keys from the program that a profile names in `credential_process`.
use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use aws_credential_types::Credentials;
use parking_lot::Mutex;

use crate::providers::signer::aws::keys;
use crate::providers::signer::cached::{Lease, Missing};

/// The time for the program.
const LIMIT: Duration = Duration::from_secs(60);
/// The most bytes of its output.
const MAX_OUTPUT: u64 = 64 * 1024;
const NAME: &str = "the program of `credential_process`";

/// Runs the program and reads its output. Its error output goes to that of the gateway.
pub(super) async fn keys(command: &str) -> Result<Lease<Credentials>, Missing> {
    let words =
        words(command).ok_or_else(|| Missing::new("`credential_process` has an open quote"))?;
    let Some((program, arguments)) = words.split_first() else {
        return Err(Missing::new("`credential_process` names no program"));
    };
    let started =
        Command::new(program).args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
    let mut child = started.map_err(|e| Missing::new(format!("{NAME} cannot be started: {e}")))?;
    let output = child.stdout.take();
    let child = Arc::new(Mutex::new(child));
    let running = Arc::clone(&child);
    let reading = tokio::task::spawn_blocking(move || {
        let mut text = Vec::new();
        if let Some(output) = output {
            output.take(MAX_OUTPUT).read_to_end(&mut text)?;
        }
        Ok::<_, std::io::Error>((text, running.lock().wait()?))
    });
    let (text, status) = match tokio::time::timeout(LIMIT, reading).await {
        Ok(Ok(Ok(done))) => done,
        Ok(_) => return Err(Missing::new(format!("the output of {NAME} cannot be read"))),
        Err(_) => {
            stop(&child);
            return Err(Missing::new(format!("{NAME} did not end within {} s", LIMIT.as_secs())));
        }
    };
    match status.success() {
        true => keys::of_json(&text, NAME),
        false => Err(Missing::new(format!("{NAME} failed: {status}"))),
    }
}

/// Stops a program that still runs.
fn stop(child: &Mutex<Child>) {
    if let Some(mut child) = child.try_lock()
        && let Err(e) = child.kill()
    {
        tracing::warn!(error = %e, "the program of `credential_process` cannot be stopped");
    }
}

/// Splits a command at its blanks, as a shell does; nothing else is expanded. `None` if a quote is open.
fn words(command: &str) -> Option<Vec<String>> {
    let mut words: Vec<String> = Vec::new();
    let (mut quote, mut is_inside) = (None, false);
    let mut characters = command.chars();
    while let Some(character) = characters.next() {
        let escaped = character == '\\' && quote != Some('\'');
        if quote.is_none() && character.is_whitespace() {
            is_inside = false;
            continue;
        }
        if !std::mem::replace(&mut is_inside, true) {
            words.push(String::new());
        }
        match character {
            '"' | '\'' if quote.is_none() => quote = Some(character),
            _ if quote == Some(character) => quote = None,
            _ => words.last_mut()?.push(if escaped { characters.next()? } else { character }),
        }
    }
    quote.is_none().then_some(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_split_at_blanks_outside_of_quotes() {
        let split = |text: &str| words(text).map(|words| words.join("|"));
        for (command, expected) in [
            ("a b  c", Some("a|b|c")),
            ("\"/opt/my tool\" --x 'y z'", Some("/opt/my tool|--x|y z")),
            (r"/opt/my\ tool 'a\b' ''", Some(r"/opt/my tool|a\b|")),
            ("$HOME ~ *", Some("$HOME|~|*")),
            ("", Some("")),
            ("a 'b", None),
        ] {
            assert_eq!(split(command).as_deref(), expected, "{command}");
        }
    }
}
