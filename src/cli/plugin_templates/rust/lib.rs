//! The server tool `gateway:TOOL`: throws a die.
use tidegate_sdk::prelude::*;

struct Dice;

/// The input from the model. The model reads the descriptions of the fields.
#[derive(Deserialize, JsonSchema)]
struct Throw {
    /// The number of sides of the die.
    sides: u64,
}

/// The options in the tool's declaration: limits that the model cannot raise.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Options {
    /// The most sides that the die may have.
    max_sides: Option<u64>,
}

impl Plugin for Dice {
    type Config = NoConfig;

    fn new(_: NoConfig) -> Result<Self> {
        Ok(Self)
    }

    fn tools() -> Vec<Tool<Self>> {
        vec![Tool::new("TOOL", "Throws a die and tells the number.", Self::throw)]
    }
}

impl Dice {
    fn throw(&self, input: Throw, options: Options) -> Result<String> {
        let most = options.max_sides.unwrap_or(100);
        if input.sides == 0 || input.sides > most {
            return Err(Problem::invalid_input(format!("`sides` must be from 1 to {most}")));
        }
        Ok((host::clock() % input.sides + 1).to_string())
    }
}

tidegate_sdk::export!(Dice);

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tidegate_sdk::testing::MockHost;

    use super::*;

    #[test]
    fn a_die_shows_one_of_its_sides() {
        let host = MockHost::new().clock(7);
        let thrown = host.call_tool::<Dice>("TOOL", json!({"sides": 6}), json!({}));
        assert_eq!(thrown, Ok(json!("2")));
    }

    #[test]
    fn the_declaration_bounds_the_input_of_the_model() {
        let options = json!({"max_sides": 6});
        let refused = MockHost::new().call_tool::<Dice>("TOOL", json!({"sides": 9}), options);
        assert_eq!(refused.unwrap_err().message, "`sides` must be from 1 to 6");
    }
}
