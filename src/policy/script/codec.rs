//! Digests, encodings and sizes: `sha256`, `bucket`, `base64_encode`, `to_json`, `size_of` and others.
use std::hash::Hasher as _;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::general_purpose::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use fnv::FnvHasher;
use rhai::{Array, Dynamic, Engine, Map, NativeCallContext};
use ring::hmac;
use sha2::{Digest, Sha256};

use crate::policy::script::error::{AuthorError, ScriptResult};
use crate::policy::script::json;
use crate::policy::script::place::{List, Object, place_of};
use crate::policy::script::run::Run;
use crate::policy::script::strings::check_length;

/// The bytes between two checks of the deadline.
const CHUNK: usize = 1024 * 1024;

/// Registers the functions with an engine.
pub(super) fn register(engine: &mut Engine) {
    engine
        .register_fn("sha256", sha256)
        .register_fn("hmac_sha256", hmac_sha256)
        .register_fn("hash", hash)
        .register_fn("bucket", bucket)
        .register_fn("pick", |key: &str, choices: Array| pick(key, choices))
        .register_fn("pick", |key: &str, mut choices: List| pick(key, choices.elements()?))
        .register_fn("base64_encode", |ctx: NativeCallContext<'_>, text: &str| {
            check_length(&ctx, text.len() / 3 * 4 + 4)?;
            ScriptResult::Ok(STANDARD.encode(text))
        })
        .register_fn("base64_decode", base64_decode)
        .register_fn("hex_encode", |ctx: NativeCallContext<'_>, text: &str| {
            check_length(&ctx, text.len() * 2)?;
            ScriptResult::Ok(hex::encode(text))
        })
        .register_fn("to_json", |value: Dynamic| -> ScriptResult<String> {
            Ok(String::from_utf8_lossy(&json::text(&value)?).into_owned())
        })
        .register_fn("size_of", |value: Dynamic| -> ScriptResult<i64> {
            with_json(&value, |text| text.len() as i64)
        })
        .register_fn("estimate_tokens", estimate_tokens);
}

fn sha256(text: &str) -> ScriptResult<String> {
    Ok(hex::encode(digest(text)?))
}

fn digest(text: &str) -> ScriptResult<[u8; 32]> {
    let mut hasher = Sha256::new();
    for chunk in text.as_bytes().chunks(CHUNK) {
        Run::check_time()?;
        hasher.update(chunk);
    }
    Ok(hasher.finalize().into())
}

fn hmac_sha256(key: &str, text: &str) -> ScriptResult<String> {
    let mut mac = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes()));
    for chunk in text.as_bytes().chunks(CHUNK) {
        Run::check_time()?;
        mac.update(chunk);
    }
    Ok(hex::encode(mac.sign()))
}

/// The resolution of `pick`: finer than any weights in use.
const SHARES: i64 = 1_000_000;

/// Returns one of several choices, always the same for a key. A choice's probability follows its `weight`,
/// 1 by default.
fn pick(key: &str, choices: Array) -> ScriptResult {
    let weights = choices.iter().map(weight).collect::<ScriptResult<Vec<f64>>>()?;
    let total: f64 = weights.iter().sum();
    if total <= 0.0 {
        return Err(AuthorError("`pick` takes a list with a weight above 0".to_owned()).into());
    }
    let mut point = bucket(key, SHARES)? as f64 * total / SHARES as f64;
    let last = weights.iter().rposition(|weight| *weight > 0.0).unwrap_or_default();
    let chosen = weights.iter().position(|weight| {
        point -= weight;
        point < 0.0
    });
    Ok(choices.into_iter().nth(chosen.unwrap_or(last)).unwrap_or_default())
}

fn weight(choice: &Dynamic) -> ScriptResult<f64> {
    let weight = match (choice.read_lock::<Map>(), choice.read_lock::<Object>()) {
        (Some(map), _) => map.get("weight").cloned().unwrap_or_default(),
        (None, Some(object)) => object.clone().get("weight".into())?,
        (None, None) => Dynamic::UNIT,
    };
    let number = match weight.is_unit() {
        true => Some(1.0),
        false => weight.as_float().ok().or_else(|| weight.as_int().ok().map(|whole| whole as f64)),
    };
    number.filter(|number| number.is_finite() && *number >= 0.0).ok_or_else(|| {
        AuthorError("a `weight` given to `pick` must be a number, 0 or more".to_owned()).into()
    })
}

/// Returns the 64-bit FNV-1a hash: short, widely known, and stable.
fn hash(text: &str) -> ScriptResult<i64> {
    let mut hasher = FnvHasher::default();
    for chunk in text.as_bytes().chunks(CHUNK) {
        Run::check_time()?;
        hasher.write(chunk);
    }
    Ok(hasher.finish().cast_signed())
}

/// Uses SHA-256: FNV spreads keys badly if they differ in the last letter only.
fn bucket(key: &str, n: i64) -> ScriptResult<i64> {
    let n = u64::try_from(n).ok().filter(|n| *n > 0);
    let n = n.ok_or_else(|| AuthorError("`bucket` needs at least 1 bucket".to_owned()))?;
    let [a, b, c, d, e, f, g, h, ..] = digest(key)?;
    Ok((u64::from_be_bytes([a, b, c, d, e, f, g, h]) % n).cast_signed())
}

/// Base64 with or without padding.
const LENIENT: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);

fn base64_decode(text: &str) -> ScriptResult<String> {
    let is_for_urls = text.bytes().any(|byte| byte == b'-' || byte == b'_');
    let alphabet = if is_for_urls { &alphabet::URL_SAFE } else { &alphabet::STANDARD };
    let bytes = GeneralPurpose::new(alphabet, LENIENT).decode(text);
    let bytes = bytes.map_err(|_| AuthorError("the text is not valid Base64".to_owned()))?;
    String::from_utf8(bytes)
        .map_err(|_| AuthorError("the decoded Base64 is not UTF-8 text".to_owned()).into())
}

/// Calls `act` with the JSON text of a value. The text of a place is not parsed.
fn with_json<T>(value: &Dynamic, act: impl FnOnce(&[u8]) -> T) -> ScriptResult<T> {
    match place_of(value) {
        Some(place) => Ok(act(&place.text()?)),
        None => Ok(act(&json::text(value)?)),
    }
}

fn estimate_tokens(value: Dynamic) -> ScriptResult<i64> {
    if let Ok(text) = value.as_immutable_string_ref() {
        return Ok(tokens(text.as_bytes()));
    }
    with_json(&value, tokens)
}

/// The longest word; a longer run of Base64 characters is an image or a file.
const LONGEST_WORD: usize = 2048;
/// The rough cost of an image in tokens, for any size.
const IMAGE_TOKENS: usize = 1500;
/// Characters per token in languages with letters.
const TOKEN: usize = 4;

/// Estimates the tokens of a text. The error is easily a third: use it to choose by size, not for billing.
fn tokens(text: &[u8]) -> i64 {
    let (mut letters, mut signs, mut images, mut word) = (0, 0, 0, 0);
    let mut end_word = |word: usize, letters: &mut usize| match word > LONGEST_WORD {
        true => images += 1,
        false => *letters += word,
    };
    for byte in text {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'+' | b'/' | b'=' | b'-' | b'_' => word += 1,
            // the other bytes of a character
            0x80..=0xbf => {}
            other => {
                end_word(std::mem::take(&mut word), &mut letters);
                // three or four bytes: mostly a character for a syllable or a word
                if *other >= 0xe0 { signs += 1 } else { letters += 1 }
            }
        }
    }
    end_word(word, &mut letters);
    (letters.div_ceil(TOKEN) + signs + images * IMAGE_TOKENS) as i64
}
