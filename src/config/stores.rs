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

    /// The replica of each order store, by its place; none if they have none.
    pub fn replicas(&self) -> Vec<SecretUrl> {
        match &self.replica_urls {
            Some(urls) => urls.each().to_vec(),
            None => self.replica_url.iter().cloned().collect(),
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
        must(
            self.replica_url.is_none() || self.replica_urls.is_none(),
            "orders.replica_url and orders.replica_urls: one of them. The first replica is the first URL of \
             orders.replica_urls",
        );
        let (urls, replicas) = (self.urls(), self.replicas());
        must(
            replicas.is_empty() || replicas.len() == urls.len(),
            "orders.replica_url or orders.replica_urls: one replica for each order store of orders.mysql_url or \
             orders.mysql_urls, in the same order",
        );
        must(
            replicas.iter().all(|replica| !urls.contains(replica)),
            "orders.replica_url or orders.replica_urls names an order store itself: a replica is another server",
        );
        must(
            !self.keep_until_replicated || !replicas.is_empty(),
            "orders.keep_until_replicated = true needs orders.replica_url or orders.replica_urls: the replicas that \
             are waited for",
        );
    }
}
