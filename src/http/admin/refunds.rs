//! Refunds: money that came and has to go back. Which are due, and which were made; an operator marks one as made, with
//! the reference by which it can be found at the provider.
//!
//! The shop moves no money back by itself: the provider does, where the operator says so.

use super::list_form::{self, ListForm, one_of};
use super::order_filter::identity;
use super::refund_export::{self, CSV_HEAD};
use crate::http::api::example;
use crate::http::api::order_view::OrderView;
use crate::http::auth::bearer::Operator;
use crate::http::payments::decisions;
use crate::http::problem::{Code, Problem};
use crate::http::request::extract::{JsonObject, Parameters};
use crate::http::request::fields::{Body as _, body};
use crate::http::request::idempotency_key::IDEMPOTENT_REPLAYED;
use crate::http::request::page::{self, PageQuery};
use crate::http::request::path::Segment;
use crate::http::request::rules::{self, CurrencyCode, Identity, Rule};
use crate::http::state::Edge;
use crate::http::timestamp;
use crate::sales::{PaymentFilter, RefundMade, StoredPayment};
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use domain::{
    OrderStatus, PaymentId, PaymentOutcome, PaymentReference, PaymentState, ProviderName, Refusal,
};
use hyper::header::HeaderValue;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::borrow::Cow;
use std::sync::Arc;
use utoipa::openapi::path::{Parameter, ParameterIn};
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{IntoParams, PartialSchema, ToSchema};

/// The states that are refunds.
pub const STATES: [PaymentState; 2] = [PaymentState::RefundDue, PaymentState::Refunded];

/// Which refunds a query asks for, and in which form.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
pub struct RefundsQuery {
    /// The most entries to return.
    pub limit: Option<String>,
    /// The last payment of the page before.
    pub starting_after: Option<String>,
    /// `refund_due` or `refunded`.
    pub state: Option<String>,
    /// The only sale.
    pub sale: Option<String>,
    /// The only provider.
    pub provider: Option<String>,
    /// The form: `json` or `csv`.
    pub format: Option<String>,
    /// Whether the file is for Excel: `true` or `false`.
    pub excel: Option<String>,
}

impl RefundsQuery {
    /// Returns which refunds are asked for: those that are due, if nothing else is said.
    ///
    /// # Errors
    /// Returns an `invalid_field` problem if one of the parameters is not valid.
    pub fn filter(&self) -> Result<PaymentFilter, Problem> {
        let state = self.state.as_deref().unwrap_or(PaymentState::RefundDue.name());
        let state = STATES.into_iter().find(|known| known.name() == state);
        let state =
            state.ok_or_else(|| Problem::field("state", "must be refund_due or refunded"))?;
        let provider = self.provider.as_deref().map(|name| {
            let detail = "must be a provider's name: 1 to 16 of a to z, 0 to 9, _ and -";
            ProviderName::parse(name).ok_or_else(|| Problem::field("provider", detail))
        });
        Ok(PaymentFilter {
            state: Some(state),
            sale_id: identity("sale", self.sale.as_deref())?,
            provider: provider.transpose()?,
        })
    }

    fn form(&self) -> Result<ListForm<PaymentId>, Problem> {
        let page =
            PageQuery { limit: self.limit.clone(), starting_after: self.starting_after.clone() };
        ListForm::read(&page, self.format.as_deref(), self.excel.as_deref())
    }
}

impl IntoParams for RefundsQuery {
    fn into_params(provider: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let parameter = page::query_parameter;
        let mut parameters = PageQuery::into_params(provider);
        parameters.truncate(1);
        parameters.extend([
            parameter(
                "starting_after",
                "The last payment of the page before: the list goes on after it.",
                PaymentIdentity::schema(),
                example::PAYMENT_ID.into(),
            ),
            parameter(
                "state",
                "`refund_due` for money that is to go back, which is the default; `refunded` for what went back.",
                one_of(STATES.map(PaymentState::name).into()),
                "refund_due".into(),
            ),
            parameter(
                "sale",
                "Only payments of this sale.",
                Identity::schema(),
                example::SALE_ID.into(),
            ),
            parameter(
                "provider",
                "Only payments at this provider.",
                ObjectBuilder::new().schema_type(Type::String).max_length(Some(16)).into(),
                example::PROVIDER.into(),
            ),
        ]);
        parameters.extend(list_form::parameters("all of them as one file"));
        parameters
    }
}

/// A payment's identity as the document shows it.
struct PaymentIdentity;

impl PartialSchema for PaymentIdentity {
    fn schema() -> RefOr<Schema> {
        let pattern = r"^(0|[1-9][0-9]{0,19})-[1-9][0-9]{0,4}$";
        ObjectBuilder::new().schema_type(Type::String).pattern(Some(pattern)).into()
    }
}

/// A page of refunds, the oldest orders' first.
#[derive(Debug, Serialize, ToSchema)]
pub struct RefundPage {
    /// The refunds of this page.
    pub data: Vec<RefundView>,
    /// Whether there are more: ask for them with `starting_after` the last one of this page.
    pub has_more: bool,
}

/// Money that came and has to go back, or went back.
#[derive(Debug, Serialize, ToSchema)]
pub struct RefundView {
    /// The payment's identity: the order's, a hyphen and a number.
    pub payment_id: String,
    /// The order that it was for.
    #[schema(value_type = Identity)]
    pub order_id: String,
    /// The order's item.
    #[schema(value_type = Identity)]
    pub item_id: String,
    /// The item's sale.
    #[schema(value_type = Identity)]
    pub sale_id: String,
    /// Whose order it is.
    #[schema(value_type = Identity)]
    pub user_id: String,
    /// Who took the money.
    pub provider: String,
    /// The provider's name for it.
    pub reference: Option<String>,
    /// How much came, in minor units of `currency`.
    pub amount: u64,
    /// The currency of `amount`.
    #[schema(value_type = CurrencyCode)]
    pub currency: String,
    /// `refund_due` or `refunded`.
    pub state: &'static str,
    /// By what the refund can be found again, once it was made.
    pub refund_reference: Option<String>,
    /// When the payment was begun, or its money came without that.
    #[schema(format = DateTime)]
    pub created_at: String,
    /// Since when it stands as it does.
    #[schema(format = DateTime)]
    pub changed_at: String,
}

impl From<&StoredPayment> for RefundView {
    fn from(stored: &StoredPayment) -> Self {
        let payment = &stored.payment;
        Self {
            payment_id: payment.id.to_string(),
            order_id: payment.id.order_id.to_string(),
            item_id: stored.item_id.to_string(),
            sale_id: stored.sale_id.to_string(),
            user_id: stored.user_id.to_string(),
            provider: payment.provider.to_string(),
            reference: payment.reference.as_ref().map(ToString::to_string),
            amount: payment.amount,
            currency: payment.currency.to_string(),
            state: payment.state.name(),
            refund_reference: payment.refund_reference.as_ref().map(ToString::to_string),
            created_at: timestamp::to_string(stored.created_at),
            changed_at: timestamp::to_string(stored.changed_at),
        }
    }
}

impl RefundPage {
    fn example() -> Self {
        let refund = RefundView {
            payment_id: example::PAYMENT_ID.to_owned(),
            order_id: example::ORDER_ID.to_owned(),
            item_id: example::ITEM_ID.to_owned(),
            sale_id: example::SALE_ID.to_owned(),
            user_id: example::USER_ID.to_owned(),
            provider: example::PROVIDER.to_owned(),
            reference: Some(example::PAYMENT_REFERENCE.to_owned()),
            amount: example::PRICE,
            currency: example::CURRENCY.to_owned(),
            state: PaymentState::RefundDue.name(),
            refund_reference: None,
            created_at: example::CREATED_AT.to_owned(),
            changed_at: example::EXPIRES_AT.to_owned(),
        };
        Self { data: vec![refund], has_more: false }
    }
}

body! {
    /// That a refund was made.
    pub struct RefundRequest {
        /// By what it can be found again, such as the provider's own name for it: 1 to 64 visible characters of ASCII.
        Required reference: Reference,
    }
}

/// A reference as a rule of a body's field.
pub struct Reference;

impl Rule for Reference {
    type Value = PaymentReference;

    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .min_length(Some(1))
            .max_length(Some(PaymentReference::LENGTH_MAX))
            .pattern(Some("^[!-~]+$"))
            .examples([example::REFUND_REFERENCE])
            .into()
    }

    fn read(value: Value) -> Result<PaymentReference, Cow<'static, str>> {
        let text = rules::string(value)?;
        PaymentReference::parse(&text).ok_or("must be 1 to 64 visible characters of ASCII".into())
    }
}

/// A refund that was made.
#[derive(Debug, Serialize, ToSchema)]
pub struct RefundDone {
    /// The payment's identity.
    pub payment_id: String,
    /// Where it stands now: `refunded`.
    pub state: &'static str,
    /// By what the refund can be found again.
    pub refund_reference: String,
    /// The payment's order.
    pub order: OrderView,
}

/// Lists refunds.
///
/// Money that came and could not pay its order: too late, a second time, or not the price. Those that are due, or with
/// `state=refunded` those that were made; a page at a time, or with `format=csv` all of them as one file. A refund is
/// listed once it has reached the order store, which a rush may delay by seconds.
#[utoipa::path(
    get, path = "/api/v1/admin/refunds", tag = "operators",
    params(RefundsQuery),
    responses((status = 200, description = "A page, or with `format=csv` a file", content(
        (RefundPage = "application/json", example = json!(RefundPage::example())),
        (String = "text/csv", example = json!(CSV_HEAD)),
    ))),
    security(("token" = []))
)]
pub async fn list(
    State(edge): State<Arc<Edge>>,
    _operator: Operator,
    Parameters(query): Parameters<RefundsQuery>,
) -> Result<Response, Problem> {
    let filter = query.filter()?;
    match query.form()? {
        ListForm::File { for_excel } => refund_export::export(edge, filter, for_excel).await,
        ListForm::Page(limit, after) => {
            let (found, has_more) = page_of(&edge, &filter, after, limit).await?;
            let data = found.iter().map(RefundView::from).collect();
            Ok(Json(RefundPage { data, has_more }).into_response())
        }
    }
}

/// Returns a page of payments, and whether there are more.
///
/// # Errors
/// Returns a `records_unavailable` problem if the order store does not answer.
pub async fn page_of(
    edge: &Edge,
    filter: &PaymentFilter,
    after: Option<PaymentId>,
    limit: usize,
) -> Result<(Vec<StoredPayment>, bool), Problem> {
    let mut found = edge.sales.payments(filter, after, limit + 1).await?;
    let has_more = found.len() > limit;
    found.truncate(limit);
    Ok((found, has_more))
}

/// Marks a refund as made.
///
/// Say it once the money has gone back, with the reference by which that can be found. Saying it again with the same
/// reference changes nothing.
#[utoipa::path(
    post, path = "/api/v1/admin/refunds/{payment}", tag = "operators",
    params(("payment" = String, Path, description = "The payment's identity",
        example = json!(example::PAYMENT_ID))),
    request_body(content = RefundRequest, content_type = "application/json",
        example = json!({ "reference": example::REFUND_REFERENCE })),
    responses(
        (status = 200, description = "The refund is noted, and durable", body = RefundDone,
            links(("refunds" = (operation_id = "get_admin_refunds"))),
            example = json!(RefundDone {
                payment_id: example::PAYMENT_ID.to_owned(),
                state: PaymentState::Refunded.name(),
                refund_reference: example::REFUND_REFERENCE.to_owned(),
                order: OrderView::example(OrderStatus::RefundDue),
            })),
        (status = 404, description = "`payment_not_found`: there is no such payment of which money is due"),
        (status = 409, description = "`payment_closed`: it was refunded with another reference, or nothing is to go \
            back"),
    ),
    security(("token" = []))
)]
pub async fn settle(
    State(edge): State<Arc<Edge>>,
    operator: Operator,
    Segment(payment): Segment,
    JsonObject(body): JsonObject,
) -> Result<Response, Problem> {
    let body = RefundRequest::parse(body)?;
    let id = payment.parse::<PaymentId>().map_err(|_| Refusal::PaymentNotFound)?;
    // A field that is required was there, or the body was refused.
    let reference = body.reference.ok_or_else(|| Problem::field("/reference", "is needed"))?;
    let done = refunded(&edge, id, &reference, &operator.name).await?;
    let view = RefundDone {
        payment_id: done.id.to_string(),
        state: done.state.name(),
        refund_reference: reference.to_string(),
        order: OrderView::from(&done.order),
    };
    let mut response = Json(view).into_response();
    if done.is_repeat {
        let is_repeat = HeaderValue::from_static("true");
        response.headers_mut().insert(&IDEMPOTENT_REPLAYED, is_repeat);
    }
    Ok(response)
}

/// Marks a refund as made, and notes in the operators' log who said so.
///
/// # Errors
/// Returns a `payment_not_found` or a `payment_closed` problem if no refund is due, and a `records_unavailable` one if
/// the log does not answer: the refund is marked then, and saying it again notes it.
pub async fn refunded(
    edge: &Edge,
    id: PaymentId,
    reference: &PaymentReference,
    actor: &str,
) -> Result<PaymentOutcome, Problem> {
    let done = decisions::refund(edge, id, reference.clone()).await?;
    let made = RefundMade { id, reference, is_repeat: done.is_repeat };
    edge.sales.note_refund(made, actor, edge.engine.now()).await.map_err(|error| {
        tracing::warn!(%error, payment = %id, actor, "a refund was marked and is not in the operators' log");
        let detail = "the refund is marked, and not in the operators' log: say it again with the same reference";
        Problem::new(Code::RecordsUnavailable, detail)
    })?;
    Ok(done)
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::{OrderId, SaleId};

    #[test]
    fn each_parameter_has_its_rule() {
        let read = |text: &str| {
            let pairs = text.split('&').filter_map(|pair| pair.split_once('='));
            let object = pairs.map(|(name, value)| (name.to_owned(), value.into())).collect();
            let query: RefundsQuery = serde_json::from_value(Value::Object(object)).unwrap();
            let read = query.filter().and_then(|filter| Ok((filter, query.form()?)));
            read.map_err(|problem| problem.errors.shown[0].pointer.clone())
        };
        let due =
            PaymentFilter { state: Some(PaymentState::RefundDue), ..PaymentFilter::default() };
        assert_eq!(read(""), Ok((due.clone(), ListForm::Page(20, None))));
        let (filter, form) =
            read("sale=7&provider=mall-pay&state=refunded&starting_after=9-2&limit=3").unwrap();
        assert_eq!(
            filter,
            PaymentFilter {
                state: Some(PaymentState::Refunded),
                sale_id: Some(SaleId(7)),
                provider: ProviderName::parse("mall-pay"),
            }
        );
        let after = PaymentId { order_id: OrderId(9), number: 2 };
        assert_eq!(form, ListForm::Page(3, Some(after)));
        assert_eq!(read("format=csv&excel=true"), Ok((due, ListForm::File { for_excel: true })));
        for (text, wrong) in [
            ("state=captured", "state"),
            ("sale=x", "sale"),
            ("provider=Mall", "provider"),
            ("starting_after=9", "starting_after"),
            ("format=xml", "format"),
            ("excel=true", "excel"),
            ("limit=0", "limit"),
        ] {
            assert_eq!(read(text), Err(wrong.to_owned()), "{text}");
        }
    }
}
