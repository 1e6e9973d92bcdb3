//! Whose the tables are.

use super::{Bench, lose_the_owner, rows};
use seckill::store::database::Database;
use seckill::store::journal::JournalId;
use seckill::store::orders::OrderStore;
use std::num::NonZeroU64;

const FIRST: JournalId = JournalId(NonZeroU64::MAX);
const SECOND: JournalId = JournalId(NonZeroU64::MIN);

pub async fn the_first_journal_has_the_tables(database: Database) {
    let store = OrderStore::new(&database);
    assert_eq!(store.owner().await, Ok(None));
    assert_eq!(store.assign_owner(FIRST).await, Ok(FIRST));
    assert_eq!(store.assign_owner(SECOND).await, Ok(FIRST));
    assert_eq!(store.assign_owner(FIRST).await, Ok(FIRST));
    assert_eq!(store.owner().await, Ok(Some(FIRST)));
}

pub async fn of_several_journals_at_once_one_has_the_tables(database: Database) {
    let store = OrderStore::new(&database);
    let journals: Vec<JournalId> = (0..8).map(|_| JournalId::random()).collect();
    let assigned = journals.iter().map(|journal| store.assign_owner(*journal));
    let owners = futures_util::future::join_all(assigned).await;
    let owner = store.owner().await.expect("the owner is read").expect("there is one");
    assert!(journals.contains(&owner));
    assert!(owners.iter().all(|told| *told == Ok(owner)), "{owner} {owners:?}");
}

pub async fn an_owner_lasts_and_tables_without_one_get_it(bench: &Bench, database: Database) {
    rows::fill(&database).await;
    lose_the_owner(bench).await;
    let database = bench.open().await;
    let store = OrderStore::new(&database);
    assert_eq!(store.owner().await, Ok(None));
    assert_eq!(store.assign_owner(FIRST).await, Ok(FIRST));
    database.close().await;
    let database = bench.open().await;
    let store = OrderStore::new(&database);
    assert_eq!(store.assign_owner(SECOND).await, Ok(FIRST));
    rows::is_filled(&database).await;
    database.close().await;
}
