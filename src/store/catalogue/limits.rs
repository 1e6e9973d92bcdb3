//! The catalogue's limits on pages and texts, and the check of a text.

use super::error::CatalogueError;
use domain::catalogue::text_problem;

/// The longest page of sales, in rows.
pub const SALES_PAGE_MAX: usize = 100;
/// The longest page of the operators' log, in rows.
pub const LOG_PAGE_MAX: usize = 500;
/// The longest name of a buyer or an operator, in characters.
pub const NAME_LENGTH_MAX: usize = 64;

/// Checks that a text has 1 to `length_max` characters and no control characters.
///
/// # Errors
/// Returns [`CatalogueError::Invalid`] if it has not.
pub(super) fn check_text(field: &str, text: &str, length_max: usize) -> Result<(), CatalogueError> {
    match text_problem(field, text, length_max) {
        None => Ok(()),
        Some(problem) => Err(CatalogueError::Invalid(vec![problem])),
    }
}
