//! `GET /media/{picture}`: a picture of an item, which never changes under its name.
//!
//! Must not know how pictures are made or kept.

use crate::http::edge::sliced::SharedBytes;
use crate::http::problem::Problem;
use crate::http::request::path::Segment;
use crate::http::state::Edge;
use axum::Extension;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use domain::catalogue::PictureId;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use hyper::{HeaderMap, StatusCode};
use std::sync::Arc;

/// A picture never changes, so a browser need not ask again.
const FOR_EVER: &str = "public, max-age=31536000, immutable";

/// Shows a picture.
///
/// # Errors
/// Returns a problem if there is no such picture or it cannot be read.
pub async fn show(
    State(edge): State<Arc<Edge>>,
    Segment(name): Segment,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let picture: PictureId = name.parse().map_err(|_| Problem::not_found())?;
    let tag = format!("\"{picture}\"");
    let known = [(ETAG, tag.as_str()), (CACHE_CONTROL, FOR_EVER)];
    if has(&headers, &tag) {
        return Ok((StatusCode::NOT_MODIFIED, known).into_response());
    }
    let bytes = edge.pictures.find(&edge.sales, picture).await?.ok_or_else(Problem::not_found)?;
    Ok((Extension(SharedBytes), known, [(CONTENT_TYPE, "image/jpeg")], bytes).into_response())
}

/// Whether the client has the representation of this tag.
fn has(headers: &HeaderMap, tag: &str) -> bool {
    let values = headers.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|known| {
        let known = known.trim();
        known == "*" || known.strip_prefix("W/").unwrap_or(known) == tag
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_that_has_it_is_told_so() {
        for (value, expected) in
            [("\"a\"", true), ("W/\"a\"", true), ("\"b\", \"a\"", true), ("*", true), ("a", false)]
        {
            let mut headers = HeaderMap::new();
            headers.insert(IF_NONE_MATCH, value.parse().expect("a value"));
            assert_eq!(has(&headers, "\"a\""), expected, "{value}");
        }
        assert!(!has(&HeaderMap::new(), "\"a\""));
    }
}
