//! What every place must keep to that documents of settings are in: the table of a database, and etcd.

use domain::Timestamp;
use seckill::store::catalogue::Catalogue;
use seckill::store::database::Database;
use seckill::store::settings::{SettingChange, SettingsError, SettingsStore, StoredSetting};
use serde_json::{Map, Value, json};

const NOW: Timestamp = Timestamp(1_790_000_000_000);

/// A document that says this.
pub fn content(value: u64) -> Map<String, Value> {
    Map::from_iter([("限流".to_owned(), json!(value))])
}

/// Changes the limits.
pub async fn change(
    store: &SettingsStore,
    base: u64,
    content: &Map<String, Value>,
) -> Result<StoredSetting, SettingsError> {
    change_of(store, "limits", base, content).await
}

/// Changes a document.
pub async fn change_of(
    store: &SettingsStore,
    name: &str,
    base: u64,
    content: &Map<String, Value>,
) -> Result<StoredSetting, SettingsError> {
    let change = SettingChange {
        name,
        base,
        content,
        actor: "安",
        at: NOW,
        reason: "因为",
        action: "change",
    };
    store.change(change).await
}

/// The documents that count.
pub async fn current(store: &SettingsStore) -> Vec<StoredSetting> {
    let found = store.current().await.expect("it answers");
    assert_eq!(found.refused, None);
    found.documents.by_name.into_values().collect()
}

/// Each change is a version, made from the one before it; documents have versions of their own.
pub async fn versions_and_a_history(store: &SettingsStore, log: Database) {
    assert_eq!(current(store).await, []);
    let first = change(store, 0, &content(1)).await.expect("the first");
    assert_eq!((first.version, first.content.clone()), (1, content(1)));
    let late = change(store, 0, &content(2)).await;
    assert_eq!(late, Err(SettingsError::OtherVersion { present: 1 }));
    let early = change(store, 7, &content(2)).await;
    assert_eq!(early, Err(SettingsError::OtherVersion { present: 1 }));
    let second = change(store, 1, &content(2)).await.expect("the second");
    assert_eq!(current(store).await, std::slice::from_ref(&second));
    let history = |before, limit| store.history("limits", before, limit);
    assert_eq!(history(None, 10).await, Ok(vec![second.clone(), first.clone()]));
    assert_eq!(history(None, 1).await, Ok(vec![second.clone()]));
    assert_eq!(history(Some(2), 10).await, Ok(vec![first]));
    assert_eq!(store.history("risk", None, 10).await, Ok(vec![]));
    // Nothing was logged for what was refused.
    let entries = Catalogue::new(log).log(None, 10).await.expect("the log");
    assert_eq!(entries.len(), 2);
    assert_eq!(entries[0].entry.action, "settings.change");
    assert_eq!(entries[0].entry.detail["content"], json!({ "限流": 2 }));
    let other = change_of(store, "risk", 0, &content(3)).await.expect("another document");
    assert_eq!(current(store).await, [second.clone(), other.clone()]);
    assert_eq!(store.current().await.expect("it answers").documents.version, 3);
    assert_eq!(store.history("limits", None, 1).await, Ok(vec![second]));
    assert_eq!(store.history("risk", None, 10).await, Ok(vec![other]));
}

/// Two who change the same version at once: one of them does, and it is the one that counts.
pub async fn one_of_two_at_once(store: &SettingsStore) {
    for round in 0..10 {
        let (one, other) = (content(round * 2), content(round * 2 + 1));
        let both = tokio::join!(change(store, round, &one), change(store, round, &other));
        let outcomes = [both.0, both.1];
        let winners: Vec<&StoredSetting> =
            outcomes.iter().filter_map(|o| o.as_ref().ok()).collect();
        let [winner] = winners[..] else { panic!("{outcomes:?}") };
        let loser = outcomes.iter().find_map(|outcome| outcome.as_ref().err());
        let present = round + 1;
        assert_eq!(loser, Some(&SettingsError::OtherVersion { present }));
        assert_eq!(current(store).await, std::slice::from_ref(winner));
    }
}
