//! `/docs/`: a page to read and try the API's document with; the page and its files are built in.

use crate::http::edge::sliced::SharedBytes;
use crate::http::problem::Problem;
use crate::http::request::path::Segment;
use axum::Extension;
use axum::response::{IntoResponse, Redirect, Response};
use bytes::Bytes;
use hyper::header::CONTENT_TYPE;
use std::borrow::Cow;
use std::sync::{Arc, LazyLock};
use utoipa_swagger_ui::Config;

/// The path of the OpenAPI document, which the page reads.
pub const DOCUMENT: &str = "/openapi.json";

static CONFIG: LazyLock<Arc<Config<'static>>> =
    LazyLock::new(|| Arc::new(Config::new([DOCUMENT]).try_it_out_enabled(true)));

/// Redirects `/docs` to `/docs/`, below which the page's files are.
pub async fn redirect() -> Redirect {
    Redirect::permanent("/docs/")
}

/// Shows the page.
pub async fn index() -> Result<Response, Problem> {
    page("")
}

/// Returns a file of the page.
pub async fn file(Segment(name): Segment) -> Result<Response, Problem> {
    page(&name)
}

fn page(name: &str) -> Result<Response, Problem> {
    let file = utoipa_swagger_ui::serve(name, Arc::clone(&CONFIG)).ok().flatten();
    let file = file.ok_or_else(Problem::not_found)?;
    let bytes = match file.bytes {
        // Not copied: a copy for each client that reads slowly would add up to gigabytes.
        Cow::Borrowed(bytes) => Bytes::from_static(bytes),
        Cow::Owned(bytes) => bytes.into(),
    };
    Ok((Extension(SharedBytes), [(CONTENT_TYPE, file.content_type)], bytes).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_and_its_files_are_built_in() {
        for name in ["", "swagger-ui-bundle.js", "swagger-ui.css", "swagger-initializer.js"] {
            assert!(page(name).is_ok(), "{name:?}");
        }
        assert!(page("nothing.js").is_err());
    }
}
