//! Who is calling: caller keys from the config, in either header.
pub mod keys;
