//! `Signed`: a signature of the upstream, and the kind of part that it belongs to. This text is the payload of an
//! envelope, because a signature is valid on the part that had it only.

/// The kind of part that had a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// A call of a function.
    Call,
    /// A text.
    Text,
    /// A text without a character, at the end of an answer.
    Empty,
    /// A thought.
    Thought,
}

/// The places and their names in payloads.
const NAMES: [(Place, &str); 4] = [
    (Place::Call, "functionCall"),
    (Place::Text, "text"),
    (Place::Empty, "empty"),
    (Place::Thought, "thought"),
];

/// A signature and its place.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Signed<'a> {
    pub(super) place: Place,
    pub(super) signature: &'a str,
}

impl<'a> Signed<'a> {
    /// Returns the payload of an envelope.
    pub(super) fn payload(&self) -> String {
        let name = NAMES.iter().find(|(place, _)| *place == self.place).map_or("", |found| found.1);
        format!("{name}:{}", self.signature)
    }

    /// Reads a payload; `None` if it has no signature.
    pub(super) fn read(payload: &'a str) -> Option<Self> {
        let (name, signature) = payload.split_once(':')?;
        let (place, _) = NAMES.iter().find(|(_, known)| *known == name)?;
        (!signature.is_empty()).then_some(Self { place: *place, signature })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_gives_signature_and_place_back() {
        for (place, _) in NAMES {
            let signed = Signed { place, signature: "AbC+/=:" };
            assert_eq!(Signed::read(&signed.payload()), Some(signed));
        }
        for other in ["", "AbC", "functionCall:", "other:AbC"] {
            assert_eq!(Signed::read(other), None, "{other}");
        }
    }
}
