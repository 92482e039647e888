//! The server tool `gateway:datetime`: the current date and time, by IANA time zone.
use jiff::Timestamp;
use jiff::tz::{TimeZone, TimeZoneDatabase};
use tidegate_sdk::prelude::*;

/// The largest number of zones in one call.
const MAX_ZONES: usize = 5;

/// The plugin.
pub struct Datetime;

/// The model's input.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// IANA time zone names such as `Europe/Berlin`, at most 5. Without any: UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Vec<String>", extend("maxItems" = 5))]
    timezones: Option<Vec<String>>,
}

/// The settings that the declaration fixes; the model then cannot choose them.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    timezone: Option<String>,
    #[schemars(extend("maxItems" = 5))]
    timezones: Option<Vec<String>>,
}

/// The output for the model.
#[derive(Debug, Serialize)]
pub struct Output {
    timezones: Vec<Entry>,
}

#[derive(Debug, Serialize)]
struct Entry {
    timezone: String,
    datetime: String,
}

impl Plugin for Datetime {
    type Config = NoConfig;

    fn new(_: NoConfig) -> Result<Self> {
        Ok(Self)
    }

    fn tools() -> Vec<Tool<Self>> {
        let description = "Tells the current date and time, in one or several time zones. Use it \
            whenever an answer depends on what day or time it is now.";
        vec![Tool::new("datetime", description, Self::datetime)]
    }
}

impl Datetime {
    fn datetime(&self, input: Input, options: Options) -> Result<Json<Output>> {
        let zones = match pinned(options)? {
            Some(zones) => zones,
            None => input.timezones.unwrap_or_default(),
        };
        if zones.len() > MAX_ZONES {
            let message = format!("{} time zones given, at most {MAX_ZONES} fit", zones.len());
            return Err(Problem::invalid_input(message));
        }
        let zones = if zones.is_empty() { vec!["UTC".to_owned()] } else { zones };
        let now = Timestamp::from_nanosecond(i128::from(host::clock()))
            .map_err(|e| Problem::unavailable(format!("the clock is off: {e}")))?;
        let timezones = zones.iter().map(|zone| entry(now, zone)).collect::<Result<_>>()?;
        Ok(Json(Output { timezones }))
    }
}

fn pinned(options: Options) -> Result<Option<Vec<String>>> {
    match (options.timezone, options.timezones) {
        (Some(_), Some(_)) => Err(Problem::new(
            "invalid_options",
            "the options have both `timezone` and `timezones`: remove one of them",
        )),
        (Some(zone), None) => Ok(Some(vec![zone])),
        (None, zones) => Ok(zones),
    }
}

fn entry(now: Timestamp, name: &str) -> Result<Entry> {
    let zone = find(name)?;
    let timezone = zone.iana_name().unwrap_or(name).to_owned();
    let datetime = now.to_zoned(zone).strftime("%Y-%m-%dT%H:%M:%S%:z").to_string();
    Ok(Entry { timezone, datetime })
}

fn find(name: &str) -> Result<TimeZone> {
    TimeZoneDatabase::bundled().get(name).map_err(|_| {
        let shown: String = name.chars().take(64).collect();
        Problem::invalid_input(format!(
            "unknown time zone `{shown}`: use an IANA name such as `Europe/Berlin` or `UTC`"
        ))
    })
}

tidegate_sdk::export!(Datetime);

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use tidegate_sdk::testing::MockHost;

    use super::*;

    /// 2026-01-15T12:00:00Z
    const WINTER: u64 = 1_768_478_400_000_000_000;

    fn call(input: Value, options: Value) -> Result<Value> {
        let content =
            MockHost::new().clock(WINTER).call_tool::<Datetime>("datetime", input, options)?;
        Ok(serde_json::from_str(content.as_str().expect("JSON text")).expect("JSON"))
    }

    #[test]
    fn without_a_zone_the_time_is_utc() {
        let expect = json!({"timezones": [
            {"timezone": "UTC", "datetime": "2026-01-15T12:00:00+00:00"},
        ]});
        assert_eq!(call(json!({}), json!({})), Ok(expect.clone()));
        assert_eq!(call(json!({"timezones": []}), json!({})), Ok(expect.clone()));
        assert_eq!(call(json!({"timezones": null}), json!({})), Ok(expect));
    }

    #[test]
    fn the_model_chooses_zones_in_its_order() {
        let got = call(json!({"timezones": ["Asia/Kathmandu", "America/New_York"]}), json!({}));
        let expect = json!({"timezones": [
            {"timezone": "Asia/Kathmandu", "datetime": "2026-01-15T17:45:00+05:45"},
            {"timezone": "America/New_York", "datetime": "2026-01-15T07:00:00-05:00"},
        ]});
        assert_eq!(got, Ok(expect));
    }

    #[test]
    fn zones_that_the_options_pin_win_over_the_models() {
        let input = json!({"timezones": ["Asia/Tokyo"]});
        for options in
            [json!({"timezone": "Europe/Berlin"}), json!({"timezones": ["Europe/Berlin"]})]
        {
            let expect = json!({"timezones": [
                {"timezone": "Europe/Berlin", "datetime": "2026-01-15T13:00:00+01:00"},
            ]});
            assert_eq!(call(input.clone(), options), Ok(expect));
        }
    }

    #[test]
    fn summer_time_counts() {
        let host = MockHost::new().clock(WINTER + 180 * 86_400 * 1_000_000_000);
        let input = json!({"timezones": ["Europe/Berlin"]});
        let content = host.call_tool::<Datetime>("datetime", input, json!({})).expect("a time");
        assert!(content.as_str().expect("JSON text").contains("T14:00:00+02:00"), "{content}");
    }

    #[test]
    fn an_invalid_time_zone_or_option_is_named() {
        let fails = |input, options| call(input, options).expect_err("a problem").message;
        assert_eq!(
            fails(json!({"timezones": ["Mars/Olympus"]}), json!({})),
            "unknown time zone `Mars/Olympus`: use an IANA name such as `Europe/Berlin` or `UTC`"
        );
        let six = json!({"timezones": ["UTC", "UTC", "UTC", "UTC", "UTC", "UTC"]});
        assert_eq!(fails(six.clone(), json!({})), "6 time zones given, at most 5 fit");
        assert_eq!(fails(json!({}), six), "6 time zones given, at most 5 fit");
        let both = json!({"timezone": "UTC", "timezones": ["UTC"]});
        assert!(fails(json!({}), both).contains("remove one of them"));
        assert!(fails(json!({"zone": "UTC"}), json!({})).contains("unknown field `zone`"));
    }

    #[test]
    fn the_manifest_describes_the_input_and_the_options() {
        let manifest = MockHost::new().describe::<Datetime>().expect("a manifest");
        assert_eq!(manifest["name"], "datetime");
        let schema = &manifest["tools"][0]["input_schema"];
        assert_eq!(schema["type"], "object");
        assert_eq!(schema["properties"]["timezones"]["type"], "array");
        assert_eq!(schema["properties"]["timezones"]["maxItems"], 5);
        assert_eq!(schema.get("required"), None);
        let options = &manifest["tools"][0]["options_schema"];
        assert_eq!(options["properties"]["timezones"]["maxItems"], 5);
        assert_eq!(options["additionalProperties"], false);
    }
}
