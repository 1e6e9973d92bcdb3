//! How buyers are named by their own issuer, as far as they came by one: looked up in batches and kept.
//!
//! A user's name never changes, and a user who has none never gets one: the number is drawn for the name. So an event
//! says the same whenever it is made. Never asked on the way of a purchase.

use crate::store::catalogue::{Catalogue, CatalogueError, ExternalName};
use domain::UserId;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;

/// Users that are kept. Beyond it all are forgotten and looked up again.
const USERS_MAX: usize = 65_536;

/// The names that are known. Clones share them.
#[derive(Clone)]
pub(super) struct Buyers {
    catalogue: Catalogue,
    known: Arc<Mutex<HashMap<UserId, Option<Arc<ExternalName>>>>>,
}

impl Buyers {
    pub(super) fn new(catalogue: Catalogue) -> Self {
        Self { catalogue, known: Arc::default() }
    }

    /// The names of these users, none for those who have none.
    ///
    /// # Errors
    /// Returns [`CatalogueError`] if the database does not answer.
    pub(super) async fn names(
        &self,
        users: impl Iterator<Item = UserId>,
    ) -> Result<HashMap<UserId, Option<Arc<ExternalName>>>, CatalogueError> {
        let (mut names, mut unknown) = (HashMap::new(), Vec::new());
        {
            let known = self.known.lock();
            for user_id in users {
                if names.contains_key(&user_id) {
                    continue;
                }
                if let Some(name) = known.get(&user_id) {
                    names.insert(user_id, name.clone());
                } else {
                    names.insert(user_id, None);
                    unknown.push(user_id);
                }
            }
        }
        if unknown.is_empty() {
            return Ok(names);
        }
        for (user_id, name) in self.catalogue.external_names(&unknown).await? {
            names.insert(user_id, Some(Arc::new(name)));
        }
        let mut known = self.known.lock();
        if known.len() + unknown.len() > USERS_MAX {
            known.clear();
        }
        for user_id in unknown {
            known.insert(user_id, names.get(&user_id).cloned().flatten());
        }
        Ok(names)
    }
}
