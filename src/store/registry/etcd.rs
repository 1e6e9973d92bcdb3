//! The registry in etcd.

use super::{
    Cluster, DrainWish, MoveWish, NodeRecord, NotedItems, Registry, RegistryError, View, Wishes,
};
use crate::store::etcd::{Condition, Etcd, EtcdError, Operation, Stored, Transaction, prefix_end};
use crate::store::journal::fenced::{OwnerRecord, Session};
use domain::{ItemId, ShardId};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::Display;
use std::str::FromStr;
use std::time::Duration;

/// The most keys of one kind that are read: far more nodes than there are shards.
const KEYS_MAX: u32 = 4_096;
/// Where what operators want is noted: between the nodes and the owners, so that one watch sees all three.
const WISHES: &str = "operators/";
/// Where items are noted.
const ITEMS: &str = "items/";
/// The most keys that one transaction sets: etcd takes 128.
const OPERATIONS_MAX: usize = 100;

/// The registry below a prefix of etcd. Cheap to clone; clones share the connection.
#[derive(Clone, Debug)]
pub struct EtcdRegistry {
    etcd: Etcd,
    prefix: String,
    lease: Duration,
}

impl EtcdRegistry {
    /// The registry below `prefix`, which ends with a slash. Sessions last `lease` without being renewed.
    pub fn new(etcd: Etcd, prefix: impl Into<String>, lease: Duration) -> Self {
        Self { etcd, prefix: prefix.into(), lease }
    }

    fn key(&self, rest: &str) -> Vec<u8> {
        format!("{}{rest}", self.prefix).into_bytes()
    }

    fn node_key(&self, node: &str) -> Vec<u8> {
        self.key(&format!("nodes/{node}"))
    }

    /// Every key below `kind`, by what follows it, at `revision`, and the revision that was read.
    async fn all<T: DeserializeOwned>(
        &self,
        kind: &str,
        revision: i64,
    ) -> Result<(Vec<(String, T)>, i64), RegistryError> {
        let start = self.key(kind);
        let page = self.etcd.range(&start, &prefix_end(&start), KEYS_MAX, revision).await?;
        let mut found = Vec::with_capacity(page.keys.len());
        for stored in &page.keys {
            let rest = stored.key.get(start.len()..).unwrap_or_default();
            let name = str::from_utf8(rest).map_err(|error| damaged(&stored.key, &error))?;
            found.push((name.to_owned(), read(stored)?));
        }
        Ok((found, page.revision))
    }

    /// What operators want, at `revision`.
    async fn wishes(&self, revision: i64) -> Result<Wishes, RegistryError> {
        let mut wishes = Wishes::default();
        let (found, _) = self.all::<Value>(WISHES, revision).await?;
        for (name, value) in found {
            let wrong = |error: &dyn Display| damaged(name.as_bytes(), &error.to_string());
            match name.split_once('/') {
                Some(("drain", node)) => {
                    let wish = serde_json::from_value(value).map_err(|error| wrong(&error))?;
                    wishes.drains.insert(node.to_owned(), wish);
                }
                Some(("move", shard)) => {
                    let shard = shard.parse().map_err(|error| wrong(&error))?;
                    let wish = serde_json::from_value(value).map_err(|error| wrong(&error))?;
                    wishes.moves.insert(ShardId(shard), wish);
                }
                // A later version's, which this one cannot fulfil.
                _ => {}
            }
        }
        Ok(wishes)
    }

    /// Waits until a key from `start` to before `end` has changed behind a revision.
    async fn next_change(
        &self,
        start: &[u8],
        end: &[u8],
        behind: i64,
    ) -> Result<(), RegistryError> {
        let mut watch = self.etcd.watch(start, end, behind + 1).await?;
        watch.next().await?;
        Ok(())
    }

    fn move_key(&self, shard: ShardId) -> Vec<u8> {
        self.key(&format!("{WISHES}move/{shard}"))
    }
}

impl Registry for EtcdRegistry {
    async fn cluster(&self) -> Result<Option<Cluster>, RegistryError> {
        self.etcd.get(&self.key("cluster")).await?.as_ref().map(read).transpose()
    }

    async fn found(&self, cluster: &Cluster) -> Result<Cluster, RegistryError> {
        let key = self.key("cluster");
        let transaction = Transaction {
            conditions: vec![Condition::Absent(key.clone())],
            then: vec![Operation::put(key.clone(), written(cluster))],
            otherwise: Vec::new(),
        };
        self.etcd.commit(transaction).await?;
        let found = self.cluster().await?;
        found.ok_or_else(|| damaged(&key, &"it is gone again"))
    }

    async fn join(&self, node: &str, record: &NodeRecord) -> Result<Session, RegistryError> {
        let lease = self.etcd.grant(self.lease).await?.id;
        let session = Session { node: node.to_owned(), incarnation: record.incarnation, lease };
        let key = self.node_key(node);
        let put = || Operation::Put { key: key.clone(), value: written(record), lease };
        let transaction = Transaction {
            conditions: vec![Condition::Absent(key.clone())],
            then: vec![put()],
            otherwise: vec![Operation::Get(key.clone())],
        };
        let answer = self.etcd.commit(transaction).await?;
        if answer.held {
            return Ok(session);
        }
        // The same run whose lease was lost, and that comes back before etcd has noticed.
        let own = answer.read.into_iter().flatten().next();
        let is_own = match &own {
            Some(found) => read::<NodeRecord>(found)?.incarnation == record.incarnation,
            None => false,
        };
        if let (Some(found), true) = (own, is_own) {
            let transaction = Transaction {
                conditions: vec![Condition::Is(key.clone(), found.value)],
                then: vec![put()],
                otherwise: Vec::new(),
            };
            if self.etcd.commit(transaction).await?.held {
                return Ok(session);
            }
        }
        // It ends by itself otherwise.
        let _ = self.etcd.revoke(lease).await;
        Err(RegistryError::NameTaken(node.to_owned()))
    }

    async fn renew(&self, session: &Session) -> Result<(), RegistryError> {
        self.etcd.keep_alive(session.lease).await?;
        Ok(())
    }

    async fn publish(&self, session: &Session, record: &NodeRecord) -> Result<(), RegistryError> {
        let key = self.node_key(&session.node);
        let (value, lease) = (written(record), session.lease);
        let transaction = Transaction {
            conditions: vec![Condition::Leased(key.clone(), lease)],
            then: vec![Operation::Put { key, value, lease }],
            otherwise: Vec::new(),
        };
        let answer = self.etcd.commit(transaction).await?;
        if answer.held { Ok(()) } else { Err(RegistryError::SessionEnded) }
    }

    async fn leave(&self, session: &Session) -> Result<(), RegistryError> {
        Ok(self.etcd.revoke(session.lease).await?)
    }

    async fn view(&self) -> Result<View, RegistryError> {
        let (nodes, revision) = self.all("nodes/", 0).await?;
        let (owned, _) = self.all::<OwnerRecord>("owner/", revision).await?;
        let mut owners = BTreeMap::new();
        for (shard, owner) in owned {
            let number = shard.parse().map_err(|error| damaged(shard.as_bytes(), &error))?;
            owners.insert(ShardId(number), owner);
        }
        let wishes = self.wishes(revision).await?;
        Ok(View { revision, nodes: nodes.into_iter().collect(), owners, wishes })
    }

    async fn note_items(&self, items: &[(ItemId, ShardId)]) -> Result<(), RegistryError> {
        for some in items.chunks(OPERATIONS_MAX) {
            let put = |(item, shard): &(ItemId, ShardId)| {
                Operation::put(self.key(&format!("{ITEMS}{item}")), shard.to_string().into_bytes())
            };
            let then = some.iter().map(put).collect();
            self.etcd.commit(Transaction { then, ..Transaction::default() }).await?;
        }
        Ok(())
    }

    async fn items(&self) -> Result<NotedItems, RegistryError> {
        let prefix = self.key(ITEMS);
        let (mut start, end) = (prefix.clone(), prefix_end(&prefix));
        // Pages of later revisions would hide from a watch behind them what the first ones lack.
        let mut revision = 0;
        let mut items = Vec::new();
        loop {
            let page = self.etcd.range(&start, &end, KEYS_MAX, revision).await?;
            revision = page.revision;
            for stored in &page.keys {
                let item = stored.key.get(prefix.len()..).unwrap_or_default();
                items
                    .push((ItemId(number(stored, item)?), ShardId(number(stored, &stored.value)?)));
            }
            match page.keys.last() {
                Some(last) if page.has_more => {
                    start.clone_from(&last.key);
                    start.push(0);
                }
                _ => return Ok(NotedItems { revision, items }),
            }
        }
    }

    async fn item_noted(&self, behind: i64) -> Result<(), RegistryError> {
        let prefix = self.key(ITEMS);
        self.next_change(&prefix, &prefix_end(&prefix), behind).await
    }

    async fn wish_drain(&self, node: &str, wish: Option<&DrainWish>) -> Result<(), RegistryError> {
        let key = self.key(&format!("{WISHES}drain/{node}"));
        let operation = match wish {
            Some(wish) => Operation::put(key, written(wish)),
            None => Operation::Delete(key),
        };
        let then = vec![operation];
        self.etcd.commit(Transaction { then, ..Transaction::default() }).await?;
        Ok(())
    }

    async fn wish_moves(
        &self,
        wishes: &[(ShardId, MoveWish)],
        lasting: Duration,
    ) -> Result<(), RegistryError> {
        if wishes.is_empty() {
            return Ok(());
        }
        let lease = self.etcd.grant(lasting).await?.id;
        for some in wishes.chunks(OPERATIONS_MAX) {
            let put = |(shard, wish): &(ShardId, MoveWish)| {
                let (key, value) = (self.move_key(*shard), written(wish));
                Operation::Put { key, value, lease }
            };
            let then = some.iter().map(put).collect();
            self.etcd.commit(Transaction { then, ..Transaction::default() }).await?;
        }
        Ok(())
    }

    async fn end_move(&self, shard: ShardId, wish: &MoveWish) -> Result<(), RegistryError> {
        let key = self.move_key(shard);
        let transaction = Transaction {
            conditions: vec![Condition::Is(key.clone(), written(wish))],
            then: vec![Operation::Delete(key)],
            otherwise: Vec::new(),
        };
        self.etcd.commit(transaction).await?;
        Ok(())
    }

    async fn changed(&self, behind: i64) -> Result<(), RegistryError> {
        // All kinds in one watch, the wishes between the other two: none of them changes often.
        self.next_change(&self.key("nodes/"), &prefix_end(&self.key("owner/")), behind).await
    }
}

impl From<EtcdError> for RegistryError {
    fn from(error: EtcdError) -> Self {
        match error {
            EtcdError::LeaseEnded => Self::SessionEnded,
            error if error.may_have_happened() => Self::Unavailable(error.to_string()),
            error => Self::Refused(error.to_string()),
        }
    }
}

fn written(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("a record is JSON")
}

fn read<T: DeserializeOwned>(stored: &Stored) -> Result<T, RegistryError> {
    serde_json::from_slice(&stored.value).map_err(|error| damaged(&stored.key, &error))
}

fn number<T: FromStr>(stored: &Stored, digits: &[u8]) -> Result<T, RegistryError> {
    let number = str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok());
    number.ok_or_else(|| damaged(&stored.key, &"no number"))
}

fn damaged(key: &[u8], why: &impl std::fmt::Display) -> RegistryError {
    RegistryError::Damaged(format!("{}: {why}", String::from_utf8_lossy(key)))
}
