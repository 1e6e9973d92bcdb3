//! Which order stores the settings name, whichever setting names them.

use super::secret_url::SecretUrl;
use super::settings::Orders;

impl Orders {
    /// The database of each order store, by its place; none if orders are kept in the data directory.
    pub fn urls(&self) -> Vec<SecretUrl> {
        match &self.mysql_urls {
            Some(urls) => urls.each().to_vec(),
            None => self.mysql_url.iter().cloned().collect(),
        }
    }

    /// Whether orders are kept in a file of the data directory.
    pub fn are_in_file(&self) -> bool {
        self.mysql_url.is_none() && self.mysql_urls.is_none()
    }

    /// What contradicts itself of it is told to `must`.
    pub(super) fn check(&self, must: &mut impl FnMut(bool, &str)) {
        must(
            self.mysql_url.is_none() || self.mysql_urls.is_none(),
            "orders.mysql_url and orders.mysql_urls: one of them. The first of several order stores is the first \
             URL of orders.mysql_urls",
        );
    }
}
