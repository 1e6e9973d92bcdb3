//! `GET /problems/{code}`: what a problem's code means, which is where its `type` leads.

use crate::http::problem::{Code, Problem};
use axum::extract::Path;

/// Explains a problem's code.
///
/// A problem's `type` is the path of this page.
#[utoipa::path(
    get, path = "/problems/{code}", tag = "operations",
    params(("code" = String, Path, description = "A problem's code", example = "sold_out")),
    responses((status = 200, description = "The code in words", body = String,
        content_type = "text/plain", example = json!(explain(Code::SoldOut))))
)]
pub async fn show(Path(name): Path<String>) -> Result<String, Problem> {
    Code::from_name(&name).map(explain).ok_or_else(Problem::not_found)
}

fn explain(code: Code) -> String {
    let (status, name) = (code.status().as_u16(), code.name());
    format!("{status} {name}\n{}.\n{}\n", code.title(), code.meaning())
}
