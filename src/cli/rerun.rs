//! `tidegate test --watch`: runs again when a policy or a case has changed.
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use notify::{Event, EventKind, RecursiveMode, Watcher};

/// An editor's save causes several events: the run starts after a pause this long.
const SETTLE: Duration = Duration::from_millis(60);
/// The longest wait for that pause.
const SETTLE_AT_MOST: Duration = Duration::from_millis(600);

/// Runs at once, and after each change in the folders. Ends only by a signal or if watching fails.
pub(crate) fn on_changes(dirs: &[PathBuf], run: impl Fn() -> bool) -> ExitCode {
    let (hint, hints) = mpsc::channel();
    // watch before the first run, so that no save is missed between the two
    let watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
        // reading the files is an event too: reacting to it would loop forever
        if let Ok(event) = event
            && !matches!(event.kind, EventKind::Access(_))
        {
            // the receiver is gone only when the process ends
            let _ = hint.send(event.paths);
        }
    });
    let watched = watcher.and_then(|mut watcher| {
        dirs.iter().try_for_each(|dir| watcher.watch(dir, RecursiveMode::Recursive))?;
        Ok(watcher)
    });
    let _watcher = match watched {
        Ok(watcher) => watcher,
        Err(error) => {
            let paths: Vec<String> = dirs.iter().map(|dir| dir.display().to_string()).collect();
            eprintln!("cannot watch {}: {error}", paths.join(", "));
            return ExitCode::FAILURE;
        }
    };
    loop {
        run();
        println!("waiting for changes; Ctrl-C ends");
        let Some(changed) = next_changes(&hints) else { return ExitCode::FAILURE };
        println!("\nchanged: {}", changed.join(", "));
    }
}

/// Returns the names of the changed files after a pause; `None` if nothing can change any more.
fn next_changes(hints: &Receiver<Vec<PathBuf>>) -> Option<Vec<String>> {
    let mut changed = BTreeSet::new();
    while changed.is_empty() {
        changed.extend(hints.recv().ok()?.iter().filter_map(|path| counted(path)));
    }
    let end = Instant::now() + SETTLE_AT_MOST;
    while Instant::now() < end
        && let Ok(paths) = hints.recv_timeout(SETTLE)
    {
        changed.extend(paths.iter().filter_map(|path| counted(path)));
    }
    Some(changed.into_iter().collect())
}

/// Returns the name of a file that a run depends on. Editors write other files beside it.
fn counted(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_str()?;
    let counts = !name.starts_with('.') && (name.ends_with(".rhai") || name.ends_with(".yaml"));
    counts.then(|| name.to_owned())
}
