//! One generator thread: a pacer that dispatches what is due, and one task for each
//! connection that sends it and notes what came back.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::{Duration, Instant};

use hyper::header::HeaderValue;
use tokio::task::{JoinSet, LocalSet};

use super::dispatcher::{Action, Dispatcher, Job, Next};
use super::entry::Entry;
use super::record::{Confirmation, FollowUp, Record, Unresolved};
use super::timer::FineTimer;
use super::work::{Progress, Work};
use crate::outcome::{Class, Outcome, number_field, text_field};
use crate::plan::{Page, Plan};
use crate::random::{Random, scramble, unit_of};
use crate::scenario::LoopKind;
use crate::wire::Answer;
use crate::{Error, Result};

/// The pacer looks at least this often, for follow-ups that became due meanwhile.
const NAP_NS_MAX: u64 = 1_000_000;
/// No client waits longer than this before it repeats a request.
const PAUSE_MS_MAX: u64 = 5_000;
/// After the payment window, a late payer waits this much longer.
const LATE_BY: Duration = Duration::from_millis(500);

/// The status with which a node says that it cannot now.
const UNAVAILABLE: u16 = 503;

/// What the pacer and the connections of one thread share.
struct Thread {
    work: Arc<Work>,
    start: Instant,
    end_ns: u64,
    dispatcher: RefCell<Dispatcher>,
    record: RefCell<Record>,
    plan: RefCell<Plan>,
    random: RefCell<Random>,
    /// The versions of pages that readers of this thread have seen.
    seen: RefCell<HashMap<(Page, u32), HeaderValue>>,
    /// No attempt is left in the plan.
    exhausted: Cell<bool>,
}

/// Runs one thread of the generator to its end.
pub fn run(work: &Arc<Work>, number: u32, start: Instant, progress: &Progress) -> Result<Record> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Error::io("starting the generator's event loop"))?;
    let items = u32::try_from(work.crowd.item_ids().len()).unwrap_or(u32::MAX);
    let mut plan = Plan::new(&work.people, items, work.seed, number, work.threads);
    if work.distinct_only {
        plan = plan.distinct_only();
    }
    let share = work.generator.connections / work.threads;
    let odd = u32::from(number < work.generator.connections % work.threads);
    let connections = (share + odd).max(1) as usize;
    let thread = Rc::new(Thread {
        work: Arc::clone(work),
        start,
        end_ns: nanoseconds(work.schedule.duration()),
        dispatcher: RefCell::new(Dispatcher::new(connections)),
        record: RefCell::default(),
        plan: RefCell::new(plan),
        random: RefCell::new(Random::new(scramble(work.seed ^ 0xf0) ^ u64::from(number))),
        seen: RefCell::default(),
        exhausted: Cell::new(false),
    });
    let mut tasks = JoinSet::new();
    let local = LocalSet::new();
    for slot in 0..connections {
        tasks.spawn_local_on(Rc::clone(&thread).serve(slot), &local);
    }
    local.block_on(&runtime, async {
        thread.pace(number, progress).await?;
        // Each request has a deadline, so this ends.
        tasks.join_all().await;
        Ok::<_, Error>(())
    })?;
    let mut record = thread.record.take();
    record.waiting_max = thread.dispatcher.borrow().waiting_max() as u64;
    Ok(record)
}

impl Thread {
    /// Nanoseconds since the load began; 0 before it.
    fn now_ns(&self) -> u64 {
        nanoseconds(Instant::now().saturating_duration_since(self.start))
    }

    /// Dispatches what is due until nothing is left to do or time is up.
    async fn pace(&self, number: u32, progress: &Progress) -> Result<()> {
        let timer = FineTimer::new().map_err(Error::io("creating a timer"))?;
        let sleep = async |ns| {
            timer.sleep(Duration::from_nanos(ns)).await.map_err(Error::io("setting a timer"))
        };
        let drain_ns = self.work.generator.drain_ms_max * 1_000_000;
        let open = self.work.generator.kind == LoopKind::Open;
        let stride = if open { self.work.threads.into() } else { u64::MAX };
        let first = if open { number.into() } else { u64::MAX };
        let mut arrivals = self.work.schedule.offsets(first, stride).peekable();
        let mut reported = (0, 0);

        let wait = self.start.saturating_duration_since(Instant::now());
        sleep(nanoseconds(wait)).await?;
        loop {
            let now_ns = self.now_ns();
            while let Some(intended_ns) = arrivals.next_if(|offset| *offset <= now_ns) {
                let Some(action) = self.next_purchase() else { break };
                self.dispatch(Job::first(action, intended_ns), now_ns);
            }
            while let Some(job) = { self.dispatcher.borrow_mut().take_due(now_ns) } {
                self.dispatch(job, now_ns);
            }
            self.report(progress, &mut reported);

            let over = self.exhausted.get()
                || if open { arrivals.peek().is_none() } else { now_ns >= self.end_ns };
            let stopped = progress.stop.load(Ordering::Relaxed);
            if stopped || now_ns > self.end_ns.saturating_add(drain_ns) {
                break;
            }
            let quiet = { self.dispatcher.borrow().is_quiet() };
            if over && quiet {
                break;
            }
            let due_ns = [arrivals.peek().copied(), self.dispatcher.borrow().next_due_ns()];
            let next_ns = due_ns.into_iter().flatten().fold(now_ns + NAP_NS_MAX, u64::min);
            if next_ns > now_ns {
                sleep(next_ns - now_ns).await?;
            } else {
                // Connections must run even if this thread is behind its schedule.
                tokio::task::yield_now().await;
            }
        }
        let dropped = self.dispatcher.borrow_mut().shut_down();
        for job in dropped {
            self.give_up_unsent(job);
        }
        self.report(progress, &mut reported);
        Ok(())
    }

    fn dispatch(&self, job: Job, now_ns: u64) {
        let mut record = self.record.borrow_mut();
        record.due(job.intended_ns, now_ns);
        record.repeats += u64::from(job.tries > 0);
        if !self.dispatcher.borrow_mut().dispatch(job) {
            record.not_offered += 1;
        }
    }

    fn report(&self, progress: &Progress, reported: &mut (u64, u64)) {
        let record = self.record.borrow();
        let now = (record.latency.len(), record.latency_granted.len());
        progress.ended.fetch_add(now.0 - reported.0, Ordering::Relaxed);
        progress.granted.fetch_add(now.1 - reported.1, Ordering::Relaxed);
        *reported = now;
    }

    /// One connection's life.
    async fn serve(self: Rc<Self>, slot: usize) {
        let mut entry = Entry::new(&self.work, slot);
        entry.connect().await;
        if self.work.generator.kind == LoopKind::Closed {
            let wait = self.start.saturating_duration_since(Instant::now());
            tokio::time::sleep(wait).await;
        }
        while let Some(job) = self.next_job(slot).await {
            let crowd = &self.work.crowd;
            let request = match job.action {
                Action::Buy { user, item, key, script, .. } => {
                    if script {
                        crowd.script(user, item, key)
                    } else {
                        crowd.buy(user, item, key)
                    }
                }
                Action::Pay { user, order } => crowd.close(user, order, "pay"),
                Action::Cancel { user, order } => crowd.close(user, order, "cancel"),
                Action::View { page, item, again } => {
                    let seen = self.seen.borrow();
                    crowd.view(page, item, seen.get(&(page, item)).filter(|_| again))
                }
            };
            let link = entry.link_for(&job);
            let answer = link.send(request).await;
            if let (Action::View { page, item, .. }, Some(version)) = (job.action, link.version()) {
                self.seen.borrow_mut().insert((page, item), version.clone());
            }
            self.conclude(job, answer, link.body());
            if answer.map_or(true, |head| head.status == UNAVAILABLE) {
                entry.go_on();
            }
        }
    }

    async fn next_job(&self, slot: usize) -> Option<Job> {
        let fresh = || {
            let now_ns = self.now_ns();
            if self.work.generator.kind == LoopKind::Open || now_ns >= self.end_ns {
                return None;
            }
            let action = self.next_purchase()?;
            self.record.borrow_mut().due(now_ns, now_ns);
            Some(Job::first(action, now_ns))
        };
        let next = self.dispatcher.borrow_mut().next_job(slot, fresh);
        match next {
            Next::Job(job) => return Some(job),
            Next::Close => return None,
            Next::Wait => {}
        }
        poll_fn(|context| match self.dispatcher.borrow_mut().poll_job(slot, context.waker()) {
            Next::Job(job) => Poll::Ready(Some(job)),
            Next::Close => Poll::Ready(None),
            Next::Wait => Poll::Pending,
        })
        .await
    }

    /// Notes what came of a request and decides what its client does next.
    fn conclude(&self, job: Job, answer: Answer, body: &[u8]) {
        let now_ns = self.now_ns();
        let outcome = name(job.action, answer, body);
        self.record.borrow_mut().ended(outcome, job.action.purpose(), job.intended_ns, now_ns);
        if outcome == Outcome::SaleNotStarted && self.come_again(job, now_ns) {
            return;
        }
        match outcome.class() {
            Class::Unavailable | Class::Unknown if self.repeat(job, outcome, answer, now_ns) => {}
            Class::Unavailable | Class::Unknown => self.give_up(job, outcome),
            Class::Granted | Class::Refused | Class::Unexpected => {
                self.conclude_definite(job, outcome, body, now_ns);
            }
        }
    }

    /// Schedules a repeat, unless the client has lost patience. The same request id makes
    /// it safe whatever became of the first.
    fn repeat(&self, job: Job, outcome: Outcome, answer: Answer, now_ns: u64) -> bool {
        let retry = &self.work.people.retry;
        if job.tries >= retry.times {
            return false;
        }
        let asked_ms = answer.ok().and_then(|head| head.retry_after_seconds).unwrap_or(0) * 1_000;
        let doubled_ms = retry.pause_ms << job.tries.min(16);
        let pause_ms = doubled_ms.max(asked_ms.into()).min(PAUSE_MS_MAX);
        // Half of it is random, so that clients do not come back in step.
        let jitter = 0.5 + self.random.borrow_mut().unit() / 2.0;
        let pause_ns = (pause_ms as f64 * 1e6 * jitter) as u64;
        let in_doubt = job.in_doubt || outcome.class() == Class::Unknown;
        let intended_ns = now_ns + pause_ns;
        self.dispatcher.borrow_mut().schedule(Job {
            intended_ns,
            tries: job.tries + 1,
            in_doubt,
            ..job
        });
        true
    }

    /// Schedules another try of a client who came before its slot, if such clients come again.
    fn come_again(&self, job: Job, now_ns: u64) -> bool {
        let pause_ms = self.work.people.retry.early_ms;
        if pause_ms == 0 || job.tries == u8::MAX {
            return false;
        }
        let intended_ns = now_ns + pause_ms * 1_000_000;
        let again = Job { intended_ns, asked_ns: intended_ns, tries: job.tries + 1, ..job };
        self.dispatcher.borrow_mut().schedule(again);
        true
    }

    fn give_up(&self, job: Job, outcome: Outcome) {
        let in_doubt = job.in_doubt || outcome.class() == Class::Unknown;
        let mut record = self.record.borrow_mut();
        record.given_up += 1;
        match job.action {
            Action::Buy { item, key, .. } if in_doubt => {
                record.unresolved.push(Unresolved { item, key });
            }
            Action::Pay { order, .. } | Action::Cancel { order, .. } if in_doubt => {
                record.follow_ups.push(FollowUp { order, answer: Outcome::OutcomeUnknown });
            }
            Action::Buy { .. }
            | Action::Pay { .. }
            | Action::Cancel { .. }
            | Action::View { .. } => {}
        }
    }

    /// Time was up before this request was sent (again).
    fn give_up_unsent(&self, job: Job) {
        self.give_up(job, Outcome::NotDelivered);
        if job.tries == 0 {
            self.record.borrow_mut().not_offered += 1;
        }
    }

    fn conclude_definite(&self, job: Job, outcome: Outcome, body: &[u8], at_ns: u64) {
        match job.action {
            Action::Buy { user, item, key, owner, .. } => {
                if !matches!(outcome, Outcome::Reserved | Outcome::Replayed) {
                    return;
                }
                let Some(order) = number_field(body, b"\"order_id\"") else { return };
                let asked_ns = job.asked_ns;
                let confirmation = Confirmation { order, user, item, key, asked_ns, at_ns };
                self.record.borrow_mut().confirmations.push(confirmation);
                if owner && let Some(next) = self.afterwards(user, order, at_ns) {
                    self.dispatcher.borrow_mut().schedule(next);
                }
            }
            Action::Pay { order, .. } | Action::Cancel { order, .. } => {
                self.record.borrow_mut().follow_ups.push(FollowUp { order, answer: outcome });
            }
            Action::View { .. } => {}
        }
    }

    fn next_purchase(&self) -> Option<Action> {
        let attempt = self.plan.borrow_mut().next_attempt();
        self.exhausted.set(attempt.is_none());
        attempt.map(Action::of)
    }

    /// What the buyer does with the order. It depends on the order alone, so a repeated
    /// answer does not make them pay one and cancel the other.
    fn afterwards(&self, user: u32, order: u64, now_ns: u64) -> Option<Job> {
        let after = &self.work.people.afterwards;
        let draw = unit_of(scramble(order ^ self.work.seed));
        let (pay, cancel) = (Action::Pay { user, order }, Action::Cancel { user, order });
        let (action, after_ns) = if draw < after.pay {
            (pay, 0)
        } else if draw < after.pay + after.cancel {
            (cancel, 0)
        } else if draw < after.pay + after.cancel + after.pay_late {
            (pay, nanoseconds(self.work.payment_window + LATE_BY))
        } else {
            return None;
        };
        let [shortest, longest] = after.think_ms;
        let think_ms = shortest + self.random.borrow_mut().below(longest - shortest + 1);
        let intended_ns = now_ns + after_ns + think_ms * 1_000_000;
        Some(Job::first(action, intended_ns))
    }
}

/// The outcome of a request in the API's words.
fn name(action: Action, answer: Answer, body: &[u8]) -> Outcome {
    let head = match answer {
        Ok(head) => head,
        Err(failure) => return Outcome::of_failure(failure),
    };
    let has_order = || number_field(body, b"\"order_id\"").is_some();
    match (action, head.status) {
        (Action::Buy { .. }, 201) if has_order() => Outcome::Reserved,
        (Action::Buy { .. }, 200) if has_order() => Outcome::Replayed,
        (Action::Pay { .. } | Action::Cancel { .. }, 200) => {
            match text_field(body, b"\"status\"") {
                Some(b"paid") => Outcome::Paid,
                Some(b"cancelled") => Outcome::Cancelled,
                Some(b"refund_due") => Outcome::RefundDue,
                _ => Outcome::Malformed,
            }
        }
        (Action::View { .. }, 200) => Outcome::Viewed,
        (Action::View { again: true, .. }, 304) => Outcome::NotModified,
        (_, 200..=299) => Outcome::Malformed,
        (_, status) => Outcome::of_refusal(status, body),
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
