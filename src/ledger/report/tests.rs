//! Tests of reports: days in zones, and their sums.
use proptest::prelude::*;

use crate::ledger::row::QUARTER;

use super::*;

/// Zones with quarter hours, with and without summer time, and at the ends of the calendar.
const ZONES: [&str; 9] = [
    "UTC",
    "Europe/Berlin",
    "Asia/Kolkata",
    "Asia/Kathmandu",
    "America/St_Johns",
    "Australia/Lord_Howe",
    "America/New_York",
    "Pacific/Apia",
    "Pacific/Chatham",
];

fn quarter(at: i64, tokens: i64) -> Found {
    (at, String::new(), String::new(), 1, tokens, 0, 0, 0, 0, tokens * 3, 0, 0)
}

fn range(zone: &str, from: Option<Date>, to: Option<Date>) -> Range {
    Range { from, to, zone: TimeZone::get(zone).unwrap() }
}

/// The quarters of a range, as the database selects them.
fn selected(found: &[Found], range: &Range) -> Vec<Found> {
    let Span { from, to } = range.span().unwrap();
    found.iter().filter(|found| from <= found.0 && found.0 < to).cloned().collect()
}

fn day(text: &str) -> Date {
    super::day(text).unwrap()
}

proptest! {
    #[test]
    fn the_days_of_every_zone_add_up_to_the_range(
        zone in prop::sample::select(&ZONES[..]),
        // 2024 to 2030
        quarters in prop::collection::vec((1_893_456i64..2_103_840, 0i64..1_000_000), 1..60),
        first in 0i32..2000,
        days in 0i32..500,
    ) {
        let found: Vec<Found> =
            quarters.iter().map(|(at, tokens)| quarter(at * QUARTER, *tokens)).collect();
        let from = day("2024-01-01").checked_add(jiff::Span::new().days(first)).unwrap();
        let to = from.checked_add(jiff::Span::new().days(days)).unwrap();
        let whole = range(zone, Some(from), Some(to));
        let rows = selected(&found, &whole);
        let report = collected(&By::Day, &whole, rows, None);
        let mut sum = Sums::default();
        for line in &report.lines {
            // each day is within the range, and asking for it alone gives the same sums
            let own = day(&line.name);
            prop_assert!(from <= own && own <= to, "{own}");
            let alone = range(zone, Some(own), Some(own));
            let rows = selected(&found, &alone);
            prop_assert_eq!(collected(&By::Day, &alone, rows, None).total, line.sums);
            sum.add(line.sums);
        }
        prop_assert_eq!(sum, report.total);
        // a range and the two beside it hold everything
        let before = range(zone, None, Some(from.yesterday().unwrap()));
        let after = range(zone, Some(to.tomorrow().unwrap()), None);
        let parts: usize = [&before, &whole, &after].map(|part| selected(&found, part).len()).iter().sum();
        prop_assert_eq!(parts, found.len());
    }
}

#[test]
fn a_day_has_23_24_or_25_hours_and_begins_in_its_zone() {
    for (zone, date, quarters) in [
        ("UTC", "2026-03-29", 96),
        ("Europe/Berlin", "2026-03-29", 92),
        ("Europe/Berlin", "2026-10-25", 100),
        ("Australia/Lord_Howe", "2026-10-04", 94),
        ("Asia/Kathmandu", "2026-03-29", 96),
    ] {
        let Span { from, to } = range(zone, Some(day(date)), Some(day(date))).span().unwrap();
        assert_eq!((to - from) / QUARTER, quarters, "{zone} {date}");
    }
    let Span { from, .. } = range("Asia/Kolkata", Some(day("2026-11-29")), None).span().unwrap();
    assert_eq!(from, "2026-11-28T18:30:00Z".parse::<Timestamp>().unwrap().as_millisecond());
    // a day that a zone skipped is empty
    let skipped = day("2011-12-30");
    let Span { from, to } = range("Pacific/Apia", Some(skipped), Some(skipped)).span().unwrap();
    assert_eq!(from, to);
    assert!(range("UTC", None, Some(Date::MAX)).span().is_err());
}

#[test]
fn lines_are_ordered_by_cost_and_a_total_of_its_own_is_kept() {
    let line =
        |name: &str, cost: i64| (0, name.to_owned(), "v".to_owned(), 1, 1, 0, 0, 0, 0, cost, 0, 0);
    let found = vec![line("b", 1), line("a", 5), line("c", 1)];
    let report = collected(&By::Tags, &range("UTC", None, None), found, Some(line("", 6)));
    let names: Vec<&str> = report.lines.iter().map(|line| line.name.as_str()).collect();
    assert_eq!((names, report.total.cost_nano, report.total.requests), (vec!["a", "b", "c"], 6, 1));
}
