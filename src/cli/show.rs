//! Output for people: colours on a terminal, and diffs of texts.
use std::fmt::Write as _;
use std::io;

use anstream::{AutoStream, ColorChoice};
use anstyle::{AnsiColor, Color, Effects, Style};
use similar::{ChangeTag, TextDiff};

/// The colours of texts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Paint {
    /// No colours.
    #[default]
    Plain,
    /// Colours for a terminal.
    Coloured,
}

impl Paint {
    /// Returns the colours for standard output: on for a terminal, unless `NO_COLOR` is set.
    pub(crate) fn of_stdout() -> Self {
        match AutoStream::choice(&io::stdout()) {
            ColorChoice::Never => Self::Plain,
            _ => Self::Coloured,
        }
    }

    /// Colours a text that is correct or new.
    pub(crate) fn good(self, text: &str) -> String {
        self.with(Style::new().fg_color(Some(Color::Ansi(AnsiColor::Green))), text)
    }

    /// Colours a text that is wrong or removed.
    pub(crate) fn bad(self, text: &str) -> String {
        self.with(Style::new().fg_color(Some(Color::Ansi(AnsiColor::Red))), text)
    }

    /// Makes a text stand out.
    pub(crate) fn strong(self, text: &str) -> String {
        self.with(Style::new().effects(Effects::BOLD), text)
    }

    /// Makes a secondary text faint.
    pub(crate) fn faint(self, text: &str) -> String {
        self.with(Style::new().effects(Effects::DIMMED), text)
    }

    fn with(self, style: Style, text: &str) -> String {
        match self {
            Self::Plain => text.to_owned(),
            Self::Coloured => format!("{style}{text}{style:#}"),
        }
    }

    /// Returns the diff of two texts: changed lines with three lines of context, `+` and `-` at the start.
    /// Empty if the texts are equal.
    pub(crate) fn diff(self, before: &str, after: &str) -> String {
        const AROUND: usize = 3;
        let diff = TextDiff::from_lines(before, after);
        let mut shown = String::new();
        for (n, group) in diff.grouped_ops(AROUND).iter().enumerate() {
            if n > 0 {
                shown.push_str("   …\n");
            }
            for change in group.iter().flat_map(|part| diff.iter_changes(part)) {
                let line = change.value().trim_end_matches('\n');
                let line = match change.tag() {
                    ChangeTag::Equal => self.faint(&format!("   {line}")),
                    ChangeTag::Insert => self.good(&format!(" + {line}")),
                    ChangeTag::Delete => self.bad(&format!(" - {line}")),
                };
                // writing to a string cannot fail
                let _ = writeln!(shown, "{line}");
            }
        }
        shown
    }
}
