//! Checks of matches: the check digits of payment cards and of IBANs.

/// A check that a match must pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Check {
    /// The check digit of payment cards (Luhn).
    Luhn,
    /// The check digits of an IBAN.
    Iban,
}

impl Check {
    const ALL: [(&'static str, Self); 2] = [("luhn", Self::Luhn), ("iban", Self::Iban)];

    /// Returns the check of a name.
    pub(super) fn of(word: &str) -> Option<Self> {
        Self::ALL.iter().find(|(known, _)| *known == word).map(|(_, check)| *check)
    }

    /// Returns the names of all checks, for messages.
    pub(super) fn words() -> String {
        Self::ALL.map(|(word, _)| format!("`{word}`")).join(", ")
    }

    /// Returns whether a text passes. Spaces and other separators do not count.
    pub(super) fn holds(self, text: &str) -> bool {
        match self {
            Self::Luhn => luhn(text),
            Self::Iban => iban(text),
        }
    }
}

fn luhn(text: &str) -> bool {
    let digits = text.bytes().rev().filter(u8::is_ascii_digit).map(|digit| u32::from(digit - b'0'));
    let mut count = 0;
    let sum: u32 = digits
        .inspect(|_| count += 1)
        .enumerate()
        .map(|(n, digit)| match n % 2 {
            0 => digit,
            _ => digit * 2 / 10 + digit * 2 % 10,
        })
        .sum();
    count > 1 && sum.is_multiple_of(10)
}

/// The four characters in front move to the end, letters become numbers from 10 on; the remainder of a
/// division by 97 must be 1.
fn iban(text: &str) -> bool {
    let signs: Vec<u8> = text.bytes().filter(u8::is_ascii_alphanumeric).collect();
    let Some((front, rest)) = signs.split_at_checked(4) else { return false };
    let mut remainder = 0_u32;
    for sign in rest.iter().chain(front) {
        remainder = match sign {
            b'0'..=b'9' => remainder * 10 + u32::from(sign - b'0'),
            letter => remainder * 100 + u32::from(letter.to_ascii_uppercase() - b'A') + 10,
        } % 97;
    }
    !rest.is_empty() && remainder == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cards_have_a_check_digit() {
        for card in ["4111111111111111", "4111 1111-1111 1111", "378282246310005"] {
            assert!(Check::Luhn.holds(card), "{card}");
        }
        for other in ["4111111111111112", "4111111111111", "", "0", "-"] {
            assert!(!Check::Luhn.holds(other), "{other}");
        }
    }

    #[test]
    fn ibans_have_check_digits() {
        for iban in
            ["DE89 3704 0044 0532 0130 00", "GB29NWBK60161331926819", "gb29nwbk60161331926819"]
        {
            assert!(Check::Iban.holds(iban), "{iban}");
        }
        for other in ["GB00NWBK60161331926819", "DE89", "", "DE88 3704 0044 0532 0130 00"] {
            assert!(!Check::Iban.holds(other), "{other}");
        }
    }
}
