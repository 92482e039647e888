//! The switch of the reasoning, as far as both APIs agree.
use crate::providers::openai::draft::Draft;
use crate::providers::translate::effort::{self, Wish};

impl<'a> Draft<'a> {
    /// Returns the accepted values of the effort on Chat Completions.
    pub(super) fn efforts(&self) -> &'a [String] {
        self.facts.efforts.as_deref().unwrap_or(&self.profile.efforts)
    }

    /// Returns the accepted value that stands for a wish; `None` for the server's default. Reports a wish that no
    /// value stands for.
    pub(super) fn effort(&mut self, wish: Wish<'a>, accepted: &'a [String]) -> Option<&'a str> {
        let wanted = wish.level()?;
        let level = effort::nearest(wanted, accepted);
        if level.is_none() {
            self.cannot_switch();
        }
        if wish == Wish::Off && level.is_some_and(|level| level != "none") {
            self.drop_content("thinking", "/thinking", "the model always reasons");
        }
        level
    }

    /// Reports that the reasoning cannot be switched.
    pub(super) fn cannot_switch(&mut self) {
        let (name, place) = match self.conversation.thinking {
            Some(_) => ("thinking", "/thinking"),
            None => ("output_config.effort", "/output_config/effort"),
        };
        self.drop_content(name, place, "the server has no switch for reasoning");
    }
}
