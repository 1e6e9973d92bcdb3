//! A connection goes back to its pool only if nothing is left in it of what it was taken for.
//!
//! Who asked may go away in the middle: a buyer hangs up, a task is ended. The work is dropped then wherever
//! it waits, and the driver may have begun a transaction that nobody is left to end. In the pool, such a
//! connection would refuse all who come after; so it is closed, and the database rolls back what it held.

use scopeguard::ScopeGuard;
use sqlx::pool::PoolConnection;

/// Does `work` on a pool's connection, and gives that back if the work came to its end and did not fail
/// with what `is_fault` takes for a failure of the database. It is closed otherwise, also where the work is
/// dropped before its end.
///
/// # Errors
/// Returns the error of `work`.
pub(in crate::store) async fn lend<DB: sqlx::Database, T, E>(
    connection: PoolConnection<DB>,
    is_fault: impl FnOnce(&E) -> bool,
    work: impl AsyncFnOnce(&mut DB::Connection) -> Result<T, E>,
) -> Result<T, E> {
    let mut lent = scopeguard::guard(connection, |connection| drop(connection.detach()));
    let result = work(&mut lent).await;
    if !result.as_ref().is_err_and(is_fault) {
        drop(ScopeGuard::into_inner(lent));
    }
    result
}
