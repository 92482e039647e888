//! Upstreams of each provider type, against servers that behave as the real ones do.
mod gemini;
mod media;
mod native_bedrock;
mod native_foundry;
mod native_platforms;
mod native_servers;
mod native_vertex;
mod proxied;
