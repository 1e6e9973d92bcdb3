//! The dispatcher of one generator thread: which requests are due, which wait, and which
//! connections are free. Single-threaded; nothing here touches the network or the clock.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::task::Waker;

use super::record::Purpose;
use crate::plan::{Kind, Page};

/// Most requests that wait for a free connection in one thread. Beyond it an arrival is
/// counted as not offered: the report says so, and memory stays bounded.
pub const WAITING_MAX: usize = 1_000_000;

/// One request to make.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Job {
    /// When it is meant to start, in nanoseconds since the load began.
    pub intended_ns: u64,
    /// When its client was first due, in nanoseconds since the load began: before its repeats.
    pub asked_ns: u64,
    /// What it does.
    pub action: Action,
    /// How often it was tried before.
    pub tries: u8,
    /// True if an earlier try may have been carried out.
    pub in_doubt: bool,
}

impl Job {
    /// A request that is made for the first time, at this moment.
    #[must_use]
    pub fn first(action: Action, intended_ns: u64) -> Self {
        Self { intended_ns, asked_ns: intended_ns, action, tries: 0, in_doubt: false }
    }
}

/// What a request does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    /// Buys one unit.
    Buy {
        /// The user who buys.
        user: u32,
        /// The item, counted from 0.
        item: u32,
        /// The request id.
        key: u64,
        /// True if an order that comes of it is this client's to pay or cancel.
        owner: bool,
        /// True if a script sends it, which skips the page.
        script: bool,
    },
    /// Pays an order.
    Pay {
        /// The user who placed the order.
        user: u32,
        /// The order's id.
        order: u64,
    },
    /// Cancels an order.
    Cancel {
        /// The user who placed the order.
        user: u32,
        /// The order's id.
        order: u64,
    },
    /// Looks at a page.
    View {
        /// Which kind of page.
        page: Page,
        /// The item that it is about, counted from 0, if it is about one.
        item: u32,
        /// True if the reader has it from before, and asks whether it changed.
        again: bool,
    },
}

impl Action {
    /// What comes of an attempt of the plan.
    #[must_use]
    pub fn of(attempt: crate::plan::Attempt) -> Self {
        let crate::plan::Attempt { user, item, key, kind } = attempt;
        if kind == Kind::Reader {
            let page = Page::LOOKS[(key / 2) as usize % Page::LOOKS.len()];
            return Self::View { page, item, again: key.is_multiple_of(2) };
        }
        let owner = matches!(kind, Kind::Buyer | Kind::RepeatClicker);
        Self::Buy { user, item, key, owner, script: kind == Kind::Script }
    }

    /// What it is for.
    #[must_use]
    pub fn purpose(self) -> Purpose {
        match self {
            Self::Buy { .. } => Purpose::Purchase,
            Self::Pay { .. } | Self::Cancel { .. } => Purpose::FollowUp,
            Self::View { .. } => Purpose::View,
        }
    }
}

/// The queues of one thread, and its connections' slots.
#[derive(Debug)]
pub struct Dispatcher {
    waiting: VecDeque<Job>,
    later: BinaryHeap<Reverse<Job>>,
    /// Free connections, the one used last on top.
    free: Vec<usize>,
    slots: Vec<Slot>,
    busy: usize,
    is_shut_down: bool,
    waiting_max: usize,
}

#[derive(Debug, Default)]
struct Slot {
    job: Option<Job>,
    waker: Option<Waker>,
}

/// What a connection does next.
#[derive(Debug)]
pub enum Next {
    /// It makes this request.
    Job(Job),
    /// It waits: nothing is due.
    Wait,
    /// It closes: the run is over.
    Close,
}

impl Dispatcher {
    /// A dispatcher for so many connections, each of which begins by asking for a job.
    #[must_use]
    pub fn new(connections: usize) -> Self {
        Self {
            waiting: VecDeque::new(),
            later: BinaryHeap::new(),
            free: Vec::with_capacity(connections),
            slots: (0..connections).map(|_| Slot::default()).collect(),
            // Each connection is busy until it has asked for its first job.
            busy: connections,
            is_shut_down: false,
            waiting_max: 0,
        }
    }

    /// A request is due now; false if too many wait already.
    pub fn dispatch(&mut self, job: Job) -> bool {
        if let Some(slot) = self.free.pop() {
            self.busy += 1;
            let slot = &mut self.slots[slot];
            slot.job = Some(job);
            if let Some(waker) = slot.waker.take() {
                waker.wake();
            }
            return true;
        }
        if self.waiting.len() >= WAITING_MAX {
            return false;
        }
        self.waiting.push_back(job);
        self.waiting_max = self.waiting_max.max(self.waiting.len());
        true
    }

    /// Keeps a request until it is due.
    pub fn schedule(&mut self, job: Job) {
        self.later.push(Reverse(job));
    }

    /// A scheduled request that is due at `now_ns`.
    pub fn take_due(&mut self, now_ns: u64) -> Option<Job> {
        let Reverse(first) = self.later.peek()?;
        if first.intended_ns > now_ns {
            return None;
        }
        self.later.pop().map(|Reverse(job)| job)
    }

    /// When the next scheduled request is due.
    #[must_use]
    pub fn next_due_ns(&self) -> Option<u64> {
        self.later.peek().map(|Reverse(job)| job.intended_ns)
    }

    /// A connection that has finished asks for work: what waits comes first, then what
    /// `fresh` supplies (the closed loop's next attempt). With neither it waits.
    pub fn next_job(&mut self, slot: usize, fresh: impl FnOnce() -> Option<Job>) -> Next {
        if self.is_shut_down {
            self.busy -= 1;
            return Next::Close;
        }
        if let Some(job) = self.waiting.pop_front().or_else(fresh) {
            return Next::Job(job);
        }
        self.busy -= 1;
        self.free.push(slot);
        Next::Wait
    }

    /// The job that a waiting connection was given, if any; else `waker` is woken when there is one.
    pub fn poll_job(&mut self, slot: usize, waker: &Waker) -> Next {
        let place = &mut self.slots[slot];
        if let Some(job) = place.job.take() {
            return Next::Job(job);
        }
        if self.is_shut_down {
            return Next::Close;
        }
        if !place.waker.as_ref().is_some_and(|known| known.will_wake(waker)) {
            place.waker = Some(waker.clone());
        }
        Next::Wait
    }

    /// True when nothing is under way, waits or will become due.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        self.busy == 0 && self.waiting.is_empty() && self.later.is_empty()
    }

    /// Ends the run for every connection. What waits is dropped and returned.
    pub fn shut_down(&mut self) -> Vec<Job> {
        self.is_shut_down = true;
        for slot in &mut self.slots {
            if let Some(waker) = slot.waker.take() {
                waker.wake();
            }
        }
        let later = self.later.drain().map(|Reverse(job)| job);
        self.waiting.drain(..).chain(later).collect()
    }

    /// Most requests that waited at one time.
    #[must_use]
    pub fn waiting_max(&self) -> usize {
        self.waiting_max
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(intended_ns: u64) -> Job {
        Job::first(Action::Pay { user: 0, order: 1 }, intended_ns)
    }

    #[test]
    fn what_waits_goes_first_and_in_order() {
        let mut dispatcher = Dispatcher::new(1);
        assert!(dispatcher.dispatch(job(1)) && dispatcher.dispatch(job(2)));
        for expected in [1, 2] {
            let Next::Job(next) = dispatcher.next_job(0, || None) else { panic!("nothing to do") };
            assert_eq!(next.intended_ns, expected);
        }
        assert!(matches!(dispatcher.next_job(0, || None), Next::Wait));
        assert!(dispatcher.is_quiet());
        assert_eq!(dispatcher.waiting_max(), 2);
    }

    #[test]
    fn a_waiting_connection_is_given_what_is_due() {
        let mut dispatcher = Dispatcher::new(1);
        assert!(matches!(dispatcher.next_job(0, || None), Next::Wait));
        dispatcher.schedule(job(5));
        assert_eq!(dispatcher.take_due(4), None);
        let due = dispatcher.take_due(5).expect("due");
        assert!(dispatcher.dispatch(due));
        assert!(!dispatcher.is_quiet());
        assert!(matches!(dispatcher.poll_job(0, Waker::noop()), Next::Job(_)));
        assert!(matches!(dispatcher.next_job(0, || None), Next::Wait));
        dispatcher.schedule(job(9));
        assert_eq!(dispatcher.shut_down().len(), 1);
        assert!(matches!(dispatcher.poll_job(0, Waker::noop()), Next::Close));
    }
}
