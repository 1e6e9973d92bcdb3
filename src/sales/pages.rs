//! Sales a page at a time, newest first: all of them for operators, and those that everybody may see from the
//! read cache.

use super::Sales;
use crate::store::catalogue::CatalogueError;
use crate::store::read_cache::ReadError;
use domain::catalogue::{PUBLIC_STATUSES, Sale, SaleList};
use domain::{SaleId, SaleStatus};
use std::sync::Arc;

impl Sales {
    /// Returns a page of sales in one of these statuses, created before `before` if given; at most `limit`.
    ///
    /// # Errors
    /// Returns [`CatalogueError`] if the catalogue does not answer.
    pub async fn page(
        &self,
        statuses: &[SaleStatus],
        before: Option<SaleId>,
        limit: usize,
    ) -> Result<Vec<Sale>, CatalogueError> {
        self.catalogue.sales(statuses, before, limit).await
    }

    /// Returns what [`Self::page`] does, and whether there are more.
    ///
    /// # Errors
    /// Returns [`CatalogueError`] if the catalogue does not answer.
    pub async fn page_and_more(
        &self,
        statuses: &[SaleStatus],
        before: Option<SaleId>,
        limit: usize,
    ) -> Result<(Vec<Sale>, bool), CatalogueError> {
        let found = self.page(statuses, before, limit).await?;
        let has_more = match found.last() {
            Some(last) if found.len() == limit => {
                !self.page(statuses, Some(last.sale_id), 1).await?.is_empty()
            }
            _ => false,
        };
        Ok((found, has_more))
    }

    /// Returns a page of the sales that everybody may see, created before `before` if given; at most `limit`.
    ///
    /// # Errors
    /// Returns [`ReadError`] if neither cache nor catalogue answers.
    pub async fn public_page(
        &self,
        before: Option<SaleId>,
        limit: usize,
    ) -> Result<Arc<SaleList>, ReadError> {
        let load = async || {
            let (found, has_more) = self.page_and_more(&PUBLIC_STATUSES, before, limit).await?;
            Ok(SaleList { sales: found.iter().filter_map(Sale::public).collect(), has_more })
        };
        self.read_cache.page((before, limit), load).await
    }
}
