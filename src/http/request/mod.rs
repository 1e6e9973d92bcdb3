//! What a request says: its path, its query, its headers and its body, with every mistake told as a
//! problem.

pub mod body;
pub mod extract;
pub mod fields;
pub mod head;
pub mod idempotency_key;
pub mod json;
pub mod page;
pub mod path;
pub mod picture;
pub mod query;
pub mod rules;
