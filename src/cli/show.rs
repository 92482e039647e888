//! What commands show to a person: colours where there is a terminal, and diffs of texts.
use std::fmt::Write as _;
use std::io;

use anstream::{AutoStream, ColorChoice};
use anstyle::{AnsiColor, Color, Effects, Style};
use similar::{ChangeTag, TextDiff};

/// Whether and how texts are coloured.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Paint {
    /// Texts stay as they are.
    #[default]
    Plain,
    /// For a terminal.
    Coloured,
}

impl Paint {
    /// What standard output takes: colours on a terminal, unless `NO_COLOR` is set.
    pub fn of_stdout() -> Self {
        match AutoStream::choice(&io::stdout()) {
            ColorChoice::Never => Self::Plain,
            _ => Self::Coloured,
        }
    }

    /// What is as it should be, or new.
    pub fn good(self, text: &str) -> String {
        self.with(Style::new().fg_color(Some(Color::Ansi(AnsiColor::Green))), text)
    }

    /// What is wrong, or gone.
    pub fn bad(self, text: &str) -> String {
        self.with(Style::new().fg_color(Some(Color::Ansi(AnsiColor::Red))), text)
    }

    /// What stands out.
    pub fn strong(self, text: &str) -> String {
        self.with(Style::new().effects(Effects::BOLD), text)
    }

    /// What is said beside.
    pub fn faint(self, text: &str) -> String {
        self.with(Style::new().effects(Effects::DIMMED), text)
    }

    fn with(self, style: Style, text: &str) -> String {
        match self {
            Self::Plain => text.to_owned(),
            Self::Coloured => format!("{style}{text}{style:#}"),
        }
    }

    /// How one text became another: changed lines with three lines around them, `+` and `-` in
    /// front. Empty if they are the same.
    pub fn diff(self, before: &str, after: &str) -> String {
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
                // writing to a text cannot fail
                let _ = writeln!(shown, "{line}");
            }
        }
        shown
    }
}
