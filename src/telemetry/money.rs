//! Money as text.

/// Returns nano-dollars as a decimal number of dollars, such as `0.00125`.
pub(crate) fn dollars(nano: i64) -> String {
    let sign = if nano < 0 { "-" } else { "" };
    let nano = nano.unsigned_abs();
    let (whole, rest) = (nano / 1_000_000_000, nano % 1_000_000_000);
    let rest = format!("{rest:09}");
    match rest.trim_end_matches('0') {
        "" => format!("{sign}{whole}"),
        rest => format!("{sign}{whole}.{rest}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nano_dollars_are_a_decimal_number_of_dollars() {
        for (nano, text) in [
            (0, "0"),
            (1, "0.000000001"),
            (1_250_000, "0.00125"),
            (1_000_000_000, "1"),
            (-1_500_000_000, "-1.5"),
            (i64::MAX, "9223372036.854775807"),
        ] {
            assert_eq!(dollars(nano), text);
        }
    }
}
