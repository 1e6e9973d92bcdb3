//! The fenced log in etcd. Below the cluster's prefix, for each shard `s` in decimal digits:
//!
//! ```text
//! owner/{s}         who owns it, as JSON; ends with its session's lease
//! epoch/{s}         the last claim, as JSON: written by claims alone
//! head/{s}          where the log ends, and the epoch that may append
//! log/{s}/{n:016x}  the batches
//! base/{s}          what was trimmed
//! nodes/{node}      the node's session, written elsewhere; a claim needs it to be there
//! ```

use super::batch::StoredBatch;
use super::head::{Base, Head};
use super::{Appended, Claim, ClaimError, Entry, FencedLog, LogError, Session};
use crate::store::etcd::{
    Condition, Etcd, EtcdError, Operation, Stored, Transaction, TransactionAnswer, prefix_end,
};
use domain::ShardId;
use rand::RngExt;
use serde::{Deserialize, Serialize};

/// A fenced log in etcd. Cheap to clone; clones share the connection.
#[derive(Clone, Debug)]
pub struct EtcdLog {
    pub(super) etcd: Etcd,
    pub(super) keys: Keys,
}

/// Where the log's keys are.
#[derive(Clone, Debug)]
pub(super) struct Keys {
    pub(super) prefix: String,
}

/// The value of `owner/{s}`: who owns a shard.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct OwnerRecord {
    /// The node's name.
    pub node: String,
    /// Which run of it.
    pub incarnation: u64,
    /// The epoch of its claim.
    pub epoch: u64,
}

/// The value of `epoch/{s}`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Epoch {
    pub(super) epoch: u64,
    pub(super) incarnation: u64,
    pub(super) nonce: u64,
}

/// What a claim finds.
struct Present {
    owner: Option<OwnerRecord>,
    epoch: Option<(Vec<u8>, Epoch)>,
    head: Option<(Vec<u8>, Head)>,
    base: Base,
}

/// How often a trim looks again at a base that changes meanwhile.
const TRIM_ATTEMPTS_MAX: usize = 4;

impl EtcdLog {
    /// The log below `prefix`, which ends with a slash: `/seckill/shop/`.
    pub fn new(etcd: Etcd, prefix: impl Into<String>) -> Self {
        Self { etcd, keys: Keys { prefix: prefix.into() } }
    }

    /// Reads everything that a claim depends on, at one revision.
    async fn present(&self, shard: ShardId) -> Result<Present, LogError> {
        let keys = [
            self.keys.owner(shard),
            self.keys.epoch(shard),
            self.keys.head(shard),
            self.keys.base(shard),
        ];
        let then = keys.into_iter().map(Operation::Get).collect();
        let answer = self.etcd.commit(Transaction { then, ..Transaction::default() }).await?;
        let [owner, epoch, head, base] = <[Option<Stored>; 4]>::try_from(answer.read)
            .map_err(|_| LogError::Refused("etcd answered with too little".to_owned()))?;
        Ok(Present {
            owner: owner.map(|found| json(&found)).transpose()?,
            epoch: epoch
                .map(|found| Ok::<_, LogError>((found.value.clone(), json(&found)?)))
                .transpose()?,
            head: head
                .map(|found| match Head::decode(&found.value) {
                    Ok(head) => Ok((found.value, head)),
                    Err(error) => Err(damaged(&found.key, &error)),
                })
                .transpose()?,
            base: base.as_ref().map(base_of).transpose()?.unwrap_or_default(),
        })
    }

    /// The claim that this transaction makes if everything is as it was seen.
    fn claiming(
        &self,
        session: &Session,
        shard: ShardId,
        present: &Present,
    ) -> (Claim, Transaction) {
        let head = present.head.as_ref().map_or_else(Head::default, |(_, head)| *head);
        let last = present.epoch.as_ref().map_or(0, |(_, last)| last.epoch);
        let epoch = last.max(head.epoch) + 1;
        let claim = Claim {
            shard,
            epoch,
            head: Head { epoch, ..head },
            base: present.base,
            session: session.clone(),
            nonce: rand::rng().random(),
        };
        let conditions = vec![
            Condition::Absent(self.keys.owner(shard)),
            as_seen(self.keys.epoch(shard), present.epoch.as_ref().map(|(bytes, _)| bytes)),
            as_seen(self.keys.head(shard), present.head.as_ref().map(|(bytes, _)| bytes)),
            Condition::Leased(self.keys.node(&session.node), session.lease),
        ];
        let then = vec![
            self.put_owner(session, &claim),
            Operation::put(self.keys.epoch(shard), epoch_value(&claim)),
            Operation::put(self.keys.head(shard), claim.head.encode()),
            // Until now the owner before could trim.
            Operation::Get(self.keys.base(shard)),
        ];
        let otherwise = vec![
            Operation::Get(self.keys.owner(shard)),
            Operation::Get(self.keys.node(&session.node)),
        ];
        (claim, Transaction { conditions, then, otherwise })
    }

    fn put_owner(&self, session: &Session, claim: &Claim) -> Operation {
        Operation::Put {
            key: self.keys.owner(claim.shard),
            value: owner_value(claim),
            lease: session.lease,
        }
    }

    /// Why a claim was refused.
    fn refusal(
        &self,
        session: &Session,
        shard: ShardId,
        answer: &TransactionAnswer,
    ) -> Result<ClaimError, LogError> {
        let mut read = answer.read.iter();
        let (owner, node) = (read.next().cloned().flatten(), read.next().cloned().flatten());
        if node.is_none_or(|node| node.lease != session.lease) {
            return Ok(ClaimError::SessionEnded);
        }
        Ok(match owner.map(|found| json::<OwnerRecord>(&found)).transpose()? {
            Some(owner) => ClaimError::Owned { shard, node: owner.node },
            None => ClaimError::Raced(shard),
        })
    }
}

impl FencedLog for EtcdLog {
    async fn claim(&self, session: &Session, shard: ShardId) -> Result<Claim, ClaimError> {
        let present = self.present(shard).await?;
        if let Some(owner) = &present.owner {
            let is_own = owner.node == session.node && owner.incarnation == session.incarnation;
            if !is_own {
                return Err(ClaimError::Owned { shard, node: owner.node.clone() });
            }
            // An earlier claim of this session whose answer was lost.
            if let (Some((_, head)), Some((_, last))) = (&present.head, &present.epoch)
                && head.epoch == owner.epoch
                && last.epoch == owner.epoch
            {
                let claim = Claim {
                    shard,
                    epoch: owner.epoch,
                    head: *head,
                    base: present.base,
                    session: session.clone(),
                    nonce: last.nonce,
                };
                self.renew(session, &claim).await.map_err(|error| match error {
                    LogError::NotOwner(shard) => ClaimError::Raced(shard),
                    error => ClaimError::Log(error),
                })?;
                return Ok(claim);
            }
            return Err(ClaimError::Raced(shard));
        }
        let (mut claim, transaction) = self.claiming(session, shard, &present);
        let answer = match self.etcd.commit(transaction).await {
            Ok(answer) => answer,
            Err(error) if error.may_have_happened() => {
                let last = self.etcd.get(&self.keys.epoch(shard)).await.map_err(LogError::from)?;
                return match last {
                    Some(last) if last.value == epoch_value(&claim) => {
                        claim.base = self.present(shard).await?.base;
                        Ok(claim)
                    }
                    _ => Err(ClaimError::Log(error.into())),
                };
            }
            Err(error) => return Err(ClaimError::Log(error.into())),
        };
        if !answer.held {
            return Err(self.refusal(session, shard, &answer)?);
        }
        let base = answer.read.first().and_then(Option::as_ref);
        claim.base = base.map(base_of).transpose()?.unwrap_or_default();
        Ok(claim)
    }

    async fn renew(&self, session: &Session, claim: &Claim) -> Result<(), LogError> {
        // Nobody claims without changing the epoch, so that one comparison says that the shard was not
        // claimed since; who is the owner of record is not asked.
        let transaction = Transaction {
            conditions: vec![
                Condition::Is(self.keys.epoch(claim.shard), epoch_value(claim)),
                Condition::Leased(self.keys.node(&session.node), session.lease),
            ],
            then: vec![self.put_owner(session, claim)],
            otherwise: Vec::new(),
        };
        let answer = self.etcd.commit(transaction).await?;
        if answer.held { Ok(()) } else { Err(LogError::NotOwner(claim.shard)) }
    }

    async fn append(&self, entries: &[Entry]) -> Appended {
        let mut transaction = Transaction::default();
        for entry in entries {
            let head = self.keys.head(entry.shard);
            transaction.conditions.push(Condition::Is(head.clone(), entry.expected.encode()));
            transaction.then.push(Operation::put(head.clone(), entry.next.encode()));
            let batch = self.keys.batch(entry.shard, entry.next.batch);
            transaction.then.push(Operation::put(batch, entry.bytes.clone()));
            transaction.otherwise.push(Operation::Get(head));
        }
        match self.etcd.commit(transaction).await {
            Ok(answer) if answer.held => Appended::Done,
            Ok(answer) => {
                let heads = answer.read.into_iter();
                let heads: Vec<Option<Head>> = heads
                    .map(|head| head.and_then(|head| Head::decode(&head.value).ok()))
                    .collect();
                if heads.len() == entries.len() {
                    Appended::Refused(heads)
                } else {
                    Appended::Unknown("etcd answered with too little".to_owned())
                }
            }
            Err(EtcdError::NoSpace) => Appended::Full,
            Err(error) => Appended::Unknown(error.to_string()),
        }
    }

    async fn head(&self, shard: ShardId) -> Result<Option<Head>, LogError> {
        let found = self.etcd.get(&self.keys.head(shard)).await?;
        let Some(found) = found else { return Ok(None) };
        Head::decode(&found.value).map(Some).map_err(|error| damaged(&found.key, &error))
    }

    async fn read(
        &self,
        shard: ShardId,
        after: u64,
        batches_max: usize,
    ) -> Result<Vec<StoredBatch>, LogError> {
        let limit = u32::try_from(batches_max).unwrap_or(u32::MAX);
        let (start, end) = (self.keys.batch(shard, after + 1), prefix_end(&self.keys.log(shard)));
        let page = self.etcd.range(&start, &end, limit, 0).await?;
        let mut batches = Vec::with_capacity(page.keys.len());
        for found in page.keys {
            let batch =
                StoredBatch::decode(found.value).map_err(|error| damaged(&found.key, &error))?;
            let expected = batches.last().map(|last: &StoredBatch| last.batch + 1);
            if found.key != self.keys.batch(shard, batch.batch)
                || expected.is_some_and(|expected| expected != batch.batch)
            {
                return Err(damaged(&found.key, &"a batch is missing before it"));
            }
            batches.push(batch);
        }
        Ok(batches)
    }

    async fn trim(&self, claim: &Claim, base: Base) -> Result<(), LogError> {
        let shard = claim.shard;
        let (epoch_key, base_key) = (self.keys.epoch(shard), self.keys.base(shard));
        let mut seen = (claim.base != Base::default()).then(|| claim.base.encode());
        for _ in 0..TRIM_ATTEMPTS_MAX {
            // Compared, because an earlier one that comes late would put its base in the place of this one,
            // and the batches between the two are gone.
            let as_seen = match &seen {
                Some(value) => Condition::Is(base_key.clone(), value.clone()),
                None => Condition::Absent(base_key.clone()),
            };
            let transaction = Transaction {
                conditions: vec![Condition::Is(epoch_key.clone(), epoch_value(claim)), as_seen],
                then: vec![
                    Operation::DeleteRange(
                        self.keys.batch(shard, 0),
                        self.keys.batch(shard, base.batch.saturating_add(1)),
                    ),
                    Operation::put(base_key.clone(), base.encode()),
                ],
                otherwise: vec![
                    Operation::Get(epoch_key.clone()),
                    Operation::Get(base_key.clone()),
                ],
            };
            let answer = self.etcd.commit(transaction).await?;
            if answer.held {
                return Ok(());
            }
            let mut read = answer.read.into_iter();
            let epoch = read.next().flatten();
            if epoch.is_none_or(|epoch| epoch.value != epoch_value(claim)) {
                return Err(LogError::NotOwner(shard));
            }
            // The answer to an earlier one was lost, or that one was late.
            let present = read.next().flatten();
            let decoded = present.as_ref().map(base_of).transpose()?;
            if decoded.is_some_and(|present| present.batch >= base.batch) {
                return Ok(());
            }
            seen = present.map(|present| present.value);
        }
        Err(LogError::Unavailable("the base of the log keeps changing".to_owned()))
    }

    async fn release(&self, claim: &Claim) -> Result<(), LogError> {
        let owner = self.keys.owner(claim.shard);
        let transaction = Transaction {
            conditions: vec![Condition::Is(owner.clone(), owner_value(claim))],
            then: vec![Operation::Delete(owner)],
            otherwise: Vec::new(),
        };
        self.etcd.commit(transaction).await?;
        Ok(())
    }
}

fn base_of(found: &Stored) -> Result<Base, LogError> {
    Base::decode(&found.value).map_err(|error| damaged(&found.key, &error))
}

impl Keys {
    fn of(&self, kind: &str, shard: ShardId) -> Vec<u8> {
        format!("{}{kind}/{}", self.prefix, shard.0).into_bytes()
    }

    fn owner(&self, shard: ShardId) -> Vec<u8> {
        self.of("owner", shard)
    }

    pub(super) fn epoch(&self, shard: ShardId) -> Vec<u8> {
        self.of("epoch", shard)
    }

    pub(super) fn head(&self, shard: ShardId) -> Vec<u8> {
        self.of("head", shard)
    }

    pub(super) fn base(&self, shard: ShardId) -> Vec<u8> {
        self.of("base", shard)
    }

    pub(super) fn log(&self, shard: ShardId) -> Vec<u8> {
        format!("{}log/{}/", self.prefix, shard.0).into_bytes()
    }

    pub(super) fn batch(&self, shard: ShardId, batch: u64) -> Vec<u8> {
        format!("{}log/{}/{batch:016x}", self.prefix, shard.0).into_bytes()
    }

    fn node(&self, node: &str) -> Vec<u8> {
        format!("{}nodes/{node}", self.prefix).into_bytes()
    }
}

impl From<EtcdError> for LogError {
    fn from(error: EtcdError) -> Self {
        match error {
            EtcdError::Unknown(why) => Self::Unavailable(why),
            EtcdError::NoSpace => Self::Full,
            error => Self::Refused(error.to_string()),
        }
    }
}

fn as_seen(key: Vec<u8>, value: Option<&Vec<u8>>) -> Condition {
    match value {
        Some(value) => Condition::Is(key, value.clone()),
        None => Condition::Absent(key),
    }
}

fn owner_value(claim: &Claim) -> Vec<u8> {
    let owner = OwnerRecord {
        node: claim.session.node.clone(),
        incarnation: claim.session.incarnation,
        epoch: claim.epoch,
    };
    serialized(&owner)
}

fn epoch_value(claim: &Claim) -> Vec<u8> {
    let incarnation = claim.session.incarnation;
    serialized(&Epoch { epoch: claim.epoch, incarnation, nonce: claim.nonce })
}

fn serialized(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("numbers and a name are JSON")
}

fn json<'a, T: Deserialize<'a>>(found: &'a Stored) -> Result<T, LogError> {
    serde_json::from_slice(&found.value).map_err(|error| damaged(&found.key, &error))
}

fn damaged(key: &[u8], why: &impl std::fmt::Display) -> LogError {
    LogError::Damaged(format!("{}: {why}", String::from_utf8_lossy(key)))
}
