//! The wire: documents, streams and their fold, by properties and by tables.
mod document;
mod fold;
mod json;
mod stream;
