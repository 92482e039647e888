//! The table of models: limits and capabilities of aliases, estimated counts, the order of targets, the operator's file.
mod counting;
mod file;
mod listing;
mod sorting;
