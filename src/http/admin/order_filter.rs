//! Which orders a query asks for, and in which form: one declaration for the API's routes and the console.

use super::list_form::{self, ListForm, one_of};
use crate::http::api::example;
use crate::http::api::order_view::REFUNDED;
use crate::http::problem::Problem;
use crate::http::request::page::{self, PageQuery};
use crate::http::request::rules::{Identity, Instant, Rule};
use crate::sales::OrderFilter;
use domain::{OrderId, OrderStatus, SaleId};
use serde::Deserialize;
use std::str::FromStr;
use utoipa::openapi::path::{Parameter, ParameterIn};
use utoipa::{IntoParams, PartialSchema};

/// Which orders a query asks for, and in which form.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
pub struct OrdersQuery {
    /// The most entries to return.
    pub limit: Option<String>,
    /// Where the page before ended.
    pub starting_after: Option<String>,
    /// The only sale whose orders are asked for.
    pub sale: Option<String>,
    /// The only item whose orders are asked for.
    pub item: Option<String>,
    /// The only buyer whose orders are asked for.
    pub user: Option<String>,
    /// The only status.
    pub status: Option<String>,
    /// The first instant.
    pub from: Option<String>,
    /// The instant before which orders were placed.
    pub to: Option<String>,
    /// The form: `json` or `csv`.
    pub format: Option<String>,
    /// Whether the file is for Excel: `true` or `false`.
    pub excel: Option<String>,
}

impl OrdersQuery {
    /// Returns which orders are asked for.
    ///
    /// # Errors
    /// Returns an `invalid_field` problem if one of the parameters is not valid.
    pub fn filter(&self) -> Result<OrderFilter, Problem> {
        let (status, refunded) = match self.status.as_deref() {
            None => (None, None),
            Some(REFUNDED) => (Some(OrderStatus::RefundDue), Some(true)),
            Some(name) => {
                let status = OrderStatus::from_name(name).ok_or_else(|| {
                    Problem::field(
                        "status",
                        format!("must be one of {}", status_names().join(", ")),
                    )
                })?;
                (Some(status), (status == OrderStatus::RefundDue).then_some(false))
            }
        };
        let instant = |name: &str, text: &Option<String>| match text {
            None => Ok(None),
            Some(text) => Instant::read(text.as_str().into())
                .map(Some)
                .map_err(|detail| Problem::field(name, detail)),
        };
        let filter = OrderFilter {
            sale_id: identity("sale", self.sale.as_deref())?,
            item_id: identity("item", self.item.as_deref())?,
            user_id: identity("user", self.user.as_deref())?,
            status,
            refunded,
            from: instant("from", &self.from)?,
            to: instant("to", &self.to)?,
        };
        match (filter.from, filter.to) {
            (Some(from), Some(to)) if to <= from => Err(Problem::field("to", "must be after from")),
            _ => Ok(filter),
        }
    }

    /// Returns in which form they are asked for.
    ///
    /// # Errors
    /// Returns an `invalid_field` problem if one of the parameters is not valid.
    pub fn form(&self) -> Result<ListForm<OrderId>, Problem> {
        let page =
            PageQuery { limit: self.limit.clone(), starting_after: self.starting_after.clone() };
        ListForm::read(&page, self.format.as_deref(), self.excel.as_deref())
    }
}

/// Returns what the statuses are called that orders are asked for by.
pub fn status_names() -> Vec<&'static str> {
    OrderStatus::ALL.map(OrderStatus::name).into_iter().chain([REFUNDED]).collect()
}

/// Returns the identity that a parameter names, if it is there.
///
/// # Errors
/// Returns an `invalid_field` problem if it is none.
pub(super) fn identity<T: FromStr>(name: &str, text: Option<&str>) -> Result<Option<T>, Problem> {
    let parse = |text: &str| text.parse().map_err(|_| Problem::field(name, "must be an identity"));
    text.map(parse).transpose()
}

impl IntoParams for OrdersQuery {
    fn into_params(provider: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let mut parameters = SaleOrdersQuery::into_params(provider);
        let sale = page::query_parameter(
            "sale",
            "Only orders of this sale.",
            Identity::schema(),
            example::SALE_ID.into(),
        );
        parameters.insert(2, sale);
        parameters
    }
}

/// The same for a route whose path names the sale.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
pub struct SaleOrdersQuery {
    /// All but the sale.
    #[serde(flatten)]
    rest: OrdersQuery,
}

impl SaleOrdersQuery {
    /// Returns the query for the orders of this sale.
    pub fn of(self, sale_id: SaleId) -> OrdersQuery {
        OrdersQuery { sale: Some(sale_id.to_string()), ..self.rest }
    }
}

impl IntoParams for SaleOrdersQuery {
    fn into_params(provider: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let parameter = page::query_parameter;
        let mut parameters = PageQuery::into_params(provider);
        parameters.extend([
            parameter(
                "item",
                "Only orders of this item.",
                Identity::schema(),
                example::ITEM_ID.into(),
            ),
            parameter(
                "user",
                "Only orders of this buyer.",
                Identity::schema(),
                example::USER_ID.into(),
            ),
            parameter(
                "status",
                "Only orders in this status.",
                one_of(status_names()),
                "paid".into(),
            ),
            parameter(
                "from",
                "Only orders that were placed at this instant or later.",
                Instant::schema(),
                example::STARTS_AT.into(),
            ),
            parameter(
                "to",
                "Only orders that were placed before this instant.",
                Instant::schema(),
                example::ENDS_AT.into(),
            ),
        ]);
        parameters.extend(list_form::parameters("all orders as one file, oldest first"));
        parameters
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::{ItemId, Timestamp, UserId};

    fn query(text: &str) -> OrdersQuery {
        serde_json::from_value(serde_json::Value::Object(
            text.split('&')
                .filter_map(|pair| pair.split_once('='))
                .map(|(name, value)| (name.to_owned(), value.into()))
                .collect(),
        ))
        .unwrap()
    }

    #[test]
    fn each_parameter_has_its_rule() {
        let read = |text: &str| {
            let query = query(text);
            let read = query.filter().and_then(|filter| Ok((filter, query.form()?)));
            read.map_err(|problem| problem.errors.shown[0].pointer.clone())
        };
        let (filter, form) =
            read("sale=7&item=21&user=3&status=refund_due&from=2030-11-11T00:00:00Z")
                .expect("all are right");
        assert_eq!(
            filter,
            OrderFilter {
                sale_id: Some(SaleId(7)),
                item_id: Some(ItemId(21)),
                user_id: Some(UserId(3)),
                status: Some(OrderStatus::RefundDue),
                refunded: Some(false),
                from: Some(Timestamp(1_920_585_600_000)),
                to: None,
            }
        );
        assert_eq!(form, ListForm::Page(20, None));
        let (filter, _) = read("status=refunded").expect("a status");
        assert_eq!((filter.status, filter.refunded), (Some(OrderStatus::RefundDue), Some(true)));
        let file = |for_excel| Ok(ListForm::File { for_excel });
        assert_eq!(read("format=csv").map(|(_, form)| form), file(false));
        assert_eq!(read("format=csv&excel=true").map(|(_, form)| form), file(true));
        for (text, wrong) in [
            ("sale=x", "sale"),
            ("item=-1", "item"),
            ("user=ann", "user"),
            ("status=open", "status"),
            ("from=today", "from"),
            ("from=2030-11-11T00:00:00Z&to=2030-11-11T00:00:00Z", "to"),
            ("format=xml", "format"),
            ("excel=1&format=csv", "excel"),
            ("excel=true", "excel"),
            ("limit=0", "limit"),
        ] {
            assert_eq!(read(text), Err(wrong.to_owned()), "{text}");
        }
    }
}
