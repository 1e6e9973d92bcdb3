//! The journal.
pub mod record;
