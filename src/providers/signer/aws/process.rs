//! Keys from the program that a profile names in `credential_process`.
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use aws_credential_types::Credentials;
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe::Receiver;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::providers::signer::aws::keys;
use crate::providers::signer::cached::{Lease, Missing};

/// The time for the program, with the wait for others to end.
const LIMIT: Duration = Duration::from_secs(60);
/// The time between two looks at a running program.
const POLL: Duration = Duration::from_millis(20);
/// The most bytes of its output.
const MAX_OUTPUT: usize = 64 * 1024;
/// The programs that run at once: requests that leave must not pile up programs that hang.
static PLACES: Semaphore = Semaphore::const_new(4);
const NAME: &str = "the program of `credential_process`";

/// Runs the program and reads its output. Its error output goes to that of the gateway. A program that has begun runs to
/// its end or to its time limit, also if the request that needs the keys is dropped.
pub(super) async fn keys(command: &str) -> Result<Lease<Credentials>, Missing> {
    keys_within(command, LIMIT).await
}

async fn keys_within(command: &str, limit: Duration) -> Result<Lease<Credentials>, Missing> {
    let words =
        words(command).ok_or_else(|| Missing::new("`credential_process` has an open quote"))?;
    let end = Instant::now() + limit;
    let over = || Missing::new(format!("{NAME} did not end within {} s", limit.as_secs_f64()));
    let place = tokio::time::timeout_at(end, PLACES.acquire()).await.map_err(|_| over())?;
    let place = place.map_err(|_| Missing::new(format!("{NAME} cannot be started now")))?;
    let running = Running::start(&words)?;
    let running = tokio::spawn(async move {
        let done = running.run(end).await;
        drop(place);
        done
    });
    let done = running.await.map_err(|_| Missing::new(format!("{NAME} was given up")))?;
    let (output, status) = done?.ok_or_else(over)?;
    match status.success() {
        true => keys::of_json(&output, NAME),
        false => Err(Missing::new(format!("{NAME} failed: {status}"))),
    }
}

/// A program that runs. Dropping it stops the program.
struct Running {
    /// `None` only while it is dropped.
    child: Option<Child>,
    pipe: Receiver,
    output: Vec<u8>,
}

impl Running {
    fn start(words: &[String]) -> Result<Self, Missing> {
        let Some((program, arguments)) = words.split_first() else {
            return Err(Missing::new("`credential_process` names no program"));
        };
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped());
        let wrong = |e: std::io::Error| Missing::new(format!("{NAME} cannot be started: {e}"));
        let mut child = command.spawn().map_err(wrong)?;
        let pipe =
            child.stdout.take().ok_or_else(|| Missing::new(format!("{NAME} has no output")))?;
        let pipe = Receiver::from_owned_fd(pipe.into()).map_err(wrong)?;
        Ok(Self { child: Some(child), pipe, output: Vec::new() })
    }

    /// Fails if the output is too long: the program must not wait for a reader until its time limit.
    fn has_room(&self) -> Result<(), Missing> {
        match self.output.len() > MAX_OUTPUT {
            true => Err(Missing::new(format!("{NAME} wrote more than {MAX_OUTPUT} bytes"))),
            false => Ok(()),
        }
    }

    /// Waits for the end of the program and returns its output; `None` if it is not over in time. Its own children may
    /// hold the output open, so the end of the output is no condition.
    async fn run(mut self, end: Instant) -> Result<Option<(Vec<u8>, ExitStatus)>, Missing> {
        let wrong =
            |e: std::io::Error| Missing::new(format!("the output of {NAME} cannot be read: {e}"));
        let mut is_open = true;
        loop {
            let status = self.child.as_mut().map(Child::try_wait).transpose().map_err(wrong)?;
            let status = status.flatten();
            let next = (Instant::now() + POLL).min(end);
            while is_open {
                self.has_room()?;
                match tokio::time::timeout_at(next, self.pipe.read_buf(&mut self.output)).await {
                    Ok(read) => is_open = read.map_err(wrong)? > 0,
                    Err(_) => break,
                }
            }
            match status {
                Some(status) => return Ok(Some((std::mem::take(&mut self.output), status))),
                None if Instant::now() >= end => return Ok(None),
                None => tokio::time::sleep_until(next).await,
            }
        }
    }
}

impl Drop for Running {
    /// Only ends a program that still runs. A thread of its own waits for the end, which the kernel may delay.
    fn drop(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        if let Ok(None) = child.try_wait() {
            // fails only for a program that has ended
            drop(child.kill());
            drop(std::thread::Builder::new().spawn(move || child.wait()));
        }
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

    async fn failure(command: &str, limit: Duration) -> String {
        keys_within(command, limit).await.map(|_| ()).unwrap_err().0.to_string()
    }

    async fn until(is_true: impl Fn() -> bool) {
        while !is_true() {
            tokio::time::sleep(POLL).await;
        }
    }

    const KEYS: &str = r#"{"Version":1,"AccessKeyId":"ASIA","SecretAccessKey":"s"}"#;

    #[tokio::test]
    async fn a_program_that_does_not_end_is_stopped_although_it_has_closed_its_output() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pid");
        for output in ["", "exec >&-; "] {
            let command = format!("sh -c '{output}echo $$ > {}; exec sleep 600'", file.display());
            let found = failure(&command, Duration::from_millis(300)).await;
            assert_eq!(found, format!("{NAME} did not end within 0.3 s"));
            let pid = std::fs::read_to_string(&file).unwrap();
            let process = format!("/proc/{}", pid.trim());
            until(|| !std::path::Path::new(&process).exists()).await;
        }
    }

    #[tokio::test]
    async fn the_keys_do_not_wait_for_a_child_that_holds_the_output() {
        let command = format!("sh -c 'echo \"$0\"; sleep 5 & exit 0' '{KEYS}'");
        let keys = keys_within(&command, Duration::from_secs(60)).await;
        assert_eq!(keys.map(|lease| lease.value.access_key_id().to_owned()).ok().unwrap(), "ASIA");
    }

    #[tokio::test]
    async fn a_dropped_request_does_not_drop_the_time_limit_of_the_program() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pid");
        let command = format!("sh -c 'echo $$ > {}; exec sleep 600'", file.display());
        let limit = Duration::from_millis(400);
        let left =
            tokio::time::timeout(Duration::from_millis(100), keys_within(&command, limit)).await;
        assert!(left.is_err());
        let ended = || {
            let pid = std::fs::read_to_string(&file).unwrap_or_default();
            !pid.trim().is_empty()
                && !std::path::Path::new(&format!("/proc/{}", pid.trim())).exists()
        };
        tokio::time::timeout(Duration::from_secs(20), until(ended)).await.unwrap();
    }

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
