//! The way between a node and the cluster's log: every call is a message, and so is its answer.
//!
//! A node's calls wait here until the world takes them; what becomes of them on their way is the world's to
//! decide. Knows calls and answers; must not know time.

use super::plant::Plant;
use domain::ShardId;
use futures_util::FutureExt;
use harness::Random;
use parking_lot::Mutex;
use seckill::store::journal::fenced::{
    Appended, Base, Claim, ClaimError, Entry, FencedLog, Head, LogError, MemoryLog, OwnerRecord,
    Session, StoredBatch,
};
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

/// What a node asks of registry and log.
#[derive(Clone, Debug)]
pub enum Call {
    Join { incarnation: u64 },
    KeepAlive(Session),
    View,
    Head(ShardId),
    Claim { session: Session, shard: ShardId, seen: Option<Head> },
    Renew { session: Session, claim: Claim },
    Append(Vec<Entry>),
    Read { shard: ShardId, after: u64, batches_max: usize },
    Trim { claim: Claim, base: Base },
    Release(Claim),
}

/// What it hears, or that it heard nothing in time.
#[derive(Clone, Debug)]
pub enum Answer {
    Silence,
    /// No session if another run of the node has its name.
    Joined(Option<Session>),
    /// Whether the session lasts.
    KeptAlive(bool),
    View(View),
    Head(Option<Head>),
    Claimed(Result<Claim, ClaimError>),
    Done(Result<(), LogError>),
    Appended(Appended),
    Batches(Result<Vec<StoredBatch>, LogError>),
}

/// Who lives and who owns what, as the registry says.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// The run of each node that has a session.
    pub nodes: BTreeMap<String, u64>,
    pub owners: BTreeMap<ShardId, OwnerRecord>,
}

/// One run of a node's end of the way. Clones share it.
#[derive(Clone)]
pub struct Wire(Arc<Mutex<State>>);

struct State {
    next: u64,
    outgoing: Vec<(u64, Call)>,
    answers: BTreeMap<u64, Answer>,
    /// Decides what becomes of trims, which their caller waits for without time passing.
    trims: Random,
    trim_faults: u64,
}

impl Wire {
    pub fn new(trims: Random) -> Self {
        let (outgoing, answers) = (Vec::new(), BTreeMap::new());
        Self(Arc::new(Mutex::new(State { next: 0, outgoing, answers, trims, trim_faults: 0 })))
    }

    /// Sets how many of a hundred trims go wrong.
    pub fn set_trim_faults(&self, in_hundred: u64) {
        self.0.lock().trim_faults = in_hundred;
    }

    /// The calls that were sent since the last time, by their numbers.
    pub fn take_outgoing(&self) -> Vec<(u64, Call)> {
        std::mem::take(&mut self.0.lock().outgoing)
    }

    /// The answer to a call has arrived. Only the first one counts.
    pub fn answer(&self, number: u64, answer: Answer) {
        self.0.lock().answers.entry(number).or_insert(answer);
    }

    /// Sends a call and waits for its answer.
    pub fn ask(&self, call: Call) -> impl Future<Output = Answer> + Send + use<> {
        let mut state = self.0.lock();
        let number = state.next;
        state.next += 1;
        state.outgoing.push((number, call));
        drop(state);
        let state = Arc::clone(&self.0);
        poll_fn(move |_| match state.lock().answers.remove(&number) {
            Some(answer) => Poll::Ready(answer),
            None => Poll::Pending,
        })
    }
}

/// The log as one run of a node reaches it.
#[derive(Clone)]
pub struct NodeLog {
    wire: Wire,
    /// The log itself, for what is not worth a message.
    log: MemoryLog,
    plant: Option<Plant>,
}

impl NodeLog {
    pub fn new(wire: Wire, log: MemoryLog, plant: Option<Plant>) -> Self {
        Self { wire, log, plant }
    }

    /// The bug that is planted, if there is one.
    pub fn plant(&self) -> Option<Plant> {
        self.plant
    }

    fn is_hasty(&self) -> bool {
        self.plant == Some(Plant::RefusedTakenForFenced)
    }
}

fn away() -> LogError {
    LogError::Unavailable("no answer in time".to_owned())
}

impl FencedLog for NodeLog {
    async fn claim(&self, session: &Session, shard: ShardId) -> Result<Claim, ClaimError> {
        let Answer::Head(seen) = self.wire.ask(Call::Head(shard)).await else {
            return Err(away().into());
        };
        let claim = Call::Claim { session: session.clone(), shard, seen };
        match self.wire.ask(claim).await {
            Answer::Claimed(claimed) => claimed,
            _ => Err(away().into()),
        }
    }

    async fn renew(&self, session: &Session, claim: &Claim) -> Result<(), LogError> {
        let renew = Call::Renew { session: session.clone(), claim: claim.clone() };
        match self.wire.ask(renew).await {
            Answer::Done(done) => done,
            _ => Err(away()),
        }
    }

    async fn append(&self, entries: &[Entry]) -> Appended {
        match self.wire.ask(Call::Append(entries.to_vec())).await {
            Answer::Appended(Appended::Refused(heads)) if self.is_hasty() => {
                Appended::Refused(heads.into_iter().map(|_| None).collect())
            }
            Answer::Appended(appended) => appended,
            _ if self.plant == Some(Plant::SilenceTakenForDone) => Appended::Done,
            _ => Appended::Unknown("no answer in time".to_owned()),
        }
    }

    async fn head(&self, shard: ShardId) -> Result<Option<Head>, LogError> {
        match self.wire.ask(Call::Head(shard)).await {
            Answer::Head(head) => Ok(head),
            _ => Err(away()),
        }
    }

    async fn read(
        &self,
        shard: ShardId,
        after: u64,
        batches_max: usize,
    ) -> Result<Vec<StoredBatch>, LogError> {
        // The committer alone reads one batch: to see whether what was refused has landed.
        if self.is_hasty() && batches_max == 1 {
            return Ok(Vec::new());
        }
        match self.wire.ask(Call::Read { shard, after, batches_max }).await {
            Answer::Batches(batches) => batches,
            _ => Err(away()),
        }
    }

    async fn trim(&self, claim: &Claim, base: Base) -> Result<(), LogError> {
        let trim = Call::Trim { claim: claim.clone(), base };
        let mut state = self.wire.0.lock();
        let faults = state.trim_faults;
        if state.trims.below(100) >= faults {
            return self.log.trim(claim, base).now_or_never().unwrap_or_else(|| Err(away()));
        }
        // It arrives later, or never; nobody waits for the answer any more.
        let number = state.next;
        state.next += 1;
        state.outgoing.push((number, trim));
        Err(away())
    }

    async fn release(&self, claim: &Claim) -> Result<(), LogError> {
        match self.wire.ask(Call::Release(claim.clone())).await {
            Answer::Done(done) => done,
            _ => Err(away()),
        }
    }
}
