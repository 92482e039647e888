//! What callers can rely on: routes, credentials, headers, bytes, streams, connections.
mod admin;
mod auth;
mod connections;
mod cors;
mod drain;
mod headers;
mod key_rights;
mod passthrough;
mod requests;
mod routes;
mod streams;
mod upstream_tls;
