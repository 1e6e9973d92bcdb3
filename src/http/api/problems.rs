//! `GET /problems` and `GET /problems/{code}`: what the codes of problems mean, which is where a
//! problem's `type` leads.

use crate::http::pages::headers::{Keep, page, prefers_html};
use crate::http::pages::language::Language;
use crate::http::pages::problem;
use crate::http::pages::words::Words;
use crate::http::problem::{Code, Explanation, Problem};
use crate::http::request::path::Segment;
use crate::http::state::Edge;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use hyper::header::{HeaderValue, VARY};
use hyper::{HeaderMap, StatusCode, Uri};
use std::fmt::Write as _;
use std::sync::Arc;

/// Lists the codes of problems.
///
/// A line each: status, code, title, and the path of the page that explains it.
#[utoipa::path(
    get, path = "/problems", tag = "operations",
    responses((status = 200, description = "The codes", body = String, content_type = "text/plain",
        example = json!("409 sold_out: Sold out, /problems/sold_out\n")))
)]
pub async fn list() -> String {
    let mut text = String::with_capacity(4 * 1024);
    for code in Code::ALL {
        let (status, name, title) = (code.status().as_u16(), code.name(), code.title());
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{status} {name}: {title}, /problems/{name}");
    }
    text
}

/// Explains a problem's code.
///
/// What it means, whether anything was done, what a client does next, and what a person does. A problem's
/// `type` is the path of this page.
#[utoipa::path(
    get, path = "/problems/{code}", tag = "operations",
    params(("code" = String, Path, description = "A problem's code", example = "sold_out")),
    responses((status = 200, description = "The code in words", body = String,
        content_type = "text/plain", example = json!(explain(Code::SoldOut))))
)]
pub async fn show(
    State(edge): State<Arc<Edge>>,
    Segment(name): Segment,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let code = Code::from_name(&name).ok_or_else(Problem::not_found)?;
    let place = edge.site.place(&headers, &uri);
    let words = Words::of(Language::preferred(&headers, place));
    let html = prefers_html(&headers).then(|| problem::code_page(words, code)).flatten();
    let mut response = match html {
        Some(html) => page(&edge.site, StatusCode::OK, html, Keep::Hour),
        None => explain(code).into_response(),
    };
    response
        .headers_mut()
        .insert(VARY, HeaderValue::from_static("accept, accept-language, cookie"));
    Ok(response)
}

fn explain(code: Code) -> String {
    let Explanation { done, client, person } = code.explanation();
    format!(
        "{status} {name}: {title}\n\n{meaning}\n\nDone: {done}\nNext, for a program: {client}\n\
         Next, for a person: {person}\n",
        status = code.status().as_u16(),
        name = code.name(),
        title = code.title(),
        meaning = code.meaning(),
    )
}
