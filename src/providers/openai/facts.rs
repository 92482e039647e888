//! The facts of the table of models that the encoders of OpenAI's APIs need.
use crate::catalogue::Row;
use crate::catalogue::row::Feature;
use crate::providers::openai::config::Api;
use crate::providers::translate::facts::{ChatTools, ModelFacts, Sampling};

/// Returns the facts of a model at one of the APIs; the default for a model that the table does not know.
pub(super) fn facts(row: Option<&Row>, api: Api) -> ModelFacts {
    let Some(row) = row else { return ModelFacts::default() };
    let lacks = |feature: Feature| match api {
        Api::Chat => row.lacks_on_chat(feature),
        Api::Responses => row.lacks(feature),
    };
    let is_refused = |effort: &str| effort == "max" && lacks(Feature::EffortMax);
    let efforts = row.efforts.as_ref().map(|efforts| {
        let names = efforts.iter().map(|effort| effort.as_str().to_owned());
        names.filter(|name| !is_refused(name)).collect()
    });
    let sampling = match () {
        () if lacks(Feature::SamplingParams) => Sampling::Never,
        () if lacks(Feature::SamplingParamsWithEffort) => Sampling::WithoutReasoning,
        () => Sampling::Any,
    };
    ModelFacts {
        max_output: row.max_output,
        efforts,
        sampling,
        refuses_stop: lacks(Feature::Stop),
        chat_tools: match lacks(Feature::ToolsWithEffort) {
            true => ChatTools::WithoutReasoning,
            false => ChatTools::Any,
        },
        // OpenAI has a price for cache writes only where a request can place breakpoints
        takes_breakpoints: row.provider == "openai"
            && row.price.as_ref().is_some_and(|price| price.has_cache_writes()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::{Catalogue, Table};

    #[test]
    fn the_table_decides_what_a_model_refuses() {
        let catalogue = Catalogue::build(&Table::default()).unwrap();
        let of =
            |model: &str, api| facts(catalogue.find(Some("openai"), model).map(|row| &**row), api);
        let chat = of("gpt-5.6-sol", Api::Chat);
        assert!(chat.refuses_stop && chat.takes_breakpoints);
        assert_eq!(chat.chat_tools, ChatTools::WithoutReasoning);
        assert_eq!(chat.sampling, Sampling::WithoutReasoning);
        assert!(!chat.efforts.unwrap().contains(&"max".to_owned()));
        let responses = of("gpt-5.6-sol", Api::Responses);
        assert!(responses.efforts.unwrap().contains(&"max".to_owned()));
        assert_eq!(responses.chat_tools, ChatTools::Any);
        assert_eq!(of("unknown-model", Api::Chat), ModelFacts::default());
    }
}
