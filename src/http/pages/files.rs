//! `/assets/{build}/{name}`: the files that pages refer to; and `/api`, what a developer can look at.

use super::headers::{Keep, ready_bytes};
use crate::http::problem::Problem;
use crate::http::state::Edge;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use hyper::HeaderMap;
use hyper::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue};
use std::sync::Arc;

/// Returns a file.
pub async fn asset(
    State(edge): State<Arc<Edge>>,
    path: Result<Path<(String, String)>, axum::extract::rejection::PathRejection>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let Ok(Path((build, name))) = path else { return Err(Problem::not_found()) };
    let found = edge.assets.find(&build, &name).ok_or_else(Problem::not_found)?;
    let keep = if found.is_final { Keep::Forever } else { Keep::Nobody };
    let mut response = ready_bytes(&headers, &found.ready, found.content_type);
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static(keep.value()));
    Ok(response)
}

/// No style and no script, so that the strictest policy holds for it.
const DEVELOPERS: &str = r#"<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>seckill: the API</title>
</head>
<body>
<h1>seckill</h1>
<p>A flash-sale engine. For developers:</p>
<ul>
<li><a href="/docs/">The API, to read and try out</a></li>
<li><a href="/openapi.json">The API's OpenAPI document</a></li>
<li><a href="/api/v1/sales">Sales</a></li>
<li><a href="/problems">Problems</a></li>
<li><a href="/readyz">Readiness</a></li>
</ul>
</body>
</html>
"#;

/// Shows what a developer can look at.
pub async fn developers() -> Response {
    let headers = [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (CACHE_CONTROL, Keep::Hour.value()),
        (CONTENT_SECURITY_POLICY, "default-src 'none'; base-uri 'none'; frame-ancestors 'none'"),
    ];
    (headers, DEVELOPERS).into_response()
}
