//! `POST /api/v1/admin/media`: a picture of an item.

use crate::http::api::example;
use crate::http::auth::bearer::Operator;
use crate::http::problem::{Code, Problem};
use crate::http::request::body::{self, BodyBytesMax};
use crate::http::request::picture::NotMade;
use crate::http::state::Edge;
use crate::sales::Change;
use axum::Json;
use axum::extract::{FromRequest, Request, State};
use bytes::Bytes;
use hyper::StatusCode;
use hyper::header::{CONTENT_TYPE, LOCATION};
use serde::Serialize;
use std::sync::Arc;
use utoipa::openapi::schema::{KnownFormat, ObjectBuilder, SchemaFormat, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

/// A picture that is kept.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
#[schema(as = Picture)]
pub struct PictureView {
    /// Its name, for an item's `picture`.
    pub picture: String,
    /// Where it is shown.
    pub path: String,
    /// Pixels in a row.
    pub width: u32,
    /// Rows of pixels.
    pub height: u32,
    /// Its length in bytes.
    pub bytes: usize,
}

impl PictureView {
    fn example() -> Self {
        Self {
            picture: example::PICTURE.to_owned(),
            path: format!("/media/{}", example::PICTURE),
            width: 1_200,
            height: 900,
            bytes: 38_112,
        }
    }
}

/// The bytes of a body that says it is a picture.
pub struct PictureBytes(Bytes);

impl PartialSchema for PictureBytes {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::Binary)))
            .description(Some("The bytes of a picture."))
            .into()
    }
}

impl ToSchema for PictureBytes {}

impl FromRequest<Arc<Edge>> for PictureBytes {
    type Rejection = Problem;

    async fn from_request(request: Request, edge: &Arc<Edge>) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        let kind = parts.headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        if !matches!(kind, Some("image/png" | "image/jpeg" | "image/webp")) {
            return Err(Problem::new(
                Code::UnsupportedMediaType,
                "send a picture as image/png, image/jpeg or image/webp",
            ));
        }
        let max = parts.extensions.get();
        let max = max.map_or(edge.live_options.picture_bytes_max(), |BodyBytesMax(max)| *max);
        body::read(body, max, edge.options.body_timeout).await.map(Self)
    }
}

/// Keeps a picture for an item.
///
/// PNG, JPEG or WebP, of at most 4096 pixels in width and height. It is made smaller, to a JPEG of at
/// most 40,000 bytes, and is named by what comes out, so that the same picture sent twice is kept once.
/// One that can be seen through is laid on white.
#[utoipa::path(
    post, path = "/api/v1/admin/media", tag = "operators",
    request_body(content(
        (PictureBytes = "image/jpeg", example = json!("the picture's bytes")),
        (PictureBytes = "image/png", example = json!("the picture's bytes")),
        (PictureBytes = "image/webp", example = json!("the picture's bytes")),
    )),
    responses(
        (status = 201, description = "It is kept, or was kept before", body = PictureView,
            headers(("Location" = String, description = "Where it is shown")),
            example = json!(PictureView::example())),
        (status = 400, description = "`bad_request`: the request is not HTTP as it should be"),
        (status = 409, description = "`state_conflict`: no more pictures can be kept"),
        (status = 415, description = "`unsupported_media_type`: send one of these types"),
        (status = 422, description = "`invalid_field`: it is no picture, or too large a one"),
    ),
    security(("token" = []))
)]
pub async fn add(
    State(edge): State<Arc<Edge>>,
    operator: Operator,
    PictureBytes(bytes): PictureBytes,
) -> Result<(StatusCode, [(hyper::header::HeaderName, String); 1], Json<PictureView>), Problem> {
    let picture = keep(&edge, &operator.name, bytes).await?;
    let place = [(LOCATION, picture.path.clone())];
    Ok((StatusCode::CREATED, place, Json(picture)))
}

/// Makes a picture small and keeps it, in the name of this operator.
///
/// # Errors
/// Returns an `invalid_field` problem if the bytes are no picture that is accepted, `overloaded` if too
/// many wait, `state_conflict` if no more can be kept.
pub async fn keep(edge: &Edge, operator: &str, bytes: Bytes) -> Result<PictureView, Problem> {
    let picture = edge.studio.make(bytes).await?;
    let change = Change::by(operator, edge.engine.now());
    edge.sales.keep_picture(picture.id, &picture.jpeg, change).await?;
    Ok(PictureView {
        picture: picture.id.to_string(),
        path: format!("/media/{}", picture.id),
        width: picture.width,
        height: picture.height,
        bytes: picture.jpeg.len(),
    })
}

impl From<NotMade> for Problem {
    fn from(error: NotMade) -> Self {
        match error {
            NotMade::NotAccepted(error) => Self::field("", error.to_string()),
            NotMade::Busy => Self::new(Code::Overloaded, error.to_string()),
        }
    }
}
