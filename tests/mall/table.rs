//! A receiver's table, shared by its listener and the test.

use super::account::Account;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What a receiver keeps.
pub type Shared<Table> = Arc<Mutex<Table>>;

/// Looks into a table, or changes it.
pub fn lock<Table>(shared: &Mutex<Table>) -> MutexGuard<'_, Table> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An account as it is at this moment.
pub fn seen<Table>(shared: &Shared<Table>, account: impl Fn(&Table) -> &Account) -> Account {
    account(&lock(shared)).clone()
}
