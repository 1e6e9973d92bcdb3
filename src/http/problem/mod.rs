//! What went wrong with a request, as `application/problem+json` (RFC 9457).
//!
//! `code.rs` has the codes, `explanation.rs` what to make of each, `value.rs` the problem that handlers return, `refusals.rs` the one map
//! from refusals and errors to problems, and `view.rs` the problem as the OpenAPI document shows it.

mod code;
mod explanation;
mod refusals;
mod value;
mod view;

pub use code::Code;
pub use explanation::Explanation;
pub use value::{FieldError, FieldErrors, Problem, Repeat, shortened};
pub use view::ProblemView;
