//! What an operator's request for a change says beside its body: the revision of the sale that it
//! means, and its `Idempotency-Key`.

use super::sale_view::AdminSale;
use crate::http::auth::bearer::{Admin, Operator};
use crate::http::problem::Problem;
use crate::http::request::idempotency_key::{IDEMPOTENT_REPLAYED, operator_key};
use crate::http::state::Edge;
use crate::sales::{Base, Change};
use axum::Json;
use axum::extract::FromRequestParts;
use axum::response::{IntoResponse, Response};
use domain::{RequestId, Timestamp};
use hyper::HeaderMap;
use hyper::header::{ETAG, IF_MATCH};
use hyper::http::request::Parts;
use std::sync::Arc;
use utoipa::IntoParams;
use utoipa::openapi::Required;
use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};

/// The operator who changes a sale, and which revision they mean.
#[derive(Clone, Debug)]
pub struct Editor {
    /// Who it is.
    pub operator: Operator,
    base: Base,
    request_id: Option<RequestId>,
}

impl Editor {
    fn read(operator: Operator, headers: &HeaderMap) -> Result<Self, Problem> {
        let base = base(headers)?;
        let request_id = operator_key(headers, &operator.name)?;
        Ok(Self { operator, base, request_id })
    }

    /// Returns the change, made now.
    pub fn change(&self, now: Timestamp) -> Change<'_> {
        Change {
            operator: &self.operator.name,
            at: now,
            base: self.base,
            request_id: self.request_id,
        }
    }
}

impl FromRequestParts<Arc<Edge>> for Editor {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, edge: &Arc<Edge>) -> Result<Self, Problem> {
        Self::read(Operator::from_request_parts(parts, edge).await?, &parts.headers)
    }
}

/// The admin who changes settings, and which version they mean.
#[derive(Clone, Debug)]
pub struct SettingsEditor(pub Editor);

impl FromRequestParts<Arc<Edge>> for SettingsEditor {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, edge: &Arc<Edge>) -> Result<Self, Problem> {
        let Admin(operator) = Admin::from_request_parts(parts, edge).await?;
        Editor::read(operator, &parts.headers).map(Self)
    }
}

/// The `If-Match` header as the OpenAPI document shows it.
#[derive(Clone, Copy, Debug)]
pub struct IfMatch;

impl IntoParams for IfMatch {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let schema = ObjectBuilder::new().schema_type(Type::String);
        vec![
            ParameterBuilder::new()
                .name("If-Match")
                .parameter_in(ParameterIn::Header)
                .required(Required::False)
                .description(Some(
                    "The `ETag` of the sale that you looked at, which is its revision in quotes. If \
                     the sale has another one, nothing is done: 412 `revision_conflict`. Once its \
                     content was edited, the header has to be sent: 428 `revision_required`. `*` \
                     means whatever is there.",
                ))
                .schema(Some(Schema::Object(schema.build())))
                .example(Some("*".into()))
                .build(),
        ]
    }
}

fn base(headers: &HeaderMap) -> Result<Base, Problem> {
    let mut values = headers.get_all(IF_MATCH).iter();
    let Some(value) = values.next() else { return Ok(Base::Unsaid) };
    let text = value.to_str().unwrap_or_default().trim();
    let revision = || text.strip_prefix('"')?.strip_suffix('"')?.parse().ok();
    match (text, revision(), values.next()) {
        ("*", _, None) => Ok(Base::Any),
        (_, Some(revision), None) => Ok(Base::Revision(revision)),
        _ => Err(Problem::field("if-match", "must be one ETag, such as \"3\", or *")),
    }
}

/// The answer that shows a sale to an operator, with its revision as `ETag`.
pub struct SaleAnswer {
    /// The sale as it is now.
    pub sale: AdminSale,
    /// Whether the same request had made the change before.
    pub is_repeat: bool,
}

impl SaleAnswer {
    /// Returns the answer to a request that is no repeat.
    pub fn new(sale: AdminSale) -> Self {
        Self { sale, is_repeat: false }
    }
}

impl IntoResponse for SaleAnswer {
    fn into_response(self) -> Response {
        let tag = [(ETAG, etag(self.sale.revision))];
        (tag, replayed(self.is_repeat), Json(self.sale)).into_response()
    }
}

/// Returns the revision as an `ETag`.
pub fn etag(revision: u64) -> String {
    format!("\"{revision}\"")
}

/// Returns the header that tells a repeat.
pub fn replayed(is_repeat: bool) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if is_repeat {
        headers.insert(&IDEMPOTENT_REPLAYED, hyper::header::HeaderValue::from_static("true"));
    }
    headers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_revision_is_named_by_its_etag() {
        for (values, expected) in [
            (&[][..], Some(Base::Unsaid)),
            (&["\"3\""], Some(Base::Revision(3))),
            (&["*"], Some(Base::Any)),
            (&["3"], None),
            (&["W/\"3\""], None),
            (&["\"3\", \"4\""], None),
            (&["\"3\"", "\"3\""], None),
            (&[""], None),
        ] {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(IF_MATCH, value.parse().expect("a value"));
            }
            assert_eq!(base(&headers).ok(), expected, "{values:?}");
        }
        assert_eq!(etag(3), "\"3\"");
    }
}
