//! `/`: links to what a browser can look at, until the storefront takes its place.

use axum::response::{IntoResponse, Response};
use hyper::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE};

/// No style and no script, so that the strictest policy holds for it.
const PAGE: &str = r#"<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>seckill</title>
</head>
<body>
<h1>seckill</h1>
<p>A flash-sale engine.</p>
<ul>
<li><a href="/docs/">The API, to read and try out</a></li>
<li><a href="/openapi.json">The API's OpenAPI document</a></li>
<li><a href="/api/v1/sales">Sales</a></li>
<li><a href="/readyz">Readiness</a></li>
</ul>
</body>
</html>
"#;

/// Shows the page.
pub async fn show() -> Response {
    let headers = [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (CACHE_CONTROL, "public, max-age=3600"),
        (CONTENT_SECURITY_POLICY, "default-src 'none'; base-uri 'none'; frame-ancestors 'none'"),
    ];
    (headers, PAGE).into_response()
}
