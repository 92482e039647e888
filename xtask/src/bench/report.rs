//! Computes medians, formats tables, and puts them into the README.
use std::fs;
use std::path::Path;
use std::process::Command;

use super::options::Options;
use super::scenario::Sort;

const BEGIN: &str = "<!-- figures: written by `cargo xtask bench --write` -->";
/// The largest disturbance, as a part of the servers' core. Above it the figures are doubtful, and
/// the report warns.
const MOST_DISTURBANCE: f64 = 0.1;
/// The time of nginx's small request on the machine for which the absolute limits were set.
const PACE_US: f64 = 14.0;
const END: &str = "<!-- end of figures -->";

/// One server in one scenario: medians over the rounds, times in microseconds.
pub struct Row {
    pub scenario: &'static str,
    pub sort: Sort,
    pub server: String,
    /// The part of the server's core that other processes used.
    pub disturbance: f64,
    pub is_paced: bool,
    pub is_gateway: bool,
    pub cpu_us: f64,
    /// The same, round by round. The contenders' rounds of the same number run directly after each
    /// other.
    pub cpu_rounds_us: Vec<f64>,
    pub per_second: f64,
    pub p50_us: f64,
    pub p99_us: f64,
    /// The median of each round, for streams.
    pub first_events_us: Vec<f64>,
    pub peak_mib: f64,
    pub idle_mib: f64,
    pub first_answer_us: f64,
}

impl Row {
    /// Returns a progress line for the terminal.
    pub fn line(&self) -> String {
        let (cpu, p50) = (time(self.cpu_us), time(self.p50_us));
        let mut line =
            format!("{}: {cpu} CPU a request, {:.0}/s, p50 {p50}", self.server, self.per_second);
        if self.disturbance > MOST_DISTURBANCE {
            line.push_str(&format!(
                "; {:.0}% of its core went to others",
                self.disturbance * 100.0
            ));
        }
        line
    }

    /// Returns the ratio, round by round: a change of the machine's speed between rounds affects
    /// both servers.
    fn ratio_to(&self, first: &Self) -> f64 {
        paired(&self.cpu_rounds_us, &first.cpu_rounds_us, |this, first| this / first)
    }

    /// Returns the difference in microseconds, round by round.
    fn added_to(&self, first: &Self) -> f64 {
        paired(&self.cpu_rounds_us, &first.cpu_rounds_us, |this, first| this - first)
    }

    fn markdown(&self, first: Option<&Self>) -> String {
        let ratio = match (self.sort, first) {
            (Sort::Proxy, Some(first)) => format!("{:.2}", self.ratio_to(first)),
            (Sort::Stages | Sort::Translated | Sort::Team, Some(first)) if self.is_gateway => {
                format!("{:+.1} µs", self.added_to(first))
            }
            _ => String::new(),
        };
        let first_event = match &self.first_events_us[..] {
            [] => String::new(),
            rounds => time(median(rounds.to_vec())),
        };
        format!(
            "| {} | {} | {} | {ratio} | {:.0} | {} | {} | {first_event} | {:.0} MiB |\n",
            if first.is_none() { self.scenario } else { "" },
            self.server,
            time(self.cpu_us),
            self.per_second,
            time(self.p50_us),
            time(self.p99_us),
            self.peak_mib,
        )
    }
}

/// All rows of a run, by scenario.
#[derive(Default)]
pub struct Report {
    pub rows: Vec<Row>,
}

impl Report {
    /// Returns the tables, and the figures outside them.
    pub fn markdown(&self) -> String {
        let mut text = String::new();
        if self.rows.iter().any(|row| row.sort == Sort::Proxy) {
            text.push_str(&self.table(Sort::Proxy, "ratio to nginx"));
        }
        if self.rows.iter().any(|row| row.sort == Sort::Stages) {
            text.push_str("\nWith stages, 300 bytes, 16 connections:\n\n");
            text.push_str(&self.table(Sort::Stages, "added"));
        }
        if self.rows.iter().any(|row| row.sort == Sort::Translated) {
            text.push_str("\nWith upstreams of other APIs; the difference is to a native one:\n\n");
            text.push_str(&self.table(Sort::Translated, "added"));
        }
        if self.rows.iter().any(|row| row.sort == Sort::Team) {
            text.push_str(
                "\nWith ledger, keys, a limit and a budget, 300 bytes, 16 connections:\n\n",
            );
            text.push_str(&self.table(Sort::Team, "added"));
        }
        text.push_str(&self.loops());
        let facts = self.facts();
        if !facts.is_empty() {
            text.push('\n');
            text.push_str(&facts);
        }
        text
    }

    fn table(&self, sort: Sort, compared: &str) -> String {
        let mut text = format!(
            "| scenario | server | CPU a request | {compared} | requests/s | p50 | p99 | first event \
             | peak memory |\n|---|---|--:|--:|--:|--:|--:|--:|--:|\n"
        );
        let mut first: Option<&Row> = None;
        for row in self.rows.iter().filter(|row| row.sort == sort) {
            if first.is_none_or(|first| first.scenario != row.scenario) {
                first = None;
            }
            text.push_str(&row.markdown(first));
            first = first.or(Some(row));
        }
        text
    }

    /// Returns the cost of a turn, without the cost of its request to the upstream.
    fn loops(&self) -> String {
        let calls = |row: &Row| match row.sort {
            Sort::Loop { calls } => Some(calls),
            _ => None,
        };
        let plain = self.rows.iter().find(|row| calls(row) == Some(0));
        let Some(plain) = plain.map(|row| row.cpu_us) else { return String::new() };
        let mut text = "\nThe tool loop, 300 bytes, 7 events a turn, 4 connections, a tool that does nothing:\n\n\
            | request | CPU a request | beside as many plain ones | a call | requests/s | p50 |\n\
            |---|--:|--:|--:|--:|--:|\n"
            .to_owned();
        for row in &self.rows {
            let Some(count) = calls(row) else { continue };
            let beside = row.cpu_us - plain * (count + 1) as f64;
            let [beside, each] = match count {
                0 => [String::new(), String::new()],
                _ => [beside, beside / count as f64].map(|us| format!("{us:+.1} µs")),
            };
            let (cpu, p50) = (time(row.cpu_us), time(row.p50_us));
            text.push_str(&format!(
                "| {} | {cpu} | {beside} | {each} | {:.0} | {p50} |\n",
                row.scenario, row.per_second
            ));
        }
        text
    }

    /// Returns the cost of the stages, scaled to the machine for which their limit was set.
    fn stages_at_pace(&self) -> Option<String> {
        let rows = || self.rows.iter().filter(|row| row.sort == Sort::Stages);
        let (plain, full) = (rows().next()?, rows().rfind(|row| row.is_gateway)?);
        let nginx = rows().find(|row| !row.is_gateway)?;
        let added =
            full.cpu_rounds_us.iter().zip(&plain.cpu_rounds_us).map(|(full, plain)| full - plain);
        let added: Vec<f64> = added.collect();
        let added = paired(&added, &nginx.cpu_rounds_us, |added, nginx| added / nginx * PACE_US);
        Some(format!(
            "- All stages, at the pace of a machine whose nginx takes {PACE_US:.0} µs for the same request: {added:+.1} µs\n"
        ))
    }

    fn facts(&self) -> String {
        let plain = || self.rows.iter().filter(|row| row.is_gateway && row.server == "tidegate");
        let mut text = String::new();
        if plain().next().is_some() {
            let idle = median(plain().map(|row| row.idle_mib).collect());
            let start = median(plain().map(|row| row.first_answer_us).collect());
            text.push_str(&format!("- Tidegate, idle after its start: {idle:.1} MiB\n"));
            text.push_str(&format!(
                "- Start of the process to the first answer: {}\n",
                time(start)
            ));
        }
        let first_events = |is_gateway| {
            let mut rows = self.rows.iter();
            let row = rows.find(|row| row.is_paced && row.is_gateway == is_gateway)?;
            Some(&row.first_events_us)
        };
        if let (Some(nginx), Some(gateway)) = (first_events(false), first_events(true)) {
            let later = paired(gateway, nginx, |gateway, nginx| gateway - nginx) / 1000.0;
            text.push_str(&format!(
                "- First event of a paced stream, to nginx's: {later:+.2} ms\n"
            ));
        }
        text.push_str(&self.stages_at_pace().unwrap_or_default());
        let most = self.rows.iter().map(|row| row.disturbance).fold(0.0, f64::max);
        if most > MOST_DISTURBANCE {
            text.push_str(&format!(
                "- Not a quiet machine: other processes took up to {:.0}% of the servers' core\n",
                most * 100.0
            ));
        }
        text
    }
}

/// Returns the median of `compare` over two contenders' rounds, pair by pair.
fn paired(these: &[f64], others: &[f64], compare: impl Fn(f64, f64) -> f64) -> f64 {
    median(these.iter().zip(others).map(|(this, other)| compare(*this, *other)).collect())
}

/// Returns the description of the machine and the options.
pub fn machine(nginx: &Path, options: &Options) -> String {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let model = model.map_or("unknown CPU", |(_, model)| model);
    let cores = std::thread::available_parallelism().map_or(0, |cores| cores.get());
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    // nginx prints its version on stderr
    let told = Command::new(nginx).arg("-v").output().map(|output| output.stderr);
    let told = String::from_utf8_lossy(&told.unwrap_or_default()).into_owned();
    let version = told.trim().strip_prefix("nginx version: ").unwrap_or("nginx").to_owned();
    format!(
        "{model}, {cores} cores; Linux {}; {version}; {} rounds of {} s, medians.\n",
        kernel.trim(),
        options.rounds,
        options.seconds
    )
}

/// Returns `old` with `figures` between the markers.
pub fn between_markers(old: &str, figures: &str) -> Result<String, String> {
    let parts = old.split_once(BEGIN).and_then(|(before, rest)| {
        let (_, after) = rest.split_once(END)?;
        Some((before, after))
    });
    let (before, after) = parts.ok_or("benches/README.md has lost its markers for the figures")?;
    Ok(format!("{before}{BEGIN}\n\n{}\n\n{END}{after}", figures.trim()))
}

/// Returns the median; NaN for an empty list.
pub fn median(mut all: Vec<f64>) -> f64 {
    all.sort_by(f64::total_cmp);
    match all.len() {
        0 => f64::NAN,
        len if len % 2 == 1 => all[len / 2],
        len => f64::midpoint(all[len / 2 - 1], all[len / 2]),
    }
}

/// Formats microseconds for readers.
fn time(us: f64) -> String {
    match us {
        us if us < 99.95 => format!("{us:.1} µs"),
        us if us < 9_995.0 => format!("{:.2} ms", us / 1000.0),
        us => format!("{:.0} ms", us / 1000.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_is_not_moved_by_one_bad_round() {
        assert_eq!(median(vec![900.0, 14.0, 15.0]), 15.0);
        assert_eq!(median(vec![14.0, 16.0]), 15.0);
        assert!(median(Vec::new()).is_nan());
    }

    #[test]
    fn a_machine_that_slows_down_between_rounds_changes_no_comparison() {
        let (gateway, nginx) = ([20.0, 40.0, 22.0], [10.0, 20.0, 11.0]);
        assert_eq!(paired(&gateway, &nginx, |gateway, nginx| gateway / nginx), 2.0);
    }

    #[test]
    fn only_the_text_between_the_markers_changes() {
        let old = format!("# Title\n{BEGIN}\nold\n{END}\nrest\n");
        let new = between_markers(&old, "\nnew\n").unwrap();
        assert_eq!(new, format!("# Title\n{BEGIN}\n\nnew\n\n{END}\nrest\n"));
        assert_eq!(between_markers(&new, "new").unwrap(), new);
        assert!(between_markers("no markers", "new").is_err());
    }

    #[test]
    fn a_time_is_written_in_the_unit_that_suits_it() {
        assert_eq!([14.23, 512.0, 40_000.0].map(time), ["14.2 µs", "0.51 ms", "40 ms"]);
    }
}
