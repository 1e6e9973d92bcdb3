//! The API's document: OpenAPI 3.1 from the handlers' own declarations, a page to read it with, and
//! a page for each code of a problem.

use super::error::{Code, Problem};
use axum::extract::Path;
use serde::Serialize;
use utoipa::ToSchema;

/// A problem as it is documented; `error.rs` renders the same fields.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub struct ProblemView {
    /// Where the code is explained.
    #[serde(rename = "type")]
    pub kind: String,
    /// The code in words.
    pub title: String,
    /// The status again.
    pub status: u16,
    /// What went wrong, for programs.
    pub code: String,
    /// What went wrong, for people.
    pub detail: String,
    /// When the sale starts; with `sale_not_started`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    pub starts_at: Option<String>,
    /// The fields that are wrong; with `invalid_field`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub errors: Option<Vec<FieldErrorView>>,
    /// The request's identity, as in `X-Request-Id`.
    pub request_id: String,
}

/// A field that is wrong.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
#[schema(as = FieldError)]
pub struct FieldErrorView {
    /// JSON Pointer into the body, or the name of a parameter or header.
    pub pointer: String,
    /// What is wrong with it.
    pub detail: String,
}

/// What a code means: where a problem's `type` leads.
#[utoipa::path(
    get, path = "/problems/{code}", tag = "operations",
    params(("code" = String, Path, description = "A problem's code")),
    responses((status = 200, description = "The code in words", body = String,
        content_type = "text/plain"))
)]
pub async fn problem(Path(name): Path<String>) -> Result<String, Problem> {
    let code = Code::from_name(&name).ok_or_else(Problem::not_found)?;
    Ok(format!(
        "{} {}\n{}.\n{}\n",
        code.status().as_u16(),
        code.name(),
        code.title(),
        code.meaning()
    ))
}
