//! `tidegate.yaml`: read to a tree, expanded, then turned into each part's own config.
