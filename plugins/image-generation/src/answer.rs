//! The response of an images endpoint: an image, as bytes or as an address, or the reason why there
//! is none.
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tidegate_sdk::prelude::*;

/// The largest length, in characters, of an endpoint's message that is passed on.
const MAX_WORDS: usize = 500;

/// A generated image.
pub struct Made {
    /// The image: its address or its bytes.
    pub image: Image,
    /// The prompt as the endpoint revised it.
    pub revised_prompt: Option<String>,
}

/// The form in which an endpoint returns an image.
pub enum Image {
    /// An address of the endpoint.
    At(String),
    /// The bytes themselves.
    Bytes {
        /// The media type, detected by the first bytes.
        media_type: &'static str,
        /// The bytes of the image.
        bytes: Vec<u8>,
        /// The same in base64, as received.
        base64: String,
    },
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    data: Vec<Datum>,
}

#[derive(Deserialize)]
struct Datum {
    b64_json: Option<String>,
    url: Option<String>,
    revised_prompt: Option<String>,
}

#[derive(Deserialize)]
struct Refusal {
    error: Told,
}

#[derive(Deserialize)]
struct Told {
    message: String,
}

/// Reads a response. A rejection becomes a problem with the endpoint's own message, which the model
/// may use.
pub fn read(response: &http::Response) -> Result<Made> {
    if !response.is_success() {
        return Err(refused(response));
    }
    if response.truncated {
        return Err(Problem::new("too_large", "the image is larger than the gateway takes"));
    }
    let answer: Answer = response.json()?;
    let nothing = || Problem::unavailable("the images endpoint answered without an image");
    let first = answer.data.into_iter().next().ok_or_else(nothing)?;
    let image = match (first.b64_json, first.url) {
        (Some(base64), _) => decode(base64)?,
        (None, Some(url)) => Image::At(url),
        (None, None) => return Err(nothing()),
    };
    Ok(Made { image, revised_prompt: first.revised_prompt })
}

fn decode(base64: String) -> Result<Image> {
    let bytes = STANDARD
        .decode(&base64)
        .map_err(|e| Problem::unavailable(format!("the image is no base64: {e}")))?;
    let media_type = match bytes.as_slice() {
        [0x89, b'P', b'N', b'G', ..] => "image/png",
        [0xff, 0xd8, 0xff, ..] => "image/jpeg",
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => "image/webp",
        _ => {
            return Err(Problem::unavailable(
                "the images endpoint sent no PNG, JPEG or WebP image",
            ));
        }
    };
    Ok(Image::Bytes { media_type, bytes, base64 })
}

fn refused(response: &http::Response) -> Problem {
    let words = response.json::<Refusal>().map(|refusal| refusal.error.message);
    let words: String = words.unwrap_or_default().chars().take(MAX_WORDS).collect();
    let said = if words.is_empty() { String::new() } else { format!(": {words}") };
    let message = format!("the images endpoint answered {}{said}", response.status);
    match response.status {
        429 => Problem { retryable: true, ..Problem::new("too_many_requests", message) },
        // the model cannot repair a wrong key
        401 | 403 => Problem::new("unavailable", message),
        400..500 => Problem::invalid_input(message),
        _ => Problem::unavailable(message),
    }
}
