//! What is sold, and when: the service `Sales`.

use super::status::tell;
use super::view;
use crate::http::api::{items, sales};
use crate::http::problem::Problem;
use crate::http::purchase;
use crate::http::request::page::{PageQuery, SalesQuery};
use crate::http::state::Edge;
use domain::catalogue::PublicSale;
use domain::{ItemId, SaleId};
use proto::v1;
use std::sync::Arc;
use tonic::{Request, Response, Status};

/// What everybody may look at.
#[derive(Debug)]
pub struct Sales(Arc<Edge>);

impl Sales {
    /// Makes the service over the edge's state.
    pub fn new(edge: &Arc<Edge>) -> Self {
        Self(Arc::clone(edge))
    }

    fn show(&self, sale: &PublicSale) -> v1::Sale {
        let now = self.0.engine.now();
        let items = sale
            .items
            .iter()
            .map(|item| view::item_of_sale(&sales::look_at_item(&self.0, sale, item, now), item));
        view::sale(sale, items.collect(), now)
    }

    async fn list(
        &self,
        request: Request<v1::ListSalesRequest>,
    ) -> Result<v1::ListSalesResponse, Problem> {
        let v1::ListSalesRequest { limit, starting_after, date } = request.into_inner();
        let PageQuery { limit, starting_after } = page_query(limit, starting_after);
        let date = (!date.is_empty()).then_some(date);
        let query = SalesQuery { limit, starting_after, date };
        let found = sales::listed(&self.0, query).await?;
        let sales = found.sales.iter().map(|sale| self.show(sale)).collect();
        Ok(v1::ListSalesResponse { sales, has_more: found.has_more })
    }

    async fn one(&self, request: Request<v1::GetSaleRequest>) -> Result<v1::Sale, Problem> {
        let sale_id = SaleId(request.get_ref().sale_id);
        let sale = sales::find(&self.0, sale_id).await?;
        Ok(self.show(&sale))
    }

    async fn item(&self, request: Request<v1::GetItemRequest>) -> Result<v1::Item, Problem> {
        let edge = &*self.0;
        let item_id = ItemId(request.get_ref().item_id);
        let gate = purchase::item_with_units(edge, item_id).await?;
        let title = edge.titles.title(&edge.sales, &gate).await;
        Ok(v1::Item {
            title: title.as_ref().map(|title| title.title.to_string()),
            list_price: title.and_then(|title| title.list_price),
            ..view::item(&items::look(&gate, edge.engine.now()))
        })
    }
}

/// Returns how much of a list is asked for; what is 0 is not said.
pub fn page_query(limit: u32, starting_after: u64) -> PageQuery {
    let said = |number: u64| (number > 0).then(|| number.to_string());
    PageQuery { limit: said(limit.into()), starting_after: said(starting_after) }
}

#[tonic::async_trait]
impl v1::sales_server::Sales for Sales {
    async fn list_sales(
        &self,
        request: Request<v1::ListSalesRequest>,
    ) -> Result<Response<v1::ListSalesResponse>, Status> {
        tell(&self.0, self.list(request).await)
    }

    async fn get_sale(
        &self,
        request: Request<v1::GetSaleRequest>,
    ) -> Result<Response<v1::Sale>, Status> {
        tell(&self.0, self.one(request).await)
    }

    async fn get_item(
        &self,
        request: Request<v1::GetItemRequest>,
    ) -> Result<Response<v1::Item>, Status> {
        tell(&self.0, self.item(request).await)
    }
}
