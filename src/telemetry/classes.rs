//! Classes of times: four for each power of two of microseconds, so that a quantile is at most a quarter too high.
use std::time::Duration;

/// The classes for each power of two.
const PARTS: u32 = 4;
/// The number of classes: up to about 70 minutes.
pub(super) const CLASSES: usize = 128;

/// Returns the class of a time: a power of two, and its quarter.
pub(super) fn class(micros: u64) -> usize {
    let whole = micros.max(1);
    let power = whole.ilog2();
    let quarter = if power < 2 { 0 } else { (whole >> (power - 2)) as u32 & (PARTS - 1) };
    ((power * PARTS + quarter) as usize).min(CLASSES - 1)
}

/// Returns the first microsecond after a class.
fn end(class: usize) -> u64 {
    let (power, quarter) = (class as u32 / PARTS, class as u64 % u64::from(PARTS));
    match power {
        0..2 => 1 << (power + 1),
        _ => (u64::from(PARTS) + quarter + 1) << (power - 2),
    }
}

/// Returns the time within which this share of the runs ended; `None` without a run.
pub(super) fn quantile(classes: &[u64], percent: u64) -> Option<Duration> {
    let all: u64 = classes.iter().sum();
    let wanted = (all * percent).div_ceil(100);
    let mut seen = 0;
    let found = classes.iter().position(|runs| {
        seen += runs;
        seen >= wanted.max(1)
    });
    found.map(|class| Duration::from_micros(end(class)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_follow_each_other() {
        let mut last = 0;
        for micros in 1..100_000 {
            let class = class(micros);
            assert!(class >= last, "{micros}");
            assert!(end(class) > micros && end(class) <= micros * 5 / 4 + 2, "{micros}");
            last = class;
        }
    }
}
