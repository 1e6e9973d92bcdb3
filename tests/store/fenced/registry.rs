//! The registry in a real etcd: sessions, names, what the others see, and hints of changes.

use super::etcd::{PATIENCE, client};
use domain::{ItemId, ShardId};
use seckill::store::journal::fenced::{EtcdLog, FencedLog};
use seckill::store::registry::{
    Cluster, EtcdRegistry, FORMAT, NodeRecord, Registry, RegistryError,
};
use std::time::Duration;

const PREFIX: &str = "/seckill/registry/";
/// Longer than any pause of a busy machine.
const LEASE: Duration = Duration::from_secs(300);

fn record(incarnation: u64) -> NodeRecord {
    NodeRecord {
        incarnation,
        peer_address: "127.0.0.1:7000".to_owned(),
        http_address: "127.0.0.1:8080".to_owned(),
        version: "0.1.0".to_owned(),
        secret_fingerprint: "f00d".to_owned(),
        config_version: 0,
        is_draining: false,
        unable: Vec::new(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_is_founded_once() {
    let Some(server) = harness::etcd(1) else { return };
    let registry = EtcdRegistry::new(client(server.endpoints(), PATIENCE), PREFIX, LEASE);
    assert_eq!(registry.cluster().await, Ok(None));
    let first = Cluster { identity: "00000000000000ab".to_owned(), shards: 64, format: FORMAT };
    let second = Cluster { shards: 32, ..first.clone() };
    assert_eq!(registry.found(&first).await, Ok(first.clone()));
    assert_eq!(registry.found(&second).await, Ok(first.clone()), "what is there stays");
    assert_eq!(first.journal_id().map(|id| id.to_string()), Some(first.identity.clone()));
    server.cli(&["put", "/seckill/registry/cluster", "{}"]).expect("etcdctl");
    assert!(matches!(registry.cluster().await, Err(RegistryError::Damaged(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_is_one_process_at_a_time_and_ends_with_its_lease() {
    let Some(server) = harness::etcd(1) else { return };
    let etcd = client(server.endpoints(), PATIENCE);
    let registry = EtcdRegistry::new(etcd.clone(), PREFIX, LEASE);
    let first = registry.join("a", &record(1)).await.expect("a session");
    let taken = registry.join("a", &record(2)).await;
    assert_eq!(taken, Err(RegistryError::NameTaken("a".to_owned())));
    // The same run comes back, before etcd has noticed that it was away.
    let again = registry.join("a", &record(1)).await.expect("its own name");
    assert_ne!(again.lease, first.lease);
    assert_eq!(registry.publish(&first, &record(1)).await, Err(RegistryError::SessionEnded));
    registry.renew(&again).await.expect("renewed");
    registry.leave(&again).await.expect("left");
    assert_eq!(registry.renew(&again).await, Err(RegistryError::SessionEnded));
    registry.join("a", &record(2)).await.expect("the name is free");
}

#[tokio::test(flavor = "multi_thread")]
async fn all_see_who_lives_and_what_they_own_and_are_told_of_changes() {
    let Some(server) = harness::etcd(1) else { return };
    let etcd = client(server.endpoints(), PATIENCE);
    let registry = EtcdRegistry::new(etcd.clone(), PREFIX, LEASE);
    let log = EtcdLog::new(etcd, PREFIX);
    let session = registry.join("a", &record(7)).await.expect("a session");
    let before = registry.view().await.expect("a view");
    assert_eq!(before.nodes.keys().collect::<Vec<_>>(), ["a"]);
    assert!(before.owners.is_empty());
    let waiting = tokio::spawn({
        let registry = registry.clone();
        async move { registry.changed(before.revision).await }
    });
    let claim = log.claim(&session, ShardId(12)).await.expect("a claim");
    harness::patiently("the hint", waiting).await.expect("no panic").expect("a hint");
    let mut draining = record(7);
    draining.is_draining = true;
    registry.publish(&session, &draining).await.expect("published");
    let view = registry.view().await.expect("a view");
    assert_eq!(view.nodes["a"], draining);
    let owner = &view.owners[&ShardId(12)];
    assert_eq!((owner.node.as_str(), owner.incarnation, owner.epoch), ("a", 7, claim.epoch));
    assert!(view.revision > before.revision);
    registry.leave(&session).await.expect("left");
    let after = registry.view().await.expect("a view");
    assert!(after.nodes.is_empty() && after.owners.is_empty(), "{after:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_shard_of_an_item_is_found_by_all() {
    let Some(server) = harness::etcd(1) else { return };
    let registry = EtcdRegistry::new(client(server.endpoints(), PATIENCE), PREFIX, LEASE);
    let none = registry.items().await.expect("no items");
    assert_eq!(none.items, []);
    let waiting = tokio::spawn({
        let registry = registry.clone();
        async move { registry.item_noted(none.revision).await }
    });
    // More than one page, and more than one transaction.
    let mut items: Vec<_> = (1..=5_000).map(|item| (ItemId(item), ShardId(7))).collect();
    registry.note_items(&items).await.expect("noted");
    registry.note_items(&items[..3]).await.expect("noted again");
    harness::patiently("the hint", waiting).await.expect("no panic").expect("a hint");
    let noted = registry.items().await.expect("the items");
    assert!(noted.revision > none.revision);
    let mut found = noted.items;
    found.sort_unstable();
    items.sort_unstable();
    assert!(found == items, "{} of {}", found.len(), items.len());
    server.cli(&["put", "/seckill/registry/items/seven", "7"]).expect("etcdctl");
    assert!(matches!(registry.items().await, Err(RegistryError::Damaged(_))));
}
