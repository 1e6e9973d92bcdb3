//! Reads the sources and holds what ARCHITECTURE.md promises: which module may name which, which crate
//! is used where, that no files need each other in a circle, and how the text is written.

mod arrows;
mod circles;
mod crates;
mod documents;
mod functions;
mod metrics;
mod names;
mod sources;
mod text;
mod tree;
mod words;
