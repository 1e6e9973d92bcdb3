//! A node's place in the cluster, step by step as the product's member takes them: it renews its session,
//! and looks again and again at what it should serve.

use super::membership::{Departure, Doing, Job, Standing};
use super::node::{Deed, Node};
use super::plant::Plant;
use super::question::{Answered, Reply};
use super::serving::Served;
use super::shop::{LEASE, LEASE_MARGIN, SHARDS};
use super::takeover::{Taken, take_over};
use super::wire::{Answer, Call, View};
use domain::ShardId;
use futures_util::FutureExt;
use seckill::store::journal::fenced::{FencedLog, LogError, Session};

/// The time between two looks that nothing asked for.
const LOOK: u64 = 400;
/// How long a shard is left alone that could not be taken over.
const RETRY: u64 = 800;

impl Node {
    /// Renews the session, and begins another one when it has ended or may have.
    pub fn keep_session(&mut self, now: u64) {
        if let Some((called_at, call)) = &mut self.membership.calling {
            let called_at = *called_at;
            let Some(answer) = call.now_or_never() else { return };
            self.membership.calling = None;
            self.hear(now, called_at, answer);
        }
        if now < self.membership.next_call {
            return;
        }
        let call = match &self.membership.standing {
            Some(standing) => Call::KeepAlive(standing.session.clone()),
            None => Call::Join { incarnation: self.incarnation },
        };
        self.membership.next_call = now + LEASE / 3;
        self.membership.calling = Some((now, self.wire.ask(call).boxed()));
    }

    fn hear(&mut self, now: u64, called_at: u64, answer: Answer) {
        let membership = &mut self.membership;
        match (answer, membership.standing.as_mut()) {
            (Answer::Joined(Some(session)), None) => {
                let standing = Standing { session, renewed_at: called_at, is_whole: false };
                membership.standing = Some(standing);
                membership.next_look = now;
                return;
            }
            (Answer::KeptAlive(true), Some(standing)) => {
                standing.renewed_at = called_at;
                if standing.is_whole {
                    self.extend(called_at);
                }
                return;
            }
            (Answer::KeptAlive(false), Some(_)) => {}
            (_, Some(standing)) if now >= standing.renewed_at + LEASE - LEASE_MARGIN => {}
            _ => {
                membership.next_call = now + LEASE / 10;
                return;
            }
        }
        self.begin_again(now);
    }

    /// Counts on the lease from before the call that renewed it.
    fn extend(&mut self, called_at: u64) {
        self.membership.live_until = self.membership.live_until.max(called_at + LEASE);
    }

    /// The session has ended, or may have: until all is put down under another one, only what is on record
    /// is answered.
    fn begin_again(&mut self, now: u64) {
        self.membership.standing = None;
        self.membership.live_until = 0;
        self.membership.next_call = now;
    }

    /// Does what the registry asks for.
    pub fn tend(&mut self, now: u64) {
        while let Some(lost) = self.journal.newly_fenced.pop() {
            self.membership.jobs.push_front(Job::Leave(lost, Departure::Lost));
        }
        // Each step may make room for the next one; what waits for an answer ends the loop.
        while self.tend_once(now) {}
    }

    fn tend_once(&mut self, now: u64) -> bool {
        if let Some((shard, departure)) = self.membership.leaving {
            let is_over = !self.journal.waits_for(shard);
            if is_over {
                self.leave(shard, departure);
            }
            return is_over;
        }
        if let Some(doing) = self.membership.doing.take() {
            return self.go_on(now, doing);
        }
        if let Some(job) = self.membership.jobs.pop_front() {
            self.begin(job);
            return true;
        }
        if now < self.membership.next_look || self.membership.standing.is_none() {
            return false;
        }
        self.membership.next_look = now + LOOK / 2 + self.random.below(LOOK);
        self.membership.doing = Some(Doing::View(self.wire.ask(Call::View).boxed()));
        true
    }

    /// Polls what is being done. Returns whether it is over.
    fn go_on(&mut self, now: u64, doing: Doing) -> bool {
        match doing {
            Doing::View(mut view) => match view.as_mut().now_or_never() {
                None => self.membership.doing = Some(Doing::View(view)),
                Some(Answer::View(view)) => {
                    self.look(now, &view);
                    return true;
                }
                Some(_) => return true,
            },
            Doing::Renew(shard, session, mut renew) => match renew.as_mut().now_or_never() {
                None => self.membership.doing = Some(Doing::Renew(shard, session, renew)),
                Some(renewed) => {
                    self.renewed(shard, &session, renewed);
                    return true;
                }
            },
            Doing::Take(mut take) => match take.as_mut().now_or_never() {
                None => self.membership.doing = Some(Doing::Take(take)),
                Some(taken) => {
                    self.taken(now, taken);
                    return true;
                }
            },
            Doing::Release(mut release) => match release.as_mut().now_or_never() {
                None => self.membership.doing = Some(Doing::Release(release)),
                // Unknown: it stays this session's until that ends, or is claimed again.
                Some(_) => return true,
            },
        }
        false
    }

    /// Finds out what there is to do.
    fn look(&mut self, now: u64, view: &View) {
        let Some(standing) = &self.membership.standing else { return };
        let session = standing.session.clone();
        if view.nodes.get(&session.node) != Some(&session.incarnation) {
            self.membership.next_call = now;
            return;
        }
        let is_own = |shard: &ShardId| {
            view.owners
                .get(shard)
                .map(|owner| owner.node == session.node && owner.incarnation == session.incarnation)
        };
        for shard in self.shards.keys() {
            let claim = self.owned.claim(*shard);
            match (claim, is_own(shard)) {
                (Some(claim), Some(true)) if claim.session == session => {}
                (Some(_), None | Some(true)) => self.membership.jobs.push_back(Job::Renew(*shard)),
                _ => self.membership.jobs.push_back(Job::Leave(*shard, Departure::Lost)),
            }
        }
        self.membership.jobs.push_back(Job::MakeWhole(session.lease));
        for shard in (0..SHARDS).map(ShardId) {
            let may_take = self.membership.stuck.get(&shard).is_none_or(|until| now >= *until);
            if self.shards.contains_key(&shard) {
                if self.random.below(100) < self.membership.given_away {
                    self.membership.jobs.push_back(Job::Leave(shard, Departure::HandedOver));
                }
                continue;
            }
            match is_own(&shard) {
                Some(true) if may_take => self.membership.jobs.push_back(Job::Take(shard)),
                // Which of the nodes is the right one is the plan's to say, and any is right here.
                None if may_take && self.random.once_in(3) => {
                    self.membership.jobs.push_back(Job::Take(shard));
                }
                _ => {}
            }
        }
    }

    fn begin(&mut self, job: Job) {
        let Some(standing) = &mut self.membership.standing else {
            // Nothing but what is lost anyway can be done without a session.
            if let Job::Leave(shard, Departure::Lost) = job {
                self.start_leaving(shard, Departure::Lost);
            }
            return;
        };
        let session = standing.session.clone();
        match job {
            Job::Renew(shard) => {
                let Some(claim) = self.owned.claim(shard) else { return };
                let (log, own) = (self.log.clone(), session.clone());
                let renew = async move { log.renew(&own, &claim).await }.boxed();
                self.membership.doing = Some(Doing::Renew(shard, session, renew));
            }
            Job::MakeWhole(lease) if session.lease == lease => {
                standing.is_whole = true;
                let renewed_at = standing.renewed_at;
                self.extend(renewed_at);
            }
            Job::MakeWhole(_) => {}
            Job::Leave(shard, departure) => self.start_leaving(shard, departure),
            Job::Take(shard) if self.shards.contains_key(&shard) => {}
            Job::Take(shard) => {
                let take = take_over(self.log.clone(), self.stores.clone(), session, shard);
                self.membership.doing = Some(Doing::Take(take.boxed()));
            }
        }
    }

    fn renewed(&mut self, shard: ShardId, session: &Session, renewed: Result<(), LogError>) {
        match renewed {
            Ok(()) => {
                self.owned.renew(shard, session);
                self.deeds.push(Deed::Renewed);
            }
            Err(LogError::NotOwner(_)) => {
                self.membership.jobs.push_front(Job::Leave(shard, Departure::Lost));
            }
            // The next look tries again.
            Err(_) => self.membership.jobs.clear(),
        }
    }

    fn taken(&mut self, now: u64, taken: Taken) {
        match taken {
            Taken::Over { claim, stock, ends, is_from_orders } => {
                let (shard, epoch) = (claim.shard, claim.epoch);
                if self.plant == Some(Plant::RelaySkips) {
                    self.stores.skip_to(shard, claim.head.seq);
                }
                self.owned.open(claim, ends);
                self.shards.insert(shard, Served::new(*stock, epoch, self.plant));
                self.deeds.push(Deed::TakenOver { shard, is_from_orders });
            }
            Taken::Not => {}
            Taken::Stuck(shard) => {
                self.membership.stuck.insert(shard, now + RETRY);
                self.deeds.push(Deed::Stuck);
            }
            Taken::Found { shard, epoch, finding } => {
                self.deeds.push(Deed::Found { shard, epoch, finding });
            }
        }
    }

    fn start_leaving(&mut self, shard: ShardId, departure: Departure) {
        let Some(served) = self.shards.get_mut(&shard) else { return };
        served.is_open = false;
        if let Some(part) = &served.part {
            self.hot.forget(part.exchange.bucket);
        }
        if departure == Departure::Lost {
            let epoch = served.epoch;
            for question in served.parked.drain(..).chain(served.mailbox.drain(..)) {
                let reply = Reply::NotDelivered;
                self.out.push(Answered { question, reply, shard, epoch });
            }
        }
        self.membership.leaving = Some((shard, departure));
    }

    /// All that the shard waited for is released, or dropped.
    fn leave(&mut self, shard: ShardId, departure: Departure) {
        self.membership.leaving = None;
        // What came after its last decision was not delivered.
        if let Some(served) = self.shards.remove(&shard) {
            let (epoch, reply) = (served.epoch, Reply::NotDelivered);
            let left = served.parked.into_iter().chain(served.mailbox);
            self.out.extend(left.map(|question| Answered { question, reply, shard, epoch }));
        }
        self.journal.fenced.remove(&shard);
        self.journal.newly_fenced.retain(|fenced| *fenced != shard);
        let claim = self.owned.shut(shard);
        match (departure, claim) {
            (Departure::HandedOver, Some(claim)) => {
                self.deeds.push(Deed::GivenAway);
                let log = self.log.clone();
                let release = async move { log.release(&claim).await }.boxed();
                self.membership.doing = Some(Doing::Release(release));
            }
            _ => self.deeds.push(Deed::LetGo),
        }
    }
}
