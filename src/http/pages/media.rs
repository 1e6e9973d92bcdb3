//! `GET /media/{picture}`: a picture of an item, which never changes under its name.
//!
//! Must not know how pictures are made or kept.

use crate::http::edge::sliced::SharedBytes;
use crate::http::pages::headers;
use crate::http::problem::Problem;
use crate::http::request::path::Segment;
use crate::http::state::Edge;
use axum::Extension;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use domain::catalogue::PictureId;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderValue};
use hyper::{HeaderMap, StatusCode};
use std::sync::Arc;

/// A picture never changes, so a browser need not ask again.
const FOR_EVER: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");

/// Shows a picture.
///
/// # Errors
/// Returns a problem if there is no such picture or it cannot be read.
pub async fn show(
    State(edge): State<Arc<Edge>>,
    Segment(name): Segment,
    asked: HeaderMap,
) -> Result<Response, Problem> {
    let picture: PictureId = name.parse().map_err(|_| Problem::not_found())?;
    let bytes = edge.pictures.find(&edge.sales, picture).await?.ok_or_else(Problem::not_found)?;
    let tag = HeaderValue::try_from(format!("\"{picture}\"")).map_err(|_| Problem::not_found())?;
    let is_there = headers::has(&asked, &tag);
    let known = [(ETAG, tag), (CACHE_CONTROL, FOR_EVER)];
    if is_there {
        return Ok((StatusCode::NOT_MODIFIED, known).into_response());
    }
    Ok((Extension(SharedBytes), known, [(CONTENT_TYPE, "image/jpeg")], bytes).into_response())
}
