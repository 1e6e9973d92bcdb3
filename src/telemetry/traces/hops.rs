//! The way of a traced purchase to its shard and back: three spans, from times that its hops write.
//!
//! A hop reads the time and no more. The spans are made where the last hop drops this, behind the answer.

use super::context::TraceContext;
use super::recorder::Recorder;
use super::span::{Kind, Parent, Span};
use domain::ShardId;
use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

/// Waiting in the shard's mailbox.
pub const MAILBOX: &str = "mailbox";
/// Being decided; where the shard has no unit, with the wait for those of the item's other buckets.
pub const DECIDE: &str = "decide";
/// Waiting until all that the answer rests on is durable.
pub const JOURNAL_SYNC: &str = "journal sync";

/// The hops of a purchase so far, if it is traced: nothing is done and no time is read otherwise.
#[derive(Debug, Default)]
pub struct Hops(Option<Box<Times>>);

impl Hops {
    /// Those of a purchase that is not traced.
    pub const NONE: Self = Self(None);

    pub(super) fn begin(recorder: &Arc<Recorder>, parent: TraceContext) -> Self {
        Self(Some(Box::new(Times::begin(recorder, parent))))
    }

    /// The span of the request, if it is traced.
    pub fn context(&self) -> Option<TraceContext> {
        self.0.as_ref().map(|way| way.parent)
    }

    /// The shard's actor has taken it out of the mailbox.
    #[inline]
    pub fn taken(&mut self) {
        if let Some(way) = &mut self.0 {
            way.taken();
        }
    }

    /// It is decided, and has this record if it changed anything: one that the journal does not have yet.
    #[inline]
    pub fn decided(&mut self, shard: ShardId, seq: Option<u64>) {
        if let Some(way) = &mut self.0 {
            way.decided(shard, seq);
        }
    }

    /// The caller has its answer: the decision, or that there was none after all.
    #[inline]
    pub fn answered(&mut self, is_decision: bool) {
        if let Some(way) = &mut self.0 {
            way.answered(is_decision);
        }
    }
}

/// The times of a purchase on its way, and whose they are.
struct Times {
    recorder: Arc<Recorder>,
    parent: TraceContext,
    admitted_at: SystemTime,
    taken_at: Option<SystemTime>,
    decided_at: Option<SystemTime>,
    answered_at: Option<SystemTime>,
    /// The purchase's own record, if it has one.
    record: Option<(ShardId, u64)>,
}

impl fmt::Debug for Times {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Times({})", self.parent)
    }
}

impl Times {
    fn begin(recorder: &Arc<Recorder>, parent: TraceContext) -> Self {
        Self {
            admitted_at: recorder.now(),
            recorder: Arc::clone(recorder),
            parent,
            taken_at: None,
            decided_at: None,
            answered_at: None,
            record: None,
        }
    }

    fn taken(&mut self) {
        if self.taken_at.is_none() {
            self.taken_at = Some(self.recorder.now());
        }
    }

    fn decided(&mut self, shard: ShardId, seq: Option<u64>) {
        self.decided_at = Some(self.recorder.now());
        // Its shard was rebuilt, and decides it anew.
        self.forget_record();
        if let Some(seq) = seq {
            self.record = Some((shard, seq));
            self.recorder.note(shard, seq, self.parent);
        }
    }

    fn answered(&mut self, is_decision: bool) {
        self.answered_at = Some(self.recorder.now());
        if !is_decision {
            self.forget_record();
        }
    }

    fn forget_record(&mut self) {
        if let Some((shard, seq)) = self.record.take() {
            self.recorder.forget(shard, seq);
        }
    }

    fn span(&self, name: &'static str, started_at: SystemTime) -> Span {
        let parent = Parent::Here(self.parent);
        Span::begin(&self.recorder, (Kind::Internal, name), parent, started_at)
    }
}

impl Drop for Times {
    // Kept out of the way of all the purchases that are not traced.
    #[cold]
    #[inline(never)]
    fn drop(&mut self) {
        // What no actor has looked at and nobody was told of was not delivered, and goes another way.
        if self.taken_at.is_none() && self.answered_at.is_none() {
            return;
        }
        let ended_at = self.answered_at.unwrap_or_else(|| self.recorder.now());
        let taken_at = self.taken_at.unwrap_or(ended_at);
        self.span(MAILBOX, self.admitted_at).end_at(taken_at);
        let Some(decided_at) = self.decided_at else { return };
        self.span(DECIDE, taken_at).end_at(decided_at);
        let mut sync = self.span(JOURNAL_SYNC, decided_at);
        if let Some((shard, seq)) = self.record {
            sync.number("seckill.shard", u64::from(shard.0));
            sync.number("seckill.seq", seq);
        }
        if self.answered_at.is_none() {
            self.forget_record();
            sync.fail("no answer: what it rests on did not become durable here");
        }
        sync.end_at(ended_at);
    }
}
