//! Settings and the entries of lists.

use crate::settings_contract as contract;
use domain::risk::EntryKind;
use domain::{Timestamp, UserId};
use seckill::store::database::Database;
use seckill::store::settings::{NewEntry, Position, SettingsError, SettingsStore};

const NOW: Timestamp = Timestamp(1_790_000_000_000);

/// Each change is a version, made from the one before it.
pub async fn settings_have_versions_and_a_history(database: Database) {
    contract::versions_and_a_history(&SettingsStore::new(database.clone()), database).await;
}

/// Two who change the same version at once: one of them does, and it is the one that counts.
pub async fn of_two_changes_at_once_one_is_made(database: Database) {
    contract::one_of_two_at_once(&SettingsStore::new(database)).await;
}

/// Who follows the changes has the entries.
pub async fn entries_are_followed_by_their_changes(database: Database) {
    let store = SettingsStore::new(database);
    let entry = |user: u64, expires_at| NewEntry {
        kind: EntryKind::DenyUser(UserId(user)),
        note: "脚本".to_owned(),
        expires_at,
    };
    let network = NewEntry {
        kind: EntryKind::DenyAddress("2001:db8::/32".parse().expect("a network")),
        note: String::new(),
        expires_at: Some(NOW),
    };
    let begin = Position::default();
    let nothing = store.changed_entries(begin, 10).await.expect("it answers");
    assert_eq!((nothing.entries.len(), nothing.position), (0, begin));
    let batch = [entry(1, None), network.clone(), entry(3, None)];
    let ids = store.add_entries(&batch, &[], "ann", NOW).await.expect("added");
    let more = store.add_entries(&[entry(4, Some(NOW))], &[], "bob", NOW).await.expect("added");
    assert!(ids.len() == 3 && ids.is_sorted() && more[0] > ids[2], "{ids:?} {more:?}");
    // In parts.
    let mut position = begin;
    let mut seen = Vec::new();
    loop {
        let page = store.changed_entries(position, 3).await.expect("it answers");
        let is_last = page.entries.len() < 3;
        position = page.position;
        seen.extend(page.entries);
        if is_last {
            break;
        }
    }
    let kinds: Vec<NewEntry> = seen.iter().map(|listed| listed.entry.clone()).collect();
    assert_eq!(kinds, [entry(1, None), network, entry(3, None), entry(4, Some(NOW))]);
    assert!(seen.iter().all(|listed| !listed.is_removed));
    assert_eq!((seen[0].actor.as_str(), seen[3].actor.as_str()), ("ann", "bob"));
    // A removal is a change, and the entry is not listed any more.
    assert_eq!(store.remove_entry(ids[1], "bob", NOW).await, Ok(()));
    assert_eq!(store.remove_entry(ids[1], "bob", NOW).await, Err(SettingsError::NotFound));
    assert_eq!(store.remove_entry(999, "bob", NOW).await, Err(SettingsError::NotFound));
    let changed = store.changed_entries(position, 10).await.expect("it answers").entries;
    assert_eq!(changed.len(), 1);
    assert!(changed[0].is_removed && changed[0].entry_id == ids[1]);
    let listed = store.entries(None, 10).await.expect("it answers");
    let numbers: Vec<u64> = listed.iter().map(|listed| listed.entry_id).collect();
    assert_eq!(numbers, [more[0], ids[2], ids[0]]);
    let before = store.entries(Some(ids[2]), 10).await.expect("it answers");
    assert_eq!(before.len(), 1);
    // One that takes the place of others is seen with their removal.
    let page = store.changed_entries(position, 10).await.expect("it answers");
    let newer =
        store.add_entries(&[entry(3, None)], &[ids[2], 999], "ann", NOW).await.expect("added");
    let changed = store.changed_entries(page.position, 10).await.expect("it answers").entries;
    let seen: Vec<(u64, bool)> =
        changed.iter().map(|listed| (listed.entry_id, listed.is_removed)).collect();
    assert_eq!(seen, [(ids[2], true), (newer[0], false)]);
}
