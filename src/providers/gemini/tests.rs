//! Tests of the provider against a loopback upstream.
