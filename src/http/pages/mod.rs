//! Pages for browsers.

pub mod docs;
pub mod root;
